"""The names and shapes of a transformer's tensors: diffusers' files to our module.

In: the transformer's numbers. Out: a table of every parameter of `model.transformer.Flux`, with
the tensors of a diffusers checkpoint that it is made of. It reads no file and imports no torch.

Two things differ between the layouts. diffusers stores queries, keys and values as separate
tensors, we as one: rows below rows, so the product is the same. And in diffusers'
``norm_out.linear`` the scale's rows come before the shift's, everywhere else after them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from photogram.model.params import MLP_RATIO, TIME_EMBED_DIM, FluxParams

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """One tensor of the checkpoint."""

    name: str
    shape: Shape


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


def entries(params: FluxParams) -> Iterator[Entry]:
    """Every parameter of the transformer, in the order of a forward pass."""
    size = params.hidden_size
    yield from _linear("img_in", ["x_embedder"], size, params.in_channels)
    yield from _linear("txt_in", ["context_embedder"], size, params.context_in_dim)
    embedders = [("time_in", "timestep_embedder", TIME_EMBED_DIM)]
    if params.guidance_embed:
        embedders.append(("guidance_in", "guidance_embedder", TIME_EMBED_DIM))
    embedders.append(("vector_in", "text_embedder", params.vec_in_dim))
    for ours, name, width in embedders:
        theirs = f"time_text_embed.{name}"
        yield from _linear(f"{ours}.in_layer", [f"{theirs}.linear_1"], size, width)
        yield from _linear(f"{ours}.out_layer", [f"{theirs}.linear_2"], size, size)
    for index in range(params.depth):
        yield from _double_block(index, params)
    for index in range(params.depth_single_blocks):
        yield from _single_block(index, params)
    yield from _linear(
        "final_layer.adaln_modulation", ["norm_out.linear"], 2 * size, size, swap_halves=True
    )
    yield from _linear("final_layer.linear", ["proj_out"], params.out_channels, size)


def _double_block(index: int, params: FluxParams) -> Iterator[Entry]:
    size, wide = params.hidden_size, MLP_RATIO * params.hidden_size
    ours, theirs = f"double_blocks.{index}", f"transformer_blocks.{index}"
    streams = [
        ("img", "norm1", ("to_q", "to_k", "to_v"), ("norm_q", "norm_k"), "to_out.0", "ff"),
        (
            "txt",
            "norm1_context",
            ("add_q_proj", "add_k_proj", "add_v_proj"),
            ("norm_added_q", "norm_added_k"),
            "to_add_out",
            "ff_context",
        ),
    ]
    for stream, mod, qkv, norms, proj, mlp in streams:
        attn = f"{theirs}.attn"
        yield from _linear(f"{ours}.{stream}_mod", [f"{theirs}.{mod}.linear"], 6 * size, size)
        yield from _linear(
            f"{ours}.{stream}_attn.qkv", [f"{attn}.{name}" for name in qkv], size, size
        )
        yield _norm(f"{ours}.{stream}_attn.norm", [f"{attn}.{name}" for name in norms], params)
        yield from _linear(f"{ours}.{stream}_attn.proj", [f"{attn}.{proj}"], size, size)
        yield from _linear(
            f"{ours}.{stream}_mlp.in_layer", [f"{theirs}.{mlp}.net.0.proj"], wide, size
        )
        yield from _linear(f"{ours}.{stream}_mlp.out_layer", [f"{theirs}.{mlp}.net.2"], size, wide)


def _single_block(index: int, params: FluxParams) -> Iterator[Entry]:
    size, wide = params.hidden_size, MLP_RATIO * params.hidden_size
    ours, theirs = f"single_blocks.{index}", f"single_transformer_blocks.{index}"
    yield from _linear(f"{ours}.modulation", [f"{theirs}.norm.linear"], 3 * size, size)
    yield from _linear(f"{ours}.qkv", [f"{theirs}.attn.to_{x}" for x in "qkv"], size, size)
    yield from _linear(f"{ours}.mlp", [f"{theirs}.proj_mlp"], wide, size)
    norms = [f"{theirs}.attn.norm_{x}" for x in "qk"]
    yield _norm(f"{ours}.norm", norms, params)
    yield from _linear(f"{ours}.linear2", [f"{theirs}.proj_out"], size, size + wide)


def _linear(
    ours: str, theirs: list[str], rows: int, columns: int, *, swap_halves: bool = False
) -> Iterator[Entry]:
    """Weight and bias of one layer of ours; `rows` are those of each source."""
    for kind, width in (("weight", (columns,)), ("bias", ())):
        yield Entry(
            f"{ours}.{kind}",
            (len(theirs) * rows, *width),
            tuple(Source(f"{name}.{kind}", (rows, *width)) for name in theirs),
            swap_halves,
        )


def _norm(ours: str, theirs: list[str], params: FluxParams) -> Entry:
    """The weights of queries and keys, one row each."""
    sources = tuple(Source(f"{name}.weight", (params.head_dim,)) for name in theirs)
    return Entry(f"{ours}.scale", (len(theirs), params.head_dim), sources)
