"""Predicts how many seconds the engine's work takes, and learns from how many it took.

In: what a piece of work holds (samples, tokens, pixels), and measured seconds. Out: predicted
seconds. It measures nothing itself: it has no clock, no torch and no idea of a queue.

Each stage is a sum of terms, a price times a count. A step has five: one price for the call itself,
one a sample (attention runs for each by itself), one a token (linear layers), one a pair of tokens
(attention), one a token for each adapter that changes it. Prices stay positive, so more work never looks cheaper, and shapes that were never run
are predicted too.

Learning is gradient descent on the squared logarithm of measured over predicted, in the logarithms
of the prices: errors count in per cent, and each price moves by its own share of the prediction, so
that serving one shape for hours does not forget the others. One measurement moves a prediction
little, and one that is far out no more than one that is out twofold: the machine may be shared.
"""

import math
from collections.abc import Iterable, Sequence
from operator import mul
from typing import NamedTuple

import msgspec

_SERVING_RATE = 0.1
"""Of an error, so much is learned from one measurement (times the squares of the terms' shares, so
the last thirty or so count)."""

_FITTING_RATE = 0.2
_FITTING_ROUNDS = 300
_MOST_SURPRISE = math.log(2)

_ADAPTED_SHARE = 0.3
"""Of a token's price, an adapter's until steps with adapters were run: half on a small network, some per
cent on a large one."""


class Load(NamedTuple):
    """What is in one denoising step.

    Attributes:
        num_pairs: The sum over the samples of the square of their tokens.
        num_adapted: The sum over the samples of their tokens, times their adapters.
    """

    num_samples: int = 0
    num_tokens: int = 0
    num_pairs: int = 0
    num_adapted: int = 0

    @classmethod
    def of(cls, num_tokens: Iterable[int]) -> "Load":
        """A step of samples that have so many tokens each, and no adapters."""
        return cls.together(cls.of_sample(each) for each in num_tokens)

    @classmethod
    def of_sample(cls, num_tokens: int, num_adapters: int = 0) -> "Load":
        """A step of one sample."""
        return cls(1, num_tokens, num_tokens**2, num_tokens * num_adapters)

    @classmethod
    def together(cls, loads: "Iterable[Load]") -> "Load":
        """One step of what is in several."""
        whole = cls()
        for load in loads:
            whole = whole.beside(load)
        return whole

    def beside(self, other: "Load") -> "Load":
        """One step of what is in both."""
        return Load(
            self.num_samples + other.num_samples,
            self.num_tokens + other.num_tokens,
            self.num_pairs + other.num_pairs,
            self.num_adapted + other.num_adapted,
        )


class CostTable(msgspec.Struct, frozen=True):
    """The prices of all stages, in seconds.

    Attributes:
        step: Of one call, one sample, one token, one pair of tokens.
        adapted: Of one token for each adapter that changes it.
        begin: Of one new prompt with its first noise.
        encode: Of one picture to begin from, one pixel of it.
        decode: Of one picture, one pixel.
    """

    step: tuple[float, ...]
    begin: tuple[float, ...]
    encode: tuple[float, ...]
    decode: tuple[float, ...]
    adapted: float = 1.5e-5


GUESS = CostTable(
    step=(3e-3, 1e-3, 5e-5, 1e-9), begin=(1e-2,), encode=(5e-3, 8e-7), decode=(5e-3, 8e-7)
)
"""Before anything was measured: a small network on a processor."""


