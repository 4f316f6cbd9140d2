"""Every setting, with its environment variable, default and range.

A setting `name` is read from ``PHOTOGRAM_NAME``; a flag of the CLI wins over it. A value out of
range, or a ``PHOTOGRAM_*`` variable that is no setting, refuses to start and names itself.
"""

import os
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from photogram.core.errors import ConfigurationError

ENV_PREFIX = "PHOTOGRAM_"

_PLAIN = re.compile(r"[!-~]+")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?) ?([GM]i?B)")
_UNITS = {"GiB": 2**30, "GB": 10**9, "MiB": 2**20, "MB": 10**6}


def _is_postgresql(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith("postgresql://"):
        raise ValueError("it must begin with postgresql://")
    return url


def _is_base(url: str) -> str:
    parts = urlsplit(url)
    parts.port  # noqa: B018 - it raises where it is no port
    whole = f"{parts.scheme}://{parts.netloc}{parts.path}"
    is_plain = url == whole and "@" not in url and _PLAIN.fullmatch(url) is not None
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
        raise ValueError("it must be http://HOST or https://HOST, perhaps with a port and a path")
    return url.rstrip("/")


DatabaseUrl = Annotated[SecretStr, AfterValidator(_is_postgresql)]
"""It may hold a password, so it is never printed."""


def _split_paths(value: object) -> object:
    if isinstance(value, str):
        value = tuple(value.split(os.pathsep))
        if not all(value):
            raise ValueError("one of the paths is empty")
    return (value,) if isinstance(value, Path) else value


ModelPaths = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split_paths)]
"""One path, or several with colons between them."""

Device = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
Dtype = Literal["auto", "float32", "bfloat16", "float8_e4m3fn", "int8", "nf4"]
Price = Annotated[Decimal, Field(ge=0, le=1000)]
Share = Annotated[Decimal, Field(ge=0, le=1)]


def _to_bytes(value: object) -> object:
    """``16GiB`` as bytes; what is no text is left to the validator."""
    if not isinstance(value, str):
        return value
    match = _MEMORY.fullmatch(value)
    if match is None:
        raise ValueError("it must be a number and GiB, GB, MiB or MB, such as 16GiB")
    return int(float(match[1]) * _UNITS[match[2]])


Memory = Annotated[int, BeforeValidator(_to_bytes), Field(ge=2**20)]
"""Bytes, written with a unit."""


