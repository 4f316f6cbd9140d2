"""The file in which an operator lists the models of a server: TOML comes in, checked entries go out.

    [[model]]
    path = "FLUX.1-dev"

    [[model]]
    path = "FLUX.1-schnell"
    price_per_image = 0.001

It looks into no checkpoint.
"""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from photogram.core.errors import ConfigurationError
from photogram.core.settings import Device, Dtype, Price, Share


class ModelEntry(BaseModel):
    """One model of a server; what is None is as the settings or the checkpoint say.

    Attributes:
        path: A checkpoint's folder, or its transformer's file; relative to the file's own folder.
        slug: Its name in paths, instead of the checkpoint's own.
        default_steps: Denoising steps where none are asked for.
        max_steps: The most that may be asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    slug: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")] | None = None
    device: Device | None = None
    dtype: Dtype | None = None
    default_steps: Annotated[int, Field(ge=1)] | None = None
    max_steps: Annotated[int, Field(ge=1, le=50)] | None = None
    price_per_image: Price | None = None
    price_per_step: Price | None = None
    price_guidance_rate: Share | None = None


class _ModelFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: Annotated[list[ModelEntry], Field(min_length=1)]


def read_model_file(path: Path) -> list[ModelEntry]:
    """The models of a file, the default one first.

    Raises:
        ConfigurationError: It cannot be read, or something in it cannot be used; it is named.
    """
    try:
        content = tomllib.loads(path.read_text(), parse_float=Decimal)
        entries = _ModelFile.model_validate(content).model
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        raise ConfigurationError(f"{path}: {problems}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from None
    return [each.model_copy(update={"path": path.parent / each.path}) for each in entries]