class CostModel:
    """The seconds of every stage.

    Args:
        table: Prices to begin with.
    """

    def __init__(self, table: CostTable = GUESS) -> None:
        self._step = _Stage((*table.step, table.adapted))
        self._begin = _Stage(table.begin)
        self._encode = _Stage(table.encode)
        self._decode = _Stage(table.decode)

    @property
    def table(self) -> CostTable:
        """The prices as they are now."""
        *step, adapted = self._step.prices
        return CostTable(
            step=tuple(step),
            begin=tuple(self._begin.prices),
            encode=tuple(self._encode.prices),
            decode=tuple(self._decode.prices),
            adapted=adapted,
        )

    @property
    def begin_s(self) -> float:
        """Seconds of encoding a prompt and drawing noise."""
        return self._begin.seconds((1,))

    def encode_s(self, num_pixels: int) -> float:
        """Seconds of turning a picture of so many pixels into latents; of none for 0."""
        return self._encode.seconds((1, num_pixels)) if num_pixels else 0.0

    def step_s(self, load: Load) -> float:
        """Seconds of one denoising step."""
        return self._step.seconds((1, *load))

    def decode_s(self, num_pixels: int) -> float:
        """Seconds from latents to pixels."""
        return self._decode.seconds((1, num_pixels))

    def picture_s(self, load: Load, num_pixels: int, num_steps: int) -> float:
        """Seconds of one picture from its noise to its pixels, with nothing beside it.

        Args:
            load: Of a step with it alone.
            num_pixels: Of it.
            num_steps: Of it.
        """
        return num_steps * self.step_s(load) + self.decode_s(num_pixels)

    def observe_begin(self, seconds: float) -> None:
        """Learn from one prompt that was encoded while serving."""
        self._begin.observe((1,), seconds)

    def observe_encode(self, num_pixels: int, seconds: float) -> None:
        """Learn from one picture that was encoded while serving."""
        self._encode.observe((1, num_pixels), seconds)

    def observe_step(self, load: Load, seconds: float) -> None:
        """Learn from one step that was run while serving."""
        self._step.observe((1, *load), seconds)

    def observe_decode(self, num_pixels: int, seconds: float) -> None:
        """Learn from one picture that was decoded while serving."""
        self._decode.observe((1, num_pixels), seconds)

    def fit_begin(self, seconds: float) -> None:
        """Take one careful measurement as it is."""
        self._begin.fit([((1,), seconds)])

    def fit_steps(self, measured: Iterable[tuple[Load, float]]) -> None:
        """Fit the prices of a step to careful measurements of several loads without adapters."""
        self._step.fit([((1, *load), seconds) for load, seconds in measured])
        _, _, token, _, _ = self._step.prices
        self._step.prices[-1] = _ADAPTED_SHARE * token

    def fit_encodes(self, measured: Iterable[tuple[int, float]]) -> None:
        """Fit the prices of encoding to careful measurements of several numbers of pixels."""
        self._encode.fit([((1, num_pixels), seconds) for num_pixels, seconds in measured])

    def fit_decodes(self, measured: Iterable[tuple[int, float]]) -> None:
        """Fit the prices of decoding to careful measurements of several numbers of pixels."""
        self._decode.fit([((1, num_pixels), seconds) for num_pixels, seconds in measured])


class _Stage:
    """One kind of work: positive prices, one for each count."""

    def __init__(self, prices: Sequence[float]) -> None:
        self.prices = list(prices)

    def seconds(self, counts: Sequence[int]) -> float:
        return sum(map(mul, self.prices, counts), start=0.0)

    def observe(self, counts: Sequence[int], seconds: float) -> None:
        surprise = self._surprise(counts, seconds)
        self._learn(counts, max(-_MOST_SURPRISE, min(surprise, _MOST_SURPRISE)), _SERVING_RATE)

    def fit(self, measured: Sequence[tuple[Sequence[int], float]]) -> None:
        for _ in range(_FITTING_ROUNDS):
            for counts, seconds in measured:
                self._learn(counts, self._surprise(counts, seconds), _FITTING_RATE)

    def _surprise(self, counts: Sequence[int], seconds: float) -> float:
        return math.log(max(seconds, 1e-9) / self.seconds(counts))

    def _learn(self, counts: Sequence[int], surprise: float, rate: float) -> None:
        predicted = self.seconds(counts)
        self.prices = [
            price * math.exp(rate * surprise * price * count / predicted)
            for price, count in zip(self.prices, counts, strict=True)
        ]
