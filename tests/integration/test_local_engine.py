"""The worker process, with a tiny real checkpoint: jobs, cancellation, deaths, and what it owns."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from photogram.core.errors import DeadlineExceededError, EngineOverloadedError
from photogram.core.messages import (
    CANCELLED,
    DRAINING,
    WORKER_LOST,
    Adapter,
    Failed,
    Finished,
    JobEvent,
    Preview,
    Progress,
    Started,
)
from photogram.engine.batching import StepLimits
from photogram.engine.local import LocalEngine
from photogram.engine.process import WorkerConfig
from photogram.weights.locate import inspect
from tests.acceptance.server import is_alive
from tests.adapters import write_adapters
from tests.tiny import write_checkpoint
from tests.unit.engine.recording import job

READY_TIMEOUT_S = 60


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny")
    write_adapters(folder)
    return folder


def make_engine(
    checkpoint: Path, load_from: Path | None = None, silence_s: float = 60
) -> LocalEngine:
    config = WorkerConfig(
        model=str(load_from or checkpoint),
        device="cpu",
        dtype="auto",
        threads=1,
        loras=str(checkpoint / "loras"),
        limits=StepLimits(target_s=0.15, num_tokens=9216),
        log_level="error",
    )
    model = inspect(checkpoint).model
    return LocalEngine(model, config, queue_limit=8, silence_s=silence_s)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(checkpoint: Path) -> AsyncIterator[LocalEngine]:
    engine = make_engine(checkpoint)
    await engine.start()
    await until_ready(engine)
    yield engine
    await engine.close()


async def until_ready(engine: LocalEngine) -> None:
    async with asyncio.timeout(READY_TIMEOUT_S):
        while not engine.is_ready:
            await asyncio.sleep(0.02)


async def run(engine: LocalEngine, name: str, **fields: object) -> list[JobEvent]:
    one = job(name, **fields)
    return [event async for event in engine.submit(one, engine.acquire(one))]


@pytest.mark.asyncio(loop_scope="module")
async def test_job_comes_back_as_files_after_its_progress(engine: LocalEngine) -> None:
    started, *progress, finished = await run(
        engine, "a", num_steps=3, seeds=(5, 6), image_format="png"
    )
    assert started == Started("a")
    assert isinstance(finished, Finished)
    assert progress == [Progress("a", step, 3) for step in (1, 2, 3)]
    assert [image.seed for image in finished.images] == [5, 6]
    assert all(image.data.startswith(b"\x89PNG") for image in finished.images)
    assert engine.num_jobs == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_the_worker_tells_what_it_does_and_holds(engine: LocalEngine) -> None:
    vitals = engine.vitals
    assert vitals is not None
    assert (vitals.device, vitals.memory_bytes > 2**20) == ("cpu", True)
    await run(engine, "a", num_steps=3, seeds=(5, 6))
    async with asyncio.timeout(READY_TIMEOUT_S):
        while engine.vitals is None or engine.vitals.num_step_samples < vitals.num_step_samples + 6:
            await asyncio.sleep(0.02)
    assert engine.vitals.step_s > vitals.step_s


@pytest.mark.asyncio(loop_scope="module")
async def test_a_picture_is_the_same_bytes_alone_and_among_others(engine: LocalEngine) -> None:
    *_, alone = await run(engine, "alone", prompt="a cat", num_steps=6, seeds=(9,))
    runs = [run(engine, f"m{i}", num_steps=3 + i, seeds=(i,), guidance=float(i)) for i in range(4)]
    together = await asyncio.gather(
        run(engine, "among", prompt="a cat", num_steps=6, seeds=(9,)), *runs
    )
    assert isinstance(alone, Finished)
    assert isinstance(together[0][-1], Finished)
    assert alone.images[0].data == together[0][-1].images[0].data


@pytest.mark.asyncio(loop_scope="module")
async def test_previews_come_on_the_way_and_leave_the_picture_as_it_is(engine: LocalEngine) -> None:
    *_, unseen = await run(engine, "unseen", prompt="a cat", num_steps=6)
    *events, seen = await run(engine, "seen", prompt="a cat", num_steps=6, num_previews=2)
    assert isinstance(seen, Finished)
    assert isinstance(unseen, Finished)
    assert seen.images == unseen.images
    previews = [event for event in events if isinstance(event, Preview)]
    assert [(each.index, each.step, each.content_type) for each in previews] == [
        (0, 2, "image/jpeg"),
        (0, 4, "image/jpeg"),
    ]
    for each in previews:
        assert Image.open(io.BytesIO(each.data)).size == (64, 64)
    assert previews[0].data != previews[1].data


@pytest.mark.asyncio(loop_scope="module")
async def test_cancel_takes_effect_within_one_step(engine: LocalEngine) -> None:
    one = job("c", num_steps=50)
    events = engine.submit(one, engine.acquire(one))
    assert isinstance(await anext(events), Started)
    assert isinstance(await anext(events), Progress)
    engine.cancel("c")
    rest = [event async for event in events]
    assert isinstance(rest[-1], Failed)
    assert rest[-1].code == CANCELLED
    assert engine.num_jobs == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_full_queue_refuses_before_anything_is_done(engine: LocalEngine) -> None:
    permits = [engine.acquire(job(str(n))) for n in range(8)]
    with pytest.raises(EngineOverloadedError) as refused:
        engine.acquire(job("one more"))
    assert refused.value.error_code == "queue_full"
    assert refused.value.retry_after_s is not None
    for permit in permits:
        permit.release()
    assert engine.num_jobs == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_jobs_are_foretold_and_those_that_would_be_late_are_refused(
    engine: LocalEngine,
) -> None:
    jobs = [job(f"f{i}", num_steps=50, seeds=(1, 2, 3, 4)) for i in range(4)]
    streams = [engine.submit(one, engine.acquire(one)) for one in jobs]
    began_at = time.monotonic()
    told = [engine.forecast(one.job_id) for one in jobs]
    with pytest.raises(DeadlineExceededError):
        engine.acquire(job("late", num_steps=50, timeout_s=1e-3))
    for events in streams:
        *_, last = [event async for event in events]
        assert isinstance(last, Finished)
    took_s = time.monotonic() - began_at
    finish_s = max(each.finish_s for each in told if each is not None)
    assert took_s / 20 < finish_s < took_s * 20  # a shared machine; the order of size is right
    assert engine.forecast("f0") is None


@pytest.mark.asyncio(loop_scope="module")
async def test_a_job_of_a_size_that_cannot_be_painted_fails_alone(engine: LocalEngine) -> None:
    good, bad = await asyncio.gather(
        run(engine, "good", num_steps=4), run(engine, "bad", num_steps=4, width=63)
    )
    assert isinstance(good[-1], Finished)
    assert isinstance(bad[-1], Failed)


@pytest.mark.asyncio(loop_scope="module")
async def test_killed_worker_fails_its_jobs_and_is_replaced(engine: LocalEngine) -> None:
    one = job("k", num_steps=50)
    events = engine.submit(one, engine.acquire(one))
    await anext(events)
    pid = engine.worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    killed_at = time.monotonic()
    *_, last = [event async for event in events]
    assert isinstance(last, Failed)
    assert last.code == WORKER_LOST
    assert engine.num_jobs == 0
    with pytest.raises(EngineOverloadedError) as refused:
        engine.acquire(one)
    assert refused.value.error_code == "model_loading"
    await until_ready(engine)
    assert time.monotonic() > killed_at + 1, "a worker that dies soon has a pause after it"
    assert engine.worker_pid != pid
    assert isinstance((await run(engine, "after"))[-1], Finished)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_worker_that_does_not_listen_does_not_stop_the_event_loop(
    engine: LocalEngine,
) -> None:
    pid = engine.worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(1, os.kill, (pid, signal.SIGCONT)).start()
    started = time.monotonic()
    prompt = "x" * 40_000  # all together, more than the pipe takes
    all_jobs = [job(f"s{i}", prompt=prompt) for i in range(8)]
    jobs = [engine.submit(one, engine.acquire(one)) for one in all_jobs]
    for i in range(8):
        engine.cancel(f"s{i}")
    assert time.monotonic() - started < 0.5
    for events in jobs:
        *_, last = [event async for event in events]
        assert isinstance(last, Failed | Finished)
    assert engine.num_jobs == 0


async def test_a_worker_that_hangs_is_unready_and_then_replaced(checkpoint: Path) -> None:
    engine = make_engine(checkpoint, silence_s=4)
    await engine.start()
    await until_ready(engine)
    pid = engine.worker_pid
    assert pid is not None
    await asyncio.sleep(4.5)  # nothing to do is no fault
    assert engine.is_ready
    stuck = asyncio.create_task(run(engine, "stuck", num_steps=50, seeds=(1, 2, 3, 4)))
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(20):
        while engine.is_ready:
            await asyncio.sleep(0.02)
    assert is_alive(pid)
    with pytest.raises(EngineOverloadedError, match="does not answer") as refused:
        engine.acquire(job("meanwhile"))
    assert refused.value.error_code == "not_ready"
    *_, last = await stuck
    assert isinstance(last, Failed)
    assert last.code == WORKER_LOST
    assert not is_alive(pid)
    await until_ready(engine)
    assert isinstance((await run(engine, "after"))[-1], Finished)
    await engine.close()


async def test_closing_ends_the_worker_and_its_jobs(checkpoint: Path) -> None:
    engine = make_engine(checkpoint)
    await engine.start()
    await until_ready(engine)
    pid = engine.worker_pid
    assert pid is not None
    one = job("x", num_steps=50)
    events = engine.submit(one, engine.acquire(one))
    late_permit = engine.acquire(job("y"))
    await anext(events)
    engine.drain()
    with pytest.raises(EngineOverloadedError) as refused:
        engine.acquire(job("z"))
    assert refused.value.error_code == "draining"
    await engine.close()
    late_events = engine.submit(job("y"), late_permit)
    for stream in (events, late_events):
        *_, last = [event async for event in stream]
        assert isinstance(last, Failed)
        assert last.code == DRAINING
    assert engine.num_jobs == 0
    assert not is_alive(pid)


async def test_checkpoint_that_cannot_be_loaded_is_told(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit")  # no module of the worker's
    monkeypatch.chdir(tmp_path)
    engine = make_engine(checkpoint, load_from=tmp_path / "none")
    await engine.start()
    async with asyncio.timeout(READY_TIMEOUT_S):
        while engine.load_failure is None:
            await asyncio.sleep(0.02)
    assert "none" in engine.load_failure
    assert not engine.is_ready
    await engine.close()


@pytest.mark.parametrize("python", ["/nonexistent/python", "/bin/false"])
async def test_worker_that_never_lives_is_tried_again_and_then_told(
    checkpoint: Path, python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(checkpoint)
    monkeypatch.setattr(sys, "executable", python)
    await engine.start()
    async with asyncio.timeout(READY_TIMEOUT_S):
        while engine.load_failure is None:
            await asyncio.sleep(0.02)
    assert "2 times" in engine.load_failure
    await engine.close()


def test_engine_of_the_api_process_imports_no_torch() -> None:
    code = (
        "import sys, photogram.bootstrap.server, photogram.api.app, photogram.engine.local;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'diffusers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_adapter_is_found_when_it_comes_and_a_broken_one_fails_alone(
    engine: LocalEngine, checkpoint: Path
) -> None:
    whole = checkpoint / "loras" / "everything.safetensors"
    whole.with_name("new.safetensors").write_bytes(whole.read_bytes())
    whole.with_name("cut.safetensors").write_bytes(whole.read_bytes()[:-1])
    plain, adapted, broken, again = await asyncio.gather(
        run(engine, "plain", prompt="a cat"),
        run(engine, "adapted", prompt="a cat", adapters=(Adapter("new", 0.5),)),
        run(engine, "broken", prompt="a cat", adapters=(Adapter("cut", 1.0),)),
        run(engine, "again", prompt="a cat"),
    )
    assert isinstance(broken[-1], Failed)
    assert broken[-1].message.startswith("the adapter 'cut' cannot be used: cut.safetensors is")
    pictures = []
    for events in (plain, adapted, again):
        assert isinstance(events[-1], Finished)
        with Image.open(io.BytesIO(events[-1].images[0].data)) as picture:
            pictures.append(picture.tobytes())
    assert pictures[0] == pictures[2] != pictures[1]
