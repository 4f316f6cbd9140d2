from dataclasses import replace

import pytest

from photogram.engine.rotation import STAY, Move, Room, Standing, next_move

OUT = Standing(
    slug="out",
    size_bytes=4,
    wanted_since=None,
    can_load=True,
    is_loaded=False,
    is_idle=True,
    used_at=0.0,
    loaded_at=0.0,
    load_s=10.0,
)
WANTED = replace(OUT, slug="wanted", wanted_since=5.0)
IDLE = replace(OUT, slug="idle", is_loaded=True, used_at=3.0)
BUSY = replace(IDLE, slug="busy", is_idle=False)
ONE = Room(num_models=1)


def test_what_is_wanted_is_loaded_where_there_is_room() -> None:
    assert next_move([IDLE, WANTED], Room(), 6.0) == Move("load", "wanted")
    assert next_move([IDLE, WANTED], Room(num_models=2), 6.0) == Move("load", "wanted")
    assert next_move([IDLE, WANTED], Room(num_bytes=8), 6.0) == Move("load", "wanted")


def test_nothing_moves_while_nobody_waits() -> None:
    assert next_move([IDLE, OUT], Room(), 6.0) is None


def test_who_has_waited_longest_is_first() -> None:
    later = replace(WANTED, slug="later", wanted_since=6.0)
    assert next_move([IDLE, later, WANTED], Room(), 9.0) == Move("load", "wanted")


@pytest.mark.parametrize("room", [Room(num_models=2), Room(num_bytes=11)])
def test_the_idle_model_that_was_used_least_recently_makes_room(room: Room) -> None:
    older = replace(IDLE, slug="older", used_at=2.0)
    assert next_move([IDLE, older, WANTED], room, 6.0) == Move("unload", "older")


def test_a_busy_model_stays_for_a_while_and_then_leaves() -> None:
    enough_s = STAY * BUSY.load_s
    assert next_move([BUSY, WANTED], ONE, enough_s - 1) is None
    assert next_move([BUSY, WANTED], ONE, enough_s) == Move("leave", "busy")
    assert next_move([replace(BUSY, is_idle=True), WANTED], ONE, 6.0) == Move("unload", "busy")


def test_of_busy_models_the_one_that_was_loaded_first_leaves() -> None:
    newer = replace(BUSY, slug="newer", loaded_at=1.0)
    assert next_move([newer, BUSY, WANTED], Room(num_models=2), 1e6) == Move("leave", "busy")


def test_a_model_that_has_just_failed_waits_and_the_default_comes_back() -> None:
    failed = replace(WANTED, can_load=False)
    assert next_move([OUT, failed], ONE, 6.0) == Move("load", "out")
    assert next_move([IDLE, failed], ONE, 6.0) is None
    assert next_move([failed], ONE, 6.0) is None
