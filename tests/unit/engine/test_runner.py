"""What the runner makes of a device whose memory is short."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from photogram.core.errors import EngineFailedError
from photogram.core.messages import Adapter, Source, Vitals
from photogram.engine.request import Request, Sample
from photogram.engine.runner import PipelineRunner
from photogram.pipeline.flux import Pipeline
from tests.adapters import write_adapters
from tests.tiny import write_checkpoint
from tests.unit.engine.recording import job


def sample(**fields: object) -> Sample:
    return Request(job("a", **fields), num_tokens=1, arrived_at=0.0).samples[0]


@dataclass
class ShortOfMemory:
    """A pipeline on a CPU whose memory is full so many times."""

    num_failures: int
    error: Callable[[], Exception] = torch.OutOfMemoryError
    calls: list[int] = field(default_factory=list)

    device = torch.device("cpu")

    def step(self, states: Sequence[object]) -> None:
        self.calls.append(len(states))
        if len(self.calls) <= self.num_failures:
            raise self.error()

    def decode(self, state: object) -> object:
        self.step([state])
        return state


def runner_of(pipeline: ShortOfMemory) -> PipelineRunner:
    return PipelineRunner(cast(Pipeline, pipeline))


def test_it_tells_what_the_process_holds() -> None:
    counted = Vitals(num_steps=3)
    held = runner_of(ShortOfMemory(num_failures=0)).with_holdings(counted)
    assert (held.num_steps, held.device, held.device_total_bytes) == (3, "cpu", None)
    assert held.memory_bytes > 2**20


@pytest.mark.parametrize("work", ["step", "decode"])
def test_what_finds_no_memory_is_tried_once_more_alone(work: str) -> None:
    short = ShortOfMemory(num_failures=1)
    runner = runner_of(short)
    state: Any = object()
    if work == "step":
        runner.step([state])
    else:
        assert runner.decode(state) is state
    assert short.calls == [1, 1]


def test_what_finds_none_again_fails_and_says_so() -> None:
    short = ShortOfMemory(num_failures=2)
    with pytest.raises(EngineFailedError, match="too little memory"):
        runner_of(short).step(cast(Any, [object()]))
    assert short.calls == [1, 1]


def test_a_batch_that_finds_none_is_the_callers_to_divide() -> None:
    short = ShortOfMemory(num_failures=1)
    with pytest.raises(torch.OutOfMemoryError):
        runner_of(short).step(cast(Any, [object(), object()]))
    assert short.calls == [2]


def test_another_error_is_not_tried_again() -> None:
    short = ShortOfMemory(num_failures=1, error=lambda: RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        runner_of(short).step(cast(Any, [object()]))
    assert short.calls == [1]


def test_a_picture_too_large_for_any_memory_is_told_as_that(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny", dynamic_shift=False)
    runner = PipelineRunner.load(folder, device="cpu", dtype="float32", threads=0)
    petabyte = sample(width=2**26, height=2**26)
    with pytest.raises(EngineFailedError, match="too little memory"):
        runner.begin(petabyte)
    assert petabyte.state is None


@pytest.mark.parametrize("image", [b"", b"\x89PNG\r\n\x1a\n broken"])
def test_a_source_that_cannot_be_read_is_the_jobs_failure(image: bytes) -> None:
    request = sample(source=Source(image=image, first_step=1)).request
    with pytest.raises(EngineFailedError, match="64x64"):
        runner_of(ShortOfMemory(num_failures=0)).encode_source(request)
    assert request.source is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny"))


class TestAdapters:
    @pytest.fixture
    def loras(self, folder: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(write_adapters(folder), tmp_path / "loras"))

    @pytest.fixture
    def runner(self, folder: Path, loras: Path) -> PipelineRunner:
        return PipelineRunner.load(folder, device="cpu", dtype="float32", threads=0, loras=loras)

    def test_their_order_does_not_matter(self, runner: PipelineRunner) -> None:
        adapters = (Adapter("everything", 0.4), Adapter("attention", 1.5))
        pictures = []
        for each in (adapters, adapters[::-1]):
            painted = sample(adapters=each)
            runner.begin(painted)
            runner.step([painted.state])
            pictures.append(painted.state.img)
        assert torch.equal(*pictures)

    def test_a_job_under_way_keeps_what_it_began_with(
        self, runner: PipelineRunner, loras: Path
    ) -> None:
        request = sample(adapters=(Adapter("attention", 1.0),), seeds=(1, 2)).request
        runner.begin(request.samples[0])
        shutil.copy(loras / "everything.safetensors", loras / "new")
        (loras / "new").replace(loras / "attention.safetensors")
        runner.begin(request.samples[1])
        first, second = (each.state.adapters for each in request.samples)
        assert first == second
        later = sample(adapters=(Adapter("attention", 1.0),))
        runner.begin(later)
        assert later.state.adapters != first

    def test_what_is_broken_or_gone_fails_its_own_job_in_plain_words(
        self, runner: PipelineRunner, loras: Path
    ) -> None:
        whole = (loras / "attention.safetensors").read_bytes()
        (loras / "cut.safetensors").write_bytes(whole[:-1])
        with pytest.raises(
            EngineFailedError, match=r"'cut' cannot be used: cut\.safetensors is truncated"
        ) as refused:
            runner.begin(sample(adapters=(Adapter("cut", 1.0),)))
        assert str(loras) not in refused.value.message
        with pytest.raises(EngineFailedError, match="'gone' is not there any more"):
            runner.begin(sample(adapters=(Adapter("gone", 1.0),)))
        runner.begin(sample(adapters=(Adapter("attention", 1.0),)))
