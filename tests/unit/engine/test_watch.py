import os
import subprocess
import sys

from photogram.engine.watch import FIRST_TIME_S, LEAST_S, SLOWNESS, Watch
from photogram.engine.worker import STUCK_STATUS


def test_idle_loop_is_never_stuck() -> None:
    watch = Watch()
    assert not watch.is_stuck_after(1e9)
    with watch.over(1.0):
        pass
    assert not watch.is_stuck_after(1e9)


def test_work_is_stuck_once_it_takes_far_longer_than_predicted() -> None:
    watch = Watch()
    with watch.over(60.0):
        assert not watch.is_stuck_after(SLOWNESS * 60)
        assert watch.is_stuck_after(1.0)
        assert watch.is_stuck_after(1.0)
    assert not watch.is_stuck_after(1.0)


def test_short_work_has_the_least_time() -> None:
    watch = Watch()
    with watch.over(0.01):
        assert not watch.is_stuck_after(LEAST_S)
        assert watch.is_stuck_after(0.1)


def test_what_is_compiled_first_has_more_time() -> None:
    watch = Watch()
    with watch.over(0.01, is_new=True):
        assert not watch.is_stuck_after(FIRST_TIME_S)
        assert watch.is_stuck_after(LEAST_S + 0.1)


def test_where_work_often_takes_longer_than_predicted_it_has_more_time() -> None:
    watch = Watch()
    for number in range(100):
        watch.learn(1.0, 3.0 if number % 20 == 0 else 1.0)
    watch.learn(1.0, 1000.0)  # once in a hundred says nothing
    with watch.over(10.0):
        assert not watch.is_stuck_after(SLOWNESS * 30)
        assert watch.is_stuck_after(1.0)


def test_every_piece_of_work_has_its_own_time() -> None:
    watch = Watch()
    for _ in range(3):
        with watch.over(0.0):
            assert not watch.is_stuck_after(0.9 * LEAST_S)


def test_work_that_fails_is_over() -> None:
    watch = Watch()
    try:
        with watch.over(0.0):
            raise RuntimeError
    except RuntimeError:
        pass
    assert not watch.is_stuck_after(1e9)


_STUCK = """
import sys, threading
from multiprocessing.connection import Connection
from photogram.engine.cost import GUESS
from photogram.engine.process import Heartbeat
from photogram.engine.watch import Watch
from photogram.engine.worker import Pipe, beat

watch = Watch(least_s=0.5)
arguments = (Pipe(Connection(int(sys.argv[1]))), watch, lambda: Heartbeat(GUESS))
threading.Thread(target=beat, args=arguments, daemon=True).start()
with watch.over(1e-3):
    threading.Event().wait()
"""


def test_a_worker_whose_loop_is_stuck_ends_itself() -> None:
    reader, writer = os.pipe()
    stuck = subprocess.run(
        [sys.executable, "-c", _STUCK, str(writer)], pass_fds=[writer], timeout=120, check=False
    )
    os.close(reader)
    os.close(writer)
    assert stuck.returncode == STUCK_STATUS