class Settings(BaseSettings):
    """The server's settings; each one's description is its documentation."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address that the server listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port; 0 takes any free one.")
    public_url: Annotated[str, AfterValidator(_is_base)] | None = Field(
        None,
        description="What clients reach this server under, https://...; unset: what each called.",
    )
    admin_host: str = Field("127.0.0.1", description="Address of the operators' own API.")
    admin_port: int | None = Field(
        None, ge=0, le=65535, description="Its port; 0 takes any free one; unset: there is none."
    )
    data: Path = Field(Path("data"), description="Folder of the database and the secrets.")
    database_url: DatabaseUrl | None = Field(
        None,
        description="A PostgreSQL database, postgresql://...; unset: SQLite in the data folder.",
    )
    database_connections: int = Field(
        8, ge=1, le=1000, description="Connections to PostgreSQL held at once."
    )
    results: Path | None = Field(
        None,
        description="Folder of finished pictures, shared by the servers of one database; unset: in"
        " the data folder.",
    )
    results_hours: int = Field(
        168, ge=24, le=720, description="Finished pictures are kept so long."
    )
    model: ModelPaths | None = Field(
        None,
        description="Checkpoint folder, or its transformer's file; several with a colon between each"
        " two, the default model first; unset: the embedded one.",
    )
    models: Path | None = Field(
        None, description="A file that lists the models instead, with what is special of each."
    )
    models_loaded: int | None = Field(
        None, ge=1, description="So many models at most are loaded at once; unset: all."
    )
    models_memory: Memory | None = Field(
        None,
        description="Loaded models take so much memory at most together, as it is estimated, such as"
        " 48GiB; unset: any.",
    )
    loras: Path | None = Field(
        None,
        description="Folder of adapters (LoRA) that requests may name, a safetensors file each; read"
        " again for every request.",
    )
    device: Device = Field("auto", description="Where it runs.")
    dtype: Dtype = Field(
        "auto",
        description="Precision; auto: the fastest exact one. Approximate: float8_e4m3fn (on GPUs), int8"
        " and nf4, which take less memory.",
    )
    memory: Memory | None = Field(
        None,
        description="The most memory that the model may take of the device (of a CPU: of the host),"
        " such as 16GiB; unset: all that there is.",
    )
    step_cache: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Above 0, such as 0.1: a step whose first block changes by a smaller share than"
        " this skips the others. Faster, approximate.",
    )
    deterministic: bool = Field(
        False,
        description="On a GPU too, a picture is the same whatever is painted beside it; slower.",
    )
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of the worker; 0: all cores.")
    queue_limit: int = Field(
        256, ge=1, le=100_000, description="Jobs of a model queued or running at once."
    )
    jobs_per_account: int = Field(64, ge=1, le=100_000, description="Of these, per account.")
    requests_per_minute: int = Field(
        0, ge=0, le=1_000_000, description="Requests for pictures per key; 0: no limit."
    )
    step_target_s: float = Field(
        0.15,
        gt=0,
        le=3600,
        description="Seconds that a denoising step may last because requests share it; after each, "
        "the engine chooses anew.",
    )
    batch_tokens: int = Field(
        9216,
        ge=1,
        description="Text and image tokens of one step at most, which bounds its memory.",
    )
    worker_silence_s: float = Field(
        10.0, ge=3, le=3600, description="A worker that gives no sign of life so long is replaced."
    )
    job_timeout_s: float = Field(
        300.0, gt=0, le=86_400, description="A job older than this fails and is not billed."
    )
    async_timeout_s: float = Field(
        3600.0, gt=0, le=604_800, description="The same for a job whose client does not wait."
    )
    drain_timeout_s: float = Field(
        30.0, ge=0, le=86_400, description="After SIGTERM, jobs under way get so long to finish."
    )
    price_per_image: Price = Field(Decimal("0.0016"), description="Credits.")
    price_per_step: Price = Field(Decimal("0.00072"), description="Credits.")
    price_guidance_rate: Share = Field(
        Decimal("0.002"), description="Share of the price added per unit of guidance."
    )
    first_credits: Decimal = Field(
        Decimal(100),
        ge=0,
        le=1_000_000,
        decimal_places=6,
        description="Granted to the first account when made.",
    )
    disk_floor_mib: int = Field(
        64, ge=0, description="With less free disk than this: not ready, no new jobs."
    )
    webhook_private_addresses: bool = Field(
        False, description="Webhooks may go over http and to machines of your own network."
    )
    image_urls: Literal["none", "public", "any"] = Field(
        "none",
        description="Pictures that requests name by a URL. public: fetched over https from public"
        " addresses; any: over http and from your own network too.",
    )
    embed_prompt: bool = Field(False, description="Write the prompt into the files' metadata.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Logs.")


def load_settings(env: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from the environment, with the given ones (a CLI's flags) on top.

    Args:
        env: The environment to check for unknown names; the process's own by default.
        **overrides: Values that win over the environment; None means "not given".

    Raises:
        ConfigurationError: A value that cannot be used, or an unknown or empty variable; it is
            named.
    """
    env = os.environ if env is None else env
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in env if name.startswith(ENV_PREFIX) and name not in known)
    if unknown:
        raise ConfigurationError(f"unknown setting {', '.join(unknown)} in the environment")
    empty = sorted(name for name in known if env.get(name) == "")
    if empty:  # an empty host would be every address, an empty path the current folder
        raise ConfigurationError(f"{', '.join(empty)}: is empty; set it, or leave it out")
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(
            f"{ENV_PREFIX}{str(problem['loc'][0]).upper()}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ConfigurationError(problems) from None
