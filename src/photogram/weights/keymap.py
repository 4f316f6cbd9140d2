"""The names and shapes of a transformer's tensors: everybody's files to our module.

In: the transformer's numbers and the style in which a file names its tensors. Out: a table of every
parameter of `model.transformer.Flux`, with the tensors that it is made of. It reads no file and
imports no torch.

Three things differ between the styles. Where we multiply once, diffusers stores queries, keys and
values as separate tensors: rows below rows, so the product is the same. BFL stores a single block's
``linear1``, of which the first rows are our `qkv` and the others our `mlp`. And in diffusers'
``norm_out.linear`` the scale's rows come before the shift's, everywhere else after them.

Source: black-forest-labs/flux @802fb47 src/flux/model.py and modules/layers.py; huggingface/diffusers
loaders/single_file_utils.py `convert_flux_transformer_checkpoint_to_diffusers`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

from photogram.model.params import MLP_RATIO, TIME_EMBED_DIM, FluxParams

Shape = tuple[int, ...]
Style = Literal["diffusers", "bfl"]


@dataclass(frozen=True, slots=True)
class Source:
    """One tensor of a file.

    Attributes:
        rows: The first that is taken, and the one after the last; None takes all.
    """

    name: str
    shape: Shape
    rows: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One parameter of ours: its sources, rows below rows, in `shape`.

    Attributes:
        swap_halves: The source's two halves of rows change places.
    """

    name: str
    shape: Shape
    sources: tuple[Source, ...]
    swap_halves: bool = False


@dataclass(frozen=True, slots=True)
class _Layer:
    """A linear layer of ours and its names elsewhere; ``{}`` stands for the block's number.

    Attributes:
        rows: Its outputs, in the letters of `_widths`.
        columns: Its inputs.
        diffusers: Its layers there, of equally many rows each.
        bfl: Its layer there, or a `_Part` of one.
    """

    ours: str
    rows: str
    columns: str
    diffusers: tuple[str, ...]
    bfl: "str | _Part"


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows of a layer: the `index`-th of the parts that it is cut into."""

    name: str
    parts: tuple[str, ...]
    index: int


@dataclass(frozen=True, slots=True)
class _Norm:
    """The weights of queries and keys, one row each."""

    ours: str
    diffusers: tuple[str, str]
    bfl: str


_TIME, _GUIDANCE, _TEXT = (
    f"time_text_embed.{name}_embedder" for name in ("timestep", "guidance", "text")
)
_LINEAR1 = ("single_blocks.{}.linear1", ("3C", "4C"))

_STEM = (
    _Layer("img_in", "C", "in", ("x_embedder",), "img_in"),
    _Layer("txt_in", "C", "txt", ("context_embedder",), "txt_in"),
    _Layer("time_in.in_layer", "C", "time", (f"{_TIME}.linear_1",), "time_in.in_layer"),
    _Layer("time_in.out_layer", "C", "C", (f"{_TIME}.linear_2",), "time_in.out_layer"),
    _Layer("vector_in.in_layer", "C", "vec", (f"{_TEXT}.linear_1",), "vector_in.in_layer"),
    _Layer("vector_in.out_layer", "C", "C", (f"{_TEXT}.linear_2",), "vector_in.out_layer"),
)
_GUIDED = (
    _Layer("guidance_in.in_layer", "C", "time", (f"{_GUIDANCE}.linear_1",), "guidance_in.in_layer"),
    _Layer("guidance_in.out_layer", "C", "C", (f"{_GUIDANCE}.linear_2",), "guidance_in.out_layer"),
)


def _stream(
    name: str, mod: str, qkv: tuple[str, ...], norms: tuple[str, str], proj: str, mlp: str
) -> tuple[_Layer | _Norm, ...]:
    """One stream of a double block; the arguments after its name are diffusers' names."""
    ours, theirs = f"double_blocks.{{}}.{name}", "transformer_blocks.{}"
    attn = f"{theirs}.attn"
    in_qkv = tuple(f"{attn}.{each}" for each in qkv)
    in_norms = (f"{attn}.{norms[0]}", f"{attn}.{norms[1]}")
    return (
        _Layer(f"{ours}_mod", "6C", "C", (f"{theirs}.{mod}.linear",), f"{ours}_mod.lin"),
        _Layer(f"{ours}_attn.qkv", "3C", "C", in_qkv, f"{ours}_attn.qkv"),
        _Norm(f"{ours}_attn.norm", in_norms, f"{ours}_attn.norm"),
        _Layer(f"{ours}_attn.proj", "C", "C", (f"{attn}.{proj}",), f"{ours}_attn.proj"),
        _Layer(f"{ours}_mlp.in_layer", "4C", "C", (f"{theirs}.{mlp}.net.0.proj",), f"{ours}_mlp.0"),
        _Layer(f"{ours}_mlp.out_layer", "C", "4C", (f"{theirs}.{mlp}.net.2",), f"{ours}_mlp.2"),
    )


