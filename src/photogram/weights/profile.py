"""What a model folder says of itself to people: its name, its sizes and steps, what it paints well.

In: ``photogram.json`` in the folder, which may be missing. Out: a checked `Profile`. A folder
without one is served at the sizes of FLUX.1 [dev], and with its steps or, where it embeds no
guidance, with those of FLUX.1 [schnell].
"""

import re
from dataclasses import dataclass
from pathlib import Path

from photogram.core.errors import CheckpointError
from photogram.weights.configs import Config

PROFILE_FILE = "photogram.json"

NATIVE_SIZE = 1024
"""Pixels of a square's side at which FLUX.1 [dev] was trained."""

ASPECT_RATIOS = {
    "1:1": (1024, 1024),
    "16:9": (1344, 768),
    "9:16": (768, 1344),
    "21:9": (1536, 640),
    "9:21": (640, 1536),
    "3:2": (1216, 832),
    "2:3": (832, 1216),
    "4:5": (896, 1088),
    "5:4": (1088, 896),
    "3:4": (896, 1152),
    "4:3": (1152, 896),
}
"""Width and height in pixels of every ratio at one megapixel."""

MAX_STEPS = 50
"""The most that any model may be asked for: plans of memory count on it."""

_STEPS = {True: (25, MAX_STEPS), False: (4, 12)}
"""Default and limit of a model with guidance, and of one without: it was distilled to few steps.

Source: black-forest-labs/FLUX.1-schnell, its card: 1 to 4 steps; FLUX.1-dev as it is served.
"""

_KEYS = frozenset(
    {
        "slug",
        "name",
        "native_size",
        "aspect_ratios",
        "default_steps",
        "max_steps",
        "concepts",
        "styles",
        "backgrounds",
        "suggested_prompts",
        "license",
    }
)
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Profile:
    """Name, sizes and vocabulary of a model.

    Attributes:
        slug: The name in URLs.
        aspect_ratios: Every ratio of `ASPECT_RATIOS` -> (width, height) in pixels.
        default_steps: Denoising steps where none are asked for.
        max_steps: The most that may be asked for.
        concepts: Things that a small model knows; empty where anything goes.
        styles: Styles that it knows.
        backgrounds: Backgrounds that it knows.
    """

    slug: str
    name: str
    aspect_ratios: dict[str, tuple[int, int]]
    default_steps: int
    max_steps: int
    concepts: tuple[str, ...]
    styles: tuple[str, ...]
    backgrounds: tuple[str, ...]
    suggested_prompts: tuple[str, ...]
    license: str


def read_profile(checkpoint: Path, size_multiple: int, *, has_guidance: bool) -> Profile:
    """The folder's profile, or one made from the name of the folder or the file.

    Args:
        checkpoint: A folder, or a transformer's file in it.
        size_multiple: Sides must be multiples of this many pixels.
        has_guidance: The transformer embeds a guidance scale.

    Raises:
        CheckpointError: A value that cannot be used.
    """
    path = (checkpoint if checkpoint.is_dir() else checkpoint.parent) / PROFILE_FILE
    config = Config.read(path) if path.exists() else Config(path, {})
    unknown = sorted(set(config.names) - _KEYS)
    if unknown:
        raise CheckpointError(f"{path}: unknown key {', '.join(unknown)}")
    own_name = _name_of(checkpoint.absolute())
    slug = config.text("slug", _slug_of(own_name))
    if _SLUG.fullmatch(slug) is None:
        raise config.wrong("slug", "lower-case letters and digits, joined by hyphens")
    native_size = config.integer("native_size", NATIVE_SIZE, low=size_multiple, high=8192)
    usual_steps, usual_limit = _STEPS[has_guidance]
    max_steps = config.integer("max_steps", usual_limit, high=MAX_STEPS)
    return Profile(
        slug=slug,
        name=config.text("name", own_name or slug),
        aspect_ratios=_aspect_ratios(config, native_size, size_multiple),
        default_steps=config.integer("default_steps", min(usual_steps, max_steps), high=max_steps),
        max_steps=max_steps,
        concepts=config.texts("concepts"),
        styles=config.texts("styles"),
        backgrounds=config.texts("backgrounds"),
        suggested_prompts=config.texts("suggested_prompts"),
        license=config.text("license", ""),
    )


def _aspect_ratios(
    config: Config, native_size: int, size_multiple: int
) -> dict[str, tuple[int, int]]:
    """The profile's own table, or the megapixel table scaled to the native size."""
    if "aspect_ratios" not in config:
        return {
            ratio: (
                _rounded(width * native_size / NATIVE_SIZE, size_multiple),
                _rounded(height * native_size / NATIVE_SIZE, size_multiple),
            )
            for ratio, (width, height) in ASPECT_RATIOS.items()
        }
    table = config.table("aspect_ratios")
    if set(table.names) != set(ASPECT_RATIOS):
        raise config.wrong("aspect_ratios", f"an object with exactly {', '.join(ASPECT_RATIOS)}")
    sizes = {}
    for ratio in ASPECT_RATIOS:
        size = table.integers(ratio)
        if len(size) != 2 or any(side % size_multiple or side > 8192 for side in size):
            raise table.wrong(
                ratio, f"a width and a height, multiples of {size_multiple} up to 8192"
            )
        sizes[ratio] = (size[0], size[1])
    return sizes


def _rounded(side: float, size_multiple: int) -> int:
    return max(round(side / size_multiple), 1) * size_multiple


def _name_of(checkpoint: Path) -> str:
    """A file's name without its ending, or a folder's own.

    In a hub's cache (``models--OWNER--NAME/snapshots/HASH``) it is the model's.
    """
    if checkpoint.is_file():
        return checkpoint.stem
    if checkpoint.parent.name == "snapshots" and checkpoint.parents[1].name.startswith("models--"):
        return checkpoint.parents[1].name.rpartition("--")[2]
    return checkpoint.name


def _slug_of(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"
