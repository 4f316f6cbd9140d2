"""Measures what the device's work takes, so that the first requests are predicted well.

In: a runner. Out: a cost model fitted to it, at the model's native size and a quarter of it. The
first picture is painted before the server is ready, and warms the device up; everything else is
measured after, one short piece at a time, so that no job waits for more than a piece. It knows no
queue.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import structlog
from PIL import Image

from photogram.core.messages import GenerateJob, Source
from photogram.engine.cost import CostModel, Load
from photogram.engine.device import Runner
from photogram.engine.request import Request, Sample
from photogram.imaging.decode import as_png

Key = TypeVar("Key", Load, int)

_NUM_SAMPLES = (1, 2, 4, 8)
_NUM_REPEATS = 3

_log = structlog.get_logger(__name__)


class Calibration:
    """The measurements of one device.

    Args:
        runner: Does the work.
        cost: Learns what it takes.
        longest_s: What is predicted to take longer is not measured; serving will tell.
    """

    def __init__(self, runner: Runner, cost: CostModel, *, longest_s: float) -> None:
        self._runner = runner
        self._cost = cost
        self._sizes = (runner.model.size("1:1"), runner.model.size("1:1", "0.25"))
        self._longest_s = longest_s
        self._prompt = "warm up"
        self._steps: list[tuple[Load, float]] = []
        self._encodes: list[tuple[int, float]] = []
        self._decodes: list[tuple[int, float]] = []
        self._pieces = self._measure()

    @property
    def piece_s(self) -> float:
        """The most seconds that a piece is predicted to take."""
        return max(self._longest_s, self._cost.begin_s)

    def warm_up(self) -> None:
        """Paint a picture of native size in a few steps; its times are the first estimate.

        All is done twice: a first time may be many times slower, and what is believed to take too
        long is not measured again, and would be refused to those who have a deadline.
        """
        self._time_begin()
        sample = self._time_begin()
        for _ in range(2):
            self._time_steps([sample])
        for _ in range(2):
            self._time_decode(sample)
        self._runner.preview(sample.state)  # the first finds out how to draw them
        self._fit()

    def run_piece(self) -> bool:
        """Do the next piece; returns whether there was one.

        Where the device cannot do it (its memory is full, say), what was measured so far counts.
        """
        try:
            return next(self._pieces, False)
        except Exception:  # noqa: BLE001 - the server is ready, and can do without the rest
            _log.exception("calibration_broke_off")
            self._fit()
            return False

    def _measure(self) -> Iterator[bool]:
        """All pieces, each of which ends with a yield."""
        if self._cost.begin_s <= self._longest_s:
            self._time_begin()
            yield True
        for size in self._sizes:
            samples: list[Sample] = []
            for num_samples in _NUM_SAMPLES:
                while len(samples) < num_samples:
                    samples.append(self._begin(size))
                    yield True
                if self._cost.step_s(_load(samples)) > self._longest_s:
                    break
                for _ in range(_NUM_REPEATS):
                    self._time_steps(samples)
                    yield True
            if self._cost.decode_s(samples[0].request.num_pixels) <= self._longest_s:
                self._time_decode(samples[0])
                yield True
                for _ in range(2):
                    self._time_encode(size)
                    yield True
        self._fit()

    def _time_begin(self) -> Sample:
        """Of a prompt that is not known yet; the last time counts, as the first is slower."""
        self._prompt += "."
        began_at = time.perf_counter()
        sample = self._begin(self._sizes[0])
        self._cost.fit_begin(time.perf_counter() - began_at)
        return sample

    def _begin(self, size: tuple[int, int]) -> Sample:
        request = self._request(size)
        self._runner.begin(request.samples[0])
        return request.samples[0]

    def _request(self, size: tuple[int, int], source: Source | None = None) -> Request:
        width, height = size
        job = GenerateJob(
            job_id="",
            tenant="",
            prompt=self._prompt,
            width=width,
            height=height,
            num_steps=_NUM_REPEATS * len(_NUM_SAMPLES),
            guidance=1.0,
            seeds=(0,),
            source=source,
        )
        return Request(job, self._runner.model.num_tokens(width, height), arrived_at=0.0)

    def _time_steps(self, samples: Sequence[Sample]) -> None:
        for sample in samples:
            self._runner.forget(sample.state)
        began_at = time.perf_counter()
        self._runner.step([sample.state for sample in samples])
        self._steps.append((_load(samples), time.perf_counter() - began_at))

    def _time_encode(self, size: tuple[int, int]) -> None:
        image = as_png(Image.new("RGB", size), size)
        request = self._request(size, Source(image=image, first_step=0))
        began_at = time.perf_counter()
        self._runner.encode_source(request)
        self._encodes.append((request.num_pixels, time.perf_counter() - began_at))

    def _time_decode(self, sample: Sample) -> None:
        began_at = time.perf_counter()
        self._runner.decode(sample.state)
        self._decodes.append((sample.request.num_pixels, time.perf_counter() - began_at))

    def _fit(self) -> None:
        """The quickest of equal measurements counts: what delays it is not its own.

        Encoding takes no longer than decoding, and is taken to be as long until it was measured.
        """
        self._cost.fit_steps(_quickest(self._steps))
        self._cost.fit_encodes(_quickest(self._encodes or self._decodes))
        self._cost.fit_decodes(_quickest(self._decodes))


def _quickest(measured: Iterable[tuple[Key, float]]) -> list[tuple[Key, float]]:
    best: dict[Key, float] = {}
    for key, seconds in measured:
        best[key] = min(best.get(key, seconds), seconds)
    return list(best.items())


def _load(samples: Iterable[Sample]) -> Load:
    return Load.of(sample.request.num_tokens for sample in samples)
