"""``photogram models``: what a checkpoint is, what it lacks and what it needs, without loading it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.console import Console
from rich.table import Column, Table

from photogram.cli.options import ModelOption
from photogram.core.errors import CheckpointError
from photogram.core.settings import load_settings

if TYPE_CHECKING:
    from photogram.model.params import FluxParams
    from photogram.weights.locate import Checkpoint
    from photogram.weights.parts import Parts
    from photogram.weights.sizes import Shapes

models = typer.Typer(help="Look into checkpoints.", no_args_is_help=True, rich_markup_mode=None)


@models.callback()
def _models() -> None:
    """Keep `inspect` a word of its own, although it is the only command yet."""


@models.command("inspect")
def inspect(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A checkpoint's folder, its transformer's file, or an adapter."
        ),
    ],
    model: ModelOption = None,
) -> None:
    """Say what a checkpoint is, what it lacks and what it needs; exit 2 if it cannot be served.

    A file's other parts are looked for beside it: the folders tokenizer and tokenizer_2, and an
    autoencoder, CLIP and T5, in folders or in files. Of an adapter (LoRA), say what it changes; exit
    2 if it does not fit the model that would be served.
    """
    from photogram.weights.adapters.describe import is_adapter
    from photogram.weights.locate import describe, transformer_params
    from photogram.weights.parts import find_parts, read_weights, refusals_told

    console = Console(soft_wrap=True, highlight=False)
    with refusals_told(path):
        is_file = path.is_file()
    if is_file and is_adapter(read_weights(path)):
        _print_facts(console, _facts_of_adapter(path, model))
        return
    parts = find_parts(path)
    if not parts.missing:
        _print_facts(console, _facts(describe(path, parts)))
        console.print(_table(parts))
        return
    if "transformer" in parts.found:
        params = transformer_params(parts.found["transformer"])
        _print_facts(console, _facts_of_transformer(parts, params))
    console.print(_table(parts))
    _print_facts(console, {f"no {name}": sentence for name, sentence in parts.missing.items()})
    raise CheckpointError(f"{path} cannot be served: {', '.join(parts.missing)} missing")


def _facts_of_adapter(path: Path, model: Path | None) -> dict[str, str]:
    from photogram.bootstrap.models import model_folder
    from photogram.cli.adapters import adapter_facts
    from photogram.weights.locate import inspect

    checkpoint = inspect(model_folder(load_settings(model=model)))
    facts = adapter_facts(path, checkpoint.transformer)
    return facts | {"fits": f"{checkpoint.model.name} ({checkpoint.model.slug})"}


def _print_facts(console: Console, facts: dict[str, str]) -> None:
    for name, value in facts.items():
        console.print(f"{name:<17} {value}", markup=False)


def _table(parts: "Parts") -> Table:
    """The networks that were found."""
    from photogram.weights.locate import count

    place_column = Column("in", overflow="fold")
    table = Table("component", "parameters", "MiB", "type", place_column, box=None)
    for part in map(count, parts.found.values()):
        place = str(part.place.relative_to(parts.root)) if part.place != parts.root else "."
        size = f"{part.size_bytes / 2**20:.1f}"
        dtypes = ", ".join(part.dtypes)
        table.add_row(part.name, f"{part.num_parameters:,}", size, dtypes, place)
    return table


def _facts(checkpoint: "Checkpoint") -> dict[str, str]:
    from photogram.weights.sizes import shapes_of

    model = checkpoint.model
    sizes = "  ".join(f"{ratio} {w}x{h}" for ratio, (w, h) in model.aspect_ratios.items())
    total_bytes = sum(part.size_bytes for part in checkpoint.components)
    facts = {
        "model": f"{model.name} ({model.slug})",
        "pipeline": checkpoint.class_name,
        "license": model.license or "see the checkpoint",
        "weights": f"{total_bytes / 2**20:.1f} MiB",
        **_network(checkpoint.transformer),
        **_memory(shapes_of(checkpoint)),
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


def _facts_of_transformer(parts: "Parts", params: "FluxParams") -> dict[str, str]:
    """What is known where other parts are missing: they are counted as FLUX.1's own."""
    from photogram.weights.checks import check_part
    from photogram.weights.keymap import entries
    from photogram.weights.sizes import FLUX_DEV, packed_transformer_bytes

    part = parts.found["transformer"]
    check_part(part, entries(params, part.layout))
    packed = packed_transformer_bytes(part, params)
    return _network(params) | _memory(replace(FLUX_DEV, transformer=params, packed_bytes=packed))


def _network(params: "FluxParams") -> dict[str, str]:
    return {
        "transformer": f"{params.depth} double and {params.depth_single_blocks} single blocks, "
        f"{params.num_heads} heads, width {params.hidden_size}",
        "guidance": "embedded, as in [dev]" if params.guidance_embed else "none, as in [schnell]",
    }


def _memory(shapes: "Shapes") -> dict[str, str]:
    """What the weights take on a CPU, and a GPU with all on it and with as little as possible."""
    from photogram.weights.packing import Precision
    from photogram.weights.plan import least_plan, make_plan

    host = {
        precision: least_plan(shapes, precision, is_host=True).weight_bytes
        for precision in get_args(Precision)
    }
    most = make_plan(shapes, "bfloat16")
    least = least_plan(shapes, "bfloat16")
    kept = ", the transformer as packed as its file" if least.is_packed else ""
    return {
        "memory, CPU": f"{_size(host['bfloat16'])} of weights in bfloat16, "
        f"{_size(host['float32'])} in float32, {_size(host['int8'])} in int8, "
        f"{_size(host['nf4'])} in nf4",
        "memory, GPU": f"{_size(most.peak_bytes)} with everything on it; at least "
        f"{_size(least.peak_bytes)}, with text encoders and modulation in the host's memory{kept}",
    }


def _size(size_bytes: int) -> str:
    gib, mib = size_bytes / 2**30, size_bytes / 2**20
    return f"{gib:.1f} GiB" if gib >= 1 else f"{mib:.0f} MiB"
