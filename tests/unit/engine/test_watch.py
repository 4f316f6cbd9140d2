from photogram.engine.watch import GRACE_S, SLOWNESS, Watch


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
        assert watch.is_stuck_after(GRACE_S + 1)
        assert watch.is_stuck_after(1.0)
    assert not watch.is_stuck_after(1.0)


def test_every_piece_of_work_has_its_own_time() -> None:
    watch = Watch()
    for _ in range(3):
        with watch.over(0.0):
            assert not watch.is_stuck_after(0.9 * GRACE_S)


def test_work_that_fails_is_over() -> None:
    watch = Watch()
    try:
        with watch.over(0.0):
            raise RuntimeError
    except RuntimeError:
        pass
    assert not watch.is_stuck_after(1e9)
