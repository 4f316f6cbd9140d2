"""The shapes of the answers that OpenAI's clients read, and the events that they follow.

Finished pictures come in; OpenAI's JSON or its stream events go out. `usage` counts tokens of this
server's model: what it read of the prompt, and what it painted.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Self, cast

from pydantic import BaseModel, Field

from photogram.api.errors import openai_error_body
from photogram.api.links import Links
from photogram.api.openai_request import OpenaiRequest
from photogram.api.streaming import ServerEvent
from photogram.core import clock
from photogram.core.errors import PhotogramError
from photogram.core.ids import made_at
from photogram.core.messages import ModelInfo, Preview, Progress
from photogram.generation.closing import Outcome
from photogram.generation.service import Run

OpenaiFormat = Literal["png", "jpeg", "webp"]


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
    """One picture: the file itself, or where it is."""

    b64_json: str | None = None
    url: str | None = None


class _Picture(BaseModel):
    """What is said of pictures in every form."""

    background: Literal["opaque"] = "opaque"
    output_format: OpenaiFormat
    quality: Literal["low", "medium", "high"]
    size: str


class _Finished(_Picture):
    """What is said of finished pictures in both forms."""

    usage: Usage


class OpenaiImagesAnswer(_Finished):
    """All pictures of a request."""

    created: int
    data: list[OpenaiImage]


class OpenaiPartialEvent(_Picture):
    """A small and rough preview of a picture; `size` is the picture's."""

    type: Literal["image_generation.partial_image", "image_edit.partial_image"]
    created_at: int
    b64_json: str
    partial_image_index: int


class OpenaiCompletedEvent(_Finished):
    """One picture of a stream."""

    type: Literal["image_generation.completed", "image_edit.completed"]
    created_at: int
    b64_json: str


def images_answer(outcome: Outcome, asked: OpenaiRequest, links: Links) -> OpenaiImagesAnswer:
    """The answer to a request that has run and was paid for."""
    if asked.wants_urls:
        data = [OpenaiImage(url=links.files + file.file_name) for file in outcome.files]
    else:
        files = (b64encode(image.data).decode("ascii") for image in outcome.finished.images)
        data = [OpenaiImage(b64_json=file) for file in files]
    return OpenaiImagesAnswer(
        created=made_at(outcome.finished.job_id),
        data=data,
        output_format=asked.output_format,
        quality=asked.quality,
        size=asked.size,
        usage=Usage.of(outcome, asked.model, len(data)),
    )


@dataclass(slots=True)
class OpenaiEvents:
    """The words of one streamed request; implements `EventWords`.

    A partial image has no number of its picture in OpenAI's words, so only the first picture's are
    told.
    """

    asked: OpenaiRequest
    _num_partial: int = field(default=0, init=False)

    def queued(self, _run: Run) -> Iterable[ServerEvent]:
        return ()

    def progress(self, _progress: Progress) -> Iterable[ServerEvent]:
        return ()

    def preview(self, preview: Preview) -> Iterator[ServerEvent]:
        if preview.index != 0:
            return
        event = OpenaiPartialEvent(
            type=f"{self.asked.kind}.partial_image",
            created_at=_now_s(),
            b64_json=b64encode(preview.data).decode("ascii"),
            partial_image_index=self._num_partial,
            output_format=cast(OpenaiFormat, preview.content_type.removeprefix("image/")),
            quality=self.asked.quality,
            size=self.asked.size,
        )
        self._num_partial += 1
        yield ServerEvent(event.type, event.model_dump())

    def finished(self, outcome: Outcome) -> Iterator[ServerEvent]:
        for image in outcome.finished.images:
            event = OpenaiCompletedEvent(
                type=f"{self.asked.kind}.completed",
                created_at=made_at(outcome.finished.job_id),
                b64_json=b64encode(image.data).decode("ascii"),
                output_format=self.asked.output_format,
                quality=self.asked.quality,
                size=self.asked.size,
                usage=Usage.of(outcome, self.asked.model, 1),
            )
            yield ServerEvent(event.type, event.model_dump())

    def failed(self, error: PhotogramError) -> Iterator[ServerEvent]:
        yield ServerEvent("error", {"type": "error"} | openai_error_body(error))


def _now_s() -> int:
    return int(clock.now().timestamp())
