"""The shapes of the answers in JSON.

They are pydantic models, so that the OpenAPI document is made of what is really sent.
"""

from base64 import b64encode
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from photogram.core.messages import EncodedImage
from photogram.generation.closing import Outcome
from photogram.generation.records import RunFigures


def as_credits(amount_micro: int) -> float:
    """Micro-credits as a JSON number of credits."""
    return float(Decimal(amount_micro).scaleb(-6))


class Problem(BaseModel):
    """One field that is wrong."""

    field: str
    message: str
    min: float | None = None
    max: float | None = None
    allowed: list[str] | None = None


class ErrorAnswer(BaseModel):
    """The body of every error."""

    error: str = Field(description="What is wrong, for people; names each field and its limits.")
    code: str = Field(description="What is wrong, for programs.")
    request_id: str
    details: list[Problem]


class ImageAnswer(BaseModel):
    """One picture in JSON."""

    index: int
    seed: int
    content_type: str
    width: int
    height: int
    image: str = Field(description="The file in base64.")

    @classmethod
    def of(cls, index: int, image: EncodedImage) -> Self:
        """A finished picture."""
        return cls(
            index=index,
            seed=image.seed,
            content_type=image.content_type,
            width=image.width,
            height=image.height,
            image=b64encode(image.data).decode("ascii"),
        )


class Metrics(BaseModel):
    """What a request cost, in credits and in seconds."""

    cost: float
    remaining_credits: float
    inference_time: float
    queue_time: float
    total_time: float

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """Those of a request that has run."""
        return cls.kept(
            RunFigures.of(
                outcome.finished,
                outcome.total_time_s,
                outcome.cost_micro,
                outcome.remaining_micro,
            )
        )

    @classmethod
    def kept(cls, figures: RunFigures) -> Self:
        """Those that are kept with a job."""
        return cls(
            cost=as_credits(figures.cost_micro),
            remaining_credits=as_credits(figures.remaining_micro),
            inference_time=round(figures.generation_time_s, 3),
            queue_time=round(figures.queue_time_s, 3),
            total_time=round(figures.total_time_s, 3),
        )


class ImagesAnswer(BaseModel):
    """Pictures in JSON; `image` and `seed` are those of the first."""

    request_id: str
    status: Literal["COMPLETED"]
    image: str = Field(description="The first file in base64.")
    images: list[ImageAnswer]
    seed: int
    prompt_tokens: int
    steps_executed: int
    metrics: Metrics


class CreditsAnswer(BaseModel):
    """What an account can spend."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    credits: float
    free_credits: float = Field(alias="free-credits")


class Prices(BaseModel):
    """What pictures of one model cost, in credits."""

    per_image: float
    per_step: float
    guidance_rate: float
    default_request: float = Field(description="The price of a request with only a prompt.")


class PricingAnswer(Prices):
    """The price of pictures; beside `models`, that of the default model."""

    pixel_factors: dict[str, float]
    formula: str
    models: dict[str, Prices] = Field(description="Model, as it stands in its path -> its prices.")


class EstimateAnswer(BaseModel):
    """What a request would cost, and what it would paint; nothing has run."""

    cost: float
    remaining_credits: float
    samples: int
    steps: int
    steps_executed: int = Field(description="Fewer than `steps` with an `image`.")
    width: int
    height: int
    ignored_parameters: list[str]


class ModelAnswer(BaseModel):
    """What the server paints with."""

    id: str
    object: Literal["model"]
    created: int = Field(description="When this server began to offer it; Unix seconds.")
    owned_by: str
    name: str
    license: str
    aspect_ratios: dict[str, Annotated[list[int], Field(min_length=2, max_length=2)]] = Field(
        description="Ratio -> width, height."
    )
    sizes: list[str] = Field(description="Every size as OpenAI's routes name it.")
    size_multiple: int
    max_text_tokens: int
    has_guidance: bool
    default_steps: int
    max_steps: int
    names: list[str] = Field(description="What may stand in its path, `POST /v1/NAME`.")
    state: Literal["loaded", "loading", "waiting", "failed"] = Field(
        description="`waiting`: it is loaded when it is asked for; `failed`: it could not be."
    )
    prices: Prices
    concepts: list[str] = Field(description="What a small model knows; empty: anything goes.")
    suggested_prompts: list[str]
    loras: list[str] = Field(description="Adapters that `loras` of a request may name.")


class ModelsAnswer(BaseModel):
    """The models of this server, the default one first."""

    object: Literal["list"]
    data: list[ModelAnswer]


class HealthAnswer(BaseModel):
    """The event loop turns."""

    status: Literal["ok"]


class ReadyAnswer(BaseModel):
    """Every named check passes."""

    status: Literal["ready"]
    checks: dict[str, bool]


class UnreadyAnswer(ErrorAnswer):
    """At least one named check fails."""

    status: Literal["unready"]
    checks: dict[str, bool]
