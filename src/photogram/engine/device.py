"""What the engine asks of whoever owns the device.

Requests and samples go in, what they have become comes back with them. It says nothing of when and
with whom a sample has its turn.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from photogram.core.messages import EncodedImage, ModelInfo
from photogram.engine.request import Request, Sample


class Runner(Protocol):
    """Owns the device. Every method may raise; what a sample's state is, only it knows.

    What a method starts on the device is done when it returns, so that it can be timed.
    """

    @property
    def model(self) -> ModelInfo:
        """What the device paints with."""

    @property
    def compiles(self) -> bool:
        """A first step of new shapes may take minutes."""

    def encode_source(self, request: Request) -> None:
        """Turn the picture that a request begins from into latents, and set its `source`."""

    def begin(self, sample: Sample) -> None:
        """Encode the prompt, draw the noise, and set the sample's state."""

    def step(self, states: Sequence[Any]) -> None:
        """One denoising step for all; if it raises, no state has changed."""

    def forget(self, state: Any) -> None:
        """The next step of it is a whole one, whatever could be left out of it."""

    def decode(self, state: Any) -> Any:
        """Latents to pixels, (height, width, 3) uint8."""

    def encode(self, pixels: Any, sample: Sample) -> EncodedImage:
        """Pixels to a file; safe to call on another thread."""

    def preview(self, state: Any) -> Any:
        """Pixels of what a picture under way will roughly look like; changes nothing of it."""

    def encode_preview(self, pixels: Any, sample: Sample) -> EncodedImage:
        """The same to a small file; safe to call on another thread."""
