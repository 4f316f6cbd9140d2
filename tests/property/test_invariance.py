"""A picture is the same, to the last bit, alone and in whatever the scheduler mixes it with.

The whole engine runs on a tiny real checkpoint; costs that are drawn at random make the scheduler
compose other batches in every example.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image

from photogram.core.messages import Adapter, CancelJob, Finished, GenerateJob, JobEvent, Source
from photogram.engine.batching import StepLimits
from photogram.engine.core import EngineCore
from photogram.engine.cost import GUESS, CostModel, CostTable
from photogram.engine.runner import PipelineRunner
from photogram.engine.scheduler import Scheduler
from tests.adapters import write_adapters
from tests.tiny import write_checkpoint
from tests.unit.engine.recording import InlineExecutor

Arrival = tuple[int, GenerateJob]


@st.composite
def sources(draw: st.DrawFn, width: int, height: int, num_steps: int) -> Source:
    pixels = np.random.default_rng(draw(st.integers(0, 1)))
    mask = pixels.integers(0, 256, (height, width), np.uint8)
    return Source(
        image=png(pixels.integers(0, 256, (height, width, 3), np.uint8)),
        mask=draw(st.none() | st.just(png(mask))),
        first_step=draw(st.integers(0, num_steps)),
    )


def png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


noisy = st.builds(
    GenerateJob,
    job_id=st.just(""),
    tenant=st.sampled_from("ab"),
    prompt=st.sampled_from(["a red cat", "a blue dog on the tree"]),
    width=st.sampled_from([16, 32, 64]),
    height=st.sampled_from([16, 48, 64]),
    num_steps=st.integers(1, 6),
    guidance=st.sampled_from([0.0, 1.5, 3.5]),
    seeds=st.sampled_from([(7,), (7, 8), (1, 2, 3)]),
    image_format=st.just("png"),
    num_previews=st.sampled_from([0, 0, 2]),
    adapters=st.sampled_from(
        [
            *((), ()),
            (Adapter("everything", 0.5),),
            (Adapter("attention", 2.0),),
            (Adapter("everything", 1.0), Adapter("attention", 0.3)),
        ]
    ),
)


@st.composite
def orders(draw: st.DrawFn) -> GenerateJob:
    """Of noise alone, or of a picture, with and without a mask."""
    job = draw(noisy)
    source = draw(st.none() | sources(job.width, job.height, job.num_steps))
    return replace(job, source=source)


prices = st.floats(1e-6, 1e-2)
tables = st.builds(
    CostTable,
    step=st.tuples(prices, prices, prices, st.just(1e-9)),
    begin=st.tuples(prices),
    encode=st.tuples(prices, st.just(1e-7)),
    decode=st.tuples(prices, st.just(1e-7)),
)
limits = st.builds(
    StepLimits, target_s=st.floats(1e-3, 1.0), num_tokens=st.sampled_from([20, 60, 200])
)


ROOMY = StepLimits(target_s=1.0, num_tokens=1000)


@dataclass(frozen=True)
class Mix:
    """What comes and goes, in turns of the engine, and what makes the scheduler's choices.

    Attributes:
        cancelled: Number of an arrival -> the turn in which it is cancelled.
    """

    arrivals: list[Arrival]
    cancelled: dict[int, int] = field(default_factory=dict)
    table: CostTable = GUESS
    limits: StepLimits = ROOMY


mixes = st.builds(
    Mix,
    arrivals=st.lists(st.tuples(st.integers(0, 12), orders()), min_size=2, max_size=6),
    cancelled=st.dictionaries(st.integers(0, 5), st.integers(0, 20), max_size=2),
    table=tables,
    limits=limits,
)


class Engine:
    """A tiny checkpoint, and what it paints of a job alone."""

    def __init__(self, runner: PipelineRunner) -> None:
        self._runner = runner
        self.alone = lru_cache(maxsize=None)(self._alone)

    def run(self, mix: Mix) -> dict[str, JobEvent]:
        """Number of an arrival -> its last event."""
        last: dict[str, JobEvent] = {}
        core = EngineCore(
            self._runner,
            Scheduler(CostModel(mix.table), mix.limits),
            lambda event: last.update({event.job_id: event}),
            InlineExecutor(),
        )
        numbered = [
            (at, replace(job, job_id=str(number))) for number, (at, job) in enumerate(mix.arrivals)
        ]
        waiting = sorted(numbered, key=lambda arrival: arrival[0])
        turn = 0
        while waiting or core.has_work:
            while waiting and waiting[0][0] <= turn:
                core.handle(waiting.pop(0)[1])
            for number, at in mix.cancelled.items():
                if at == turn:
                    core.handle(CancelJob(str(number)))
            if core.has_work:
                core.step()
            turn += 1
        return last

    def _alone(self, job: GenerateJob, seed: int) -> bytes:
        last = self.run(Mix([(0, replace(job, seeds=(seed,)))]))["0"]
        assert isinstance(last, Finished)
        return last.images[0].data


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    folder = write_checkpoint(tmp_path_factory.mktemp("tiny"), num_heads=3, num_single_layers=2)
    loras = write_adapters(folder)
    num_threads = torch.get_num_threads()
    yield Engine(
        PipelineRunner.load(folder, device="cpu", dtype=request.param, threads=1, loras=loras)
    )
    torch.set_num_threads(num_threads)


def check(engine: Engine, mix: Mix) -> None:
    ends = engine.run(mix)
    assert len(ends) == len(mix.arrivals)
    for number, (_, job) in enumerate(mix.arrivals):
        last = ends[str(number)]
        if isinstance(last, Finished):
            key = replace(job, tenant="", seeds=(), num_previews=0)
            assert [image.data for image in last.images] == [
                engine.alone(key, seed) for seed in job.seeds
            ]
        else:
            assert number in mix.cancelled


SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@settings(max_examples=20, deadline=None, suppress_health_check=SLOW)
@given(mix=mixes)
def test_pictures_are_the_same_in_every_mix(engine: Engine, mix: Mix) -> None:
    check(engine, mix)


@pytest.mark.long
@settings(max_examples=200, deadline=None, suppress_health_check=SLOW)
@given(mix=mixes)
def test_pictures_are_the_same_in_two_hundred_mixes(engine: Engine, mix: Mix) -> None:
    check(engine, mix)