_DOUBLE = (
    *_stream("img", "norm1", ("to_q", "to_k", "to_v"), ("norm_q", "norm_k"), "to_out.0", "ff"),
    *_stream(
        "txt",
        "norm1_context",
        ("add_q_proj", "add_k_proj", "add_v_proj"),
        ("norm_added_q", "norm_added_k"),
        "to_add_out",
        "ff_context",
    ),
)

_OURS, _THEIRS = "single_blocks.{}", "single_transformer_blocks.{}"
_SINGLE = (
    _Layer(
        f"{_OURS}.modulation", "3C", "C", (f"{_THEIRS}.norm.linear",), f"{_OURS}.modulation.lin"
    ),
    _Layer(
        f"{_OURS}.qkv",
        "3C",
        "C",
        (f"{_THEIRS}.attn.to_q", f"{_THEIRS}.attn.to_k", f"{_THEIRS}.attn.to_v"),
        _Part(*_LINEAR1, 0),
    ),
    _Layer(f"{_OURS}.mlp", "4C", "C", (f"{_THEIRS}.proj_mlp",), _Part(*_LINEAR1, 1)),
    _Norm(f"{_OURS}.norm", (f"{_THEIRS}.attn.norm_q", f"{_THEIRS}.attn.norm_k"), f"{_OURS}.norm"),
    _Layer(f"{_OURS}.linear2", "C", "5C", (f"{_THEIRS}.proj_out",), f"{_OURS}.linear2"),
)

_SWAPPED = "final_layer.adaln_modulation"
_LAST = (
    _Layer(_SWAPPED, "2C", "C", ("norm_out.linear",), "final_layer.adaLN_modulation.1"),
    _Layer("final_layer.linear", "out", "C", ("proj_out",), "final_layer.linear"),
)


def entries(params: FluxParams, style: Style = "diffusers") -> Iterator[Entry]:
    """Every parameter of the transformer, in the order of a forward pass."""
    groups = [
        (_STEM, 1),
        (_GUIDED, int(params.guidance_embed)),
        (_DOUBLE, params.depth),
        (_SINGLE, params.depth_single_blocks),
        (_LAST, 1),
    ]
    for layers, count in groups:
        for index in range(count):
            for layer in layers:
                if isinstance(layer, _Norm):
                    yield _norm(layer, index, params.head_dim, style)
                else:
                    yield from _linear(layer, index, _widths(params), style)


def _widths(params: FluxParams) -> dict[str, int]:
    """What the letters of the tables stand for; C is the width of the streams."""
    size = params.hidden_size
    return {
        "C": size,
        "2C": 2 * size,
        "3C": 3 * size,
        "4C": MLP_RATIO * size,
        "5C": (1 + MLP_RATIO) * size,
        "6C": 6 * size,
        "in": params.in_channels,
        "out": params.out_channels,
        "txt": params.context_in_dim,
        "vec": params.vec_in_dim,
        "time": TIME_EMBED_DIM,
    }


def _linear(layer: _Layer, index: int, widths: dict[str, int], style: Style) -> Iterator[Entry]:
    """Weight and bias."""
    rows = widths[layer.rows]
    swap_halves = style == "diffusers" and layer.ours == _SWAPPED
    for kind, columns in (("weight", (widths[layer.columns],)), ("bias", ())):
        yield Entry(
            f"{layer.ours}.{kind}".format(index),
            (rows, *columns),
            tuple(
                Source(f"{name}.{kind}".format(index), (num_rows, *columns), taken)
                for name, num_rows, taken in _sources(layer, rows, widths, style)
            ),
            swap_halves,
        )


def _sources(
    layer: _Layer, rows: int, widths: dict[str, int], style: Style
) -> list[tuple[str, int, tuple[int, int] | None]]:
    """Of every source its name, how many rows it has, and which are taken."""
    if style == "diffusers":
        return [(name, rows // len(layer.diffusers), None) for name in layer.diffusers]
    if isinstance(layer.bfl, str):
        return [(layer.bfl, rows, None)]
    ends = list(accumulate((widths[part] for part in layer.bfl.parts), initial=0))
    return [(layer.bfl.name, ends[-1], list(pairwise(ends))[layer.bfl.index])]


def _norm(norm: _Norm, index: int, head_dim: int, style: Style) -> Entry:
    names = {
        "diffusers": [f"{name}.weight" for name in norm.diffusers],
        "bfl": [f"{norm.bfl}.{name}_norm.scale" for name in ("query", "key")],
    }
    sources = tuple(Source(name.format(index), (head_dim,)) for name in names[style])
    return Entry(f"{norm.ours}.scale".format(index), (len(sources), head_dim), sources)
