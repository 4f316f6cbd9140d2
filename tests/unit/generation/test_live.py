import asyncio
from collections.abc import AsyncIterator

from photogram.core.messages import JobEvent, Progress, Started
from photogram.generation.live import LiveJob, LiveJobs


async def _all(events: AsyncIterator[tuple[int, JobEvent]]) -> list[tuple[int, JobEvent]]:
    return [each async for each in events]


def _progress(step: int) -> Progress:
    return Progress("job", step, 4)


async def test_every_listener_gets_every_event_and_its_number() -> None:
    told: list[JobEvent] = []
    job = LiveJob(told.append)
    job.tell(Started("job"))
    early = asyncio.create_task(_all(job.listen()))
    await asyncio.sleep(0)
    for step in (1, 2):
        job.tell(_progress(step))
    late = asyncio.create_task(_all(job.listen()))
    await asyncio.sleep(0)
    job.tell(_progress(3))
    job.end()
    expected = list(enumerate([Started("job"), *(_progress(step) for step in (1, 2, 3))], 1))
    assert await early == await late == expected
    assert told == [event for _, event in expected]


async def test_a_listener_goes_on_where_he_left_off() -> None:
    job = LiveJob(None)
    for step in (1, 2, 3):
        job.tell(_progress(step))
    job.end()
    assert await _all(job.listen(after=2)) == [(3, _progress(3))]
    assert await _all(job.listen(after=3)) == []


async def test_who_has_heard_of_another_server_hears_all_of_this_one() -> None:
    job = LiveJob(None)
    job.tell(_progress(1))
    job.end()
    assert await _all(job.listen(after=99)) == [(1, _progress(1))]


async def test_a_slow_listener_misses_nothing_and_keeps_nobody_waiting() -> None:
    job = LiveJob(None)
    heard: list[int] = []

    async def listen() -> None:
        async for number, _ in job.listen():
            heard.append(number)
            await asyncio.sleep(0.001)

    slow = asyncio.create_task(listen())
    for step in range(50):
        job.tell(_progress(step))
        await asyncio.sleep(0)
    job.end()
    await slow
    assert heard == list(range(1, 51))


async def test_a_listener_who_leaves_does_not_end_the_others() -> None:
    job = LiveJob(None)
    leaving, staying = (asyncio.create_task(_all(job.listen())) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait({leaving})
    job.tell(_progress(1))
    job.end()
    assert await staying == [(1, _progress(1))]


def test_progress_is_a_share_of_the_steps() -> None:
    job = LiveJob(None)
    assert job.progress == 0
    job.tell(_progress(1))
    assert job.progress == 0.25


def test_a_job_is_found_from_its_begin_to_its_end() -> None:
    jobs = LiveJobs()
    assert jobs.find("job") is None
    live = jobs.begin("job", None)
    assert jobs.find("job") is live
    jobs.end("job")
    assert jobs.find("job") is None
    jobs.end("job")
