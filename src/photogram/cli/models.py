"""``photogram models``: what a checkpoint folder is, without loading it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from photogram.weights.locate import Checkpoint

models = typer.Typer(
    help="Look into checkpoint folders.", no_args_is_help=True, rich_markup_mode=None
)


@models.callback()
def _models() -> None:
    """Keep `inspect` a word of its own, although it is the only command yet."""


@models.command("inspect")
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A checkpoint folder.")],
) -> None:
    """Say what a checkpoint is, what it knows and how large it is; exit 2 if it cannot be served."""
    from photogram.weights.locate import inspect as inspect_folder

    checkpoint = inspect_folder(path)
    console = Console(soft_wrap=True, highlight=False)
    for name, value in _facts(checkpoint).items():
        console.print(f"{name:<15} {value}", markup=False)
    table = Table("component", "class", "parameters", "MiB", "type", box=None)
    for part in checkpoint.components:
        size = f"{part.size_bytes / 2**20:.1f}"
        dtypes = ", ".join(part.dtypes)
        table.add_row(part.name, part.class_name, f"{part.num_parameters:,}", size, dtypes)
    console.print(table)


def _facts(checkpoint: "Checkpoint") -> dict[str, str]:
    model, params = checkpoint.model, checkpoint.transformer
    sizes = "  ".join(f"{ratio} {w}x{h}" for ratio, (w, h) in model.aspect_ratios.items())
    total_bytes = sum(part.size_bytes for part in checkpoint.components)
    facts = {
        "model": f"{model.name} ({model.slug})",
        "pipeline": checkpoint.class_name,
        "license": model.license or "see the checkpoint",
        "weights": f"{total_bytes / 2**20:.1f} MiB",
        "transformer": f"{params.depth} double and {params.depth_single_blocks} single blocks, "
        f"{params.num_heads} heads, width {params.hidden_size}",
        "guidance": "embedded" if model.has_guidance else "none",
        "text tokens": str(model.max_text_tokens),
        "sizes": sizes,
    }
    for name, words in (
        ("knows", model.concepts),
        ("styles", checkpoint.profile.styles),
        ("backgrounds", checkpoint.profile.backgrounds),
        ("try", model.suggested_prompts),
    ):
        if words:
            facts[name] = (" | " if name == "try" else ", ").join(words)
    return facts
