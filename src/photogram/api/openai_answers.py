"""The shapes of the answers that OpenAI's clients read, and the events that they follow.

Finished pictures come in; OpenAI's JSON or its stream events go out. `usage` counts tokens of this
server's model: what it read of the prompt, and what it painted.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, Field

from photogram.api.errors import openai_error_body
from photogram.api.openai_request import OpenaiRequest
from photogram.api.streaming import ServerEvent
from photogram.core import clock
from photogram.core.errors import PhotogramError
from photogram.core.messages import ModelInfo, Progress
from photogram.generation.dispatcher import Outcome
from photogram.generation.service import Run


class OpenaiError(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None = Field(description="The field that is wrong; of several, the first.")
    code: str


class OpenaiErrorAnswer(BaseModel):
    """The body of every error on OpenAI's routes."""

    error: OpenaiError


class TokenDetails(BaseModel):
    """What tokens were of."""

    image_tokens: int
    text_tokens: int


class Usage(BaseModel):
    """Tokens of the model."""

    input_tokens: int = Field(description="Tokens of the prompt before it was cut.")
    input_tokens_details: TokenDetails
    output_tokens: int = Field(description="Tokens of the pictures.")
    output_tokens_details: TokenDetails
    total_tokens: int

    @classmethod
    def of(cls, outcome: Outcome, model: ModelInfo, num_images: int) -> Self:
        """That of some of a request's pictures, which all have one size."""
        image = outcome.finished.images[0]
        per_image = image.width // model.size_multiple * (image.height // model.size_multiple)
        text = outcome.finished.prompt_tokens
        painted = num_images * per_image
        return cls(
            input_tokens=text,
            input_tokens_details=TokenDetails(image_tokens=0, text_tokens=text),
            output_tokens=painted,
            output_tokens_details=TokenDetails(image_tokens=painted, text_tokens=0),
            total_tokens=text + painted,
        )


class OpenaiImage(BaseModel):
    """One picture."""

    b64_json: str


class _Finished(BaseModel):
    """What is said of pictures in both forms."""

    background: Literal["opaque"] = "opaque"
    output_format: Literal["png", "jpeg", "webp"]
    quality: Literal["low", "medium", "high"]
    size: str
    usage: Usage


class OpenaiImagesAnswer(_Finished):
    """All pictures of a request."""

    created: int
    data: list[OpenaiImage]


class OpenaiCompletedEvent(_Finished):
    """One picture of a stream."""

    type: Literal["image_generation.completed"] = "image_generation.completed"
    created_at: int
    b64_json: str


def images_answer(outcome: Outcome, asked: OpenaiRequest, model: ModelInfo) -> OpenaiImagesAnswer:
    """The answer to a request that has run and was paid for."""
    files = [b64encode(image.data).decode("ascii") for image in outcome.finished.images]
    return OpenaiImagesAnswer(
        created=_now_s(),
        data=[OpenaiImage(b64_json=file) for file in files],
        output_format=asked.output_format,
        quality=asked.quality,
        size=asked.size,
        usage=Usage.of(outcome, model, len(files)),
    )


@dataclass(frozen=True, slots=True)
class OpenaiEvents:
    """The words of one streamed request; implements `EventWords`.

    Nothing is told before a picture is complete: a partial image would have to be painted first.
    """

    asked: OpenaiRequest
    model: ModelInfo

    def queued(self, _run: Run) -> Iterable[ServerEvent]:
        return ()

    def progress(self, _progress: Progress) -> Iterable[ServerEvent]:
        return ()

    def finished(self, outcome: Outcome) -> Iterator[ServerEvent]:
        for image in outcome.finished.images:
            event = OpenaiCompletedEvent(
                created_at=_now_s(),
                b64_json=b64encode(image.data).decode("ascii"),
                output_format=self.asked.output_format,
                quality=self.asked.quality,
                size=self.asked.size,
                usage=Usage.of(outcome, self.model, 1),
            )
            yield ServerEvent(event.type, event.model_dump())

    def failed(self, error: PhotogramError) -> Iterator[ServerEvent]:
        yield ServerEvent("error", {"type": "error"} | openai_error_body(error))


def _now_s() -> int:
    return int(clock.now().timestamp())
