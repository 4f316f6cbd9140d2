"""Loads the networks of a checkpoint, strictly.

In: a `Checkpoint` that was inspected, a device, a precision. Out: the networks, ready to run.
Every tensor of a file must have its place and every place its tensor. Only local files of numbers are
read; nothing is fetched and no code of the checkpoint runs.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from photogram.model.float8 import Float8Linear
from photogram.model.linear import Linear
from photogram.model.packed import PackedLinear, pack_rows
from photogram.model.packing import Int8Linear, int8_multiplies, pack
from photogram.model.transformer import Flux
from photogram.weights.files.header import TensorHeader
from photogram.weights.files.reader import TensorReader
from photogram.weights.keymap import Entry, entries
from photogram.weights.libraries import (
    decoder_of,
    load_autoencoder,
    load_text_encoder,
    load_tokenizer,
    pack_text_encoder,
    quiet,
)
from photogram.weights.locate import Checkpoint
from photogram.weights.packing import (
    FLOAT8,
    INT8,
    NF4,
    is_modulation,
    packing_of,
    quantised_as,
    sources_of,
)
from photogram.weights.plan import Plan


@dataclass(frozen=True, slots=True)
class Networks:
    """Everything that was loaded, on one device in one precision.

    The transformer and the decoder are ours; the libraries' networks and tokenizers carry no types.

    Attributes:
        vae: The whole autoencoder; its decoder shares its tensors with `decoder`.
    """

    transformer: Flux
    vae: Any
    decoder: nn.Module
    text_encoder: Any
    text_encoder_2: Any
    tokenizer: Any
    tokenizer_2: Any


def load(
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, plan: Plan | None = None
) -> Networks:
    """Load all networks.

    Args:
        checkpoint: From `weights.locate.inspect`.
        device: Where they run.
        dtype: Of all of them.
        plan: What stays on the device and in which form; None: everything, packed where the file
            has it packed, the rest in `dtype`.

    Raises:
        CheckpointError: A file that does not hold what its configuration asks for.
    """
    folder, parts = checkpoint.folder, checkpoint.parts
    text_device = device if plan is None or plan.has_text else torch.device("cpu")
    with quiet():
        vae = load_autoencoder(parts["vae"], checkpoint.autoencoder, dtype)
        vae.to(device=device, memory_format=torch.channels_last)
        decoder = decoder_of(vae, parts["vae"].place)
        clip = load_text_encoder(parts["text_encoder"], dtype)
        t5 = load_text_encoder(parts["text_encoder_2"], dtype)
        if plan is not None and plan.precision in ("int8", "nf4"):
            pack_text_encoder(t5)
        encoders = [encoder.to(text_device) for encoder in (clip, t5)]
        tokenizers = [
            load_tokenizer(folder / name, class_name, encoder)
            for name, class_name, encoder in zip(
                ("tokenizer", "tokenizer_2"), checkpoint.tokenizers, encoders, strict=True
            )
        ]
    transformer = load_transformer(checkpoint, device, dtype, plan)
    transformer.prepack()
    return Networks(transformer, vae, decoder, *encoders, *tokenizers)


def load_transformer(
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, plan: Plan | None = None
) -> Flux:
    """Our transformer with the checkpoint's weights, placed as `load` says."""
    part = checkpoint.parts["transformer"]
    state: dict[str, Tensor] = {}
    with torch.device("meta"):
        transformer = Flux(checkpoint.transformer)
    with TensorReader() as reader:
        for entry in entries(checkpoint.transformer, part.layout):
            sources = sources_of(entry, part.tensors)
            kind = packing_of(entry, sources)
            wanted = None if plan is None else quantised_as(entry, plan.precision)
            if kind is not None and _stays_packed(kind, wanted, plan):
                tensor = _assemble(entry, [_packed_rows(reader, source) for source in sources])
                _make_packed(transformer, entry, kind)
            elif wanted in (INT8, NF4):
                numbers = [reader.numbers(source, torch.float32) for source in sources]
                tensor = pack(_assemble(entry, numbers), wanted)
                _make_packed(transformer, entry, wanted)
            else:
                tensors = [reader.numbers(source, dtype) for source in sources]
                tensor = _assemble(entry, tensors).view(entry.shape)
            state[entry.name] = _place(entry, tensor, device, plan)
    # assign: the module's own tensors are on the meta device and hold nothing to copy into
    transformer.load_state_dict(state, strict=True, assign=True)
    if plan is not None:
        _quantize(transformer, device, plan)
    return transformer.eval().requires_grad_(requires_grad=False)


def _stays_packed(kind: str, wanted: str | None, plan: Plan | None) -> bool:
    """Whether a matrix stays as its file packs it; `wanted` is what the precision asks for."""
    if plan is None or plan.is_packed:
        return True
    # `Float8Linear` then takes the file's own float8 numbers instead of finding new ones
    return kind == wanted == FLOAT8


def _quantize(transformer: Flux, device: torch.device, plan: Plan) -> None:
    """Have the blocks multiply in eight bits, where the device does and the plan says so."""
    if plan.precision == "float8_e4m3fn":
        transformer.replace(lambda layer: Float8Linear(layer, device))
    elif plan.precision in ("int8", "nf4") and device.type == "cpu" and int8_multiplies():
        transformer.replace(_as_int8)


def _as_int8(layer: Linear) -> Linear:
    if isinstance(layer, PackedLinear) and layer.kind == INT8:
        return Int8Linear(layer)
    return layer


def _packed_rows(reader: TensorReader, source: TensorHeader) -> Tensor:
    if source.dtype == FLOAT8:
        return pack_rows(reader.plain(source), reader.scales(source))
    return reader.rows(source)


def _make_packed(transformer: Flux, entry: Entry, kind: str) -> None:
    """Put a layer that multiplies by packed numbers where a parameter will be one."""
    rows, columns = entry.shape
    with torch.device("meta"):
        layer = PackedLinear(kind, columns, rows)
    transformer.set_submodule(entry.name.removesuffix(".weight"), layer)


def _assemble(entry: Entry, tensors: list[Tensor]) -> Tensor:
    """Rows below rows."""
    if entry.swap_halves:
        tensors = list(reversed(tensors[0].chunk(2)))
    return torch.cat(tensors) if len(tensors) > 1 else tensors[0]


def _place(entry: Entry, tensor: Tensor, device: torch.device, plan: Plan | None) -> Tensor:
    """A tensor where it shall wait to be used."""
    if plan is not None and not plan.has_modulation and is_modulation(entry.name):
        # pinned memory is copied while the GPU computes
        return tensor.pin_memory() if device.type == "cuda" else tensor
    if plan is not None and quantised_as(entry, plan.precision) == FLOAT8:
        return tensor  # `Float8Linear` moves it, in half its bytes
    return tensor.to(device)
