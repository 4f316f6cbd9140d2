"""Loads the networks of a checkpoint, strictly.

In: a `Checkpoint` that was inspected, a device, a precision. Out: the networks, ready to run.
Every tensor of a file must have its place and every place its tensor. Only local safetensors files
are read; nothing is fetched and no code of the checkpoint runs.
"""

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from photogram.core.errors import CheckpointError
from photogram.model.decoder import Decoder, DecoderParams, upsampling_kernel
from photogram.model.transformer import Flux
from photogram.weights.formats import read_headers
from photogram.weights.keymap import Entry, entries
from photogram.weights.locate import Checkpoint
from photogram.weights.plan import Plan, is_in_float8, is_modulation


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
        plan: What stays on the device and in which precision; None: everything, in `dtype`.

    Raises:
        CheckpointError: A file that does not hold what its configuration asks for.
    """
    folder = checkpoint.folder
    text_device = device if plan is None or plan.has_text else torch.device("cpu")
    with _quiet():
        vae = _load_network(diffusers.AutoencoderKL, folder / "vae", torch_dtype=dtype)
        vae.to(device=device, memory_format=torch.channels_last)
        networks = Networks(
            transformer=load_transformer(checkpoint, device, dtype, plan),
            vae=vae,
            decoder=_decoder_of(vae, folder / "vae"),
            text_encoder=_load_network(
                transformers.CLIPTextModel, folder / "text_encoder", dtype=dtype
            ).to(text_device),
            text_encoder_2=_load_network(
                transformers.T5EncoderModel, folder / "text_encoder_2", dtype=dtype
            ).to(text_device),
            tokenizer=_load_tokenizer(folder / "tokenizer", checkpoint.tokenizers[0]),
            tokenizer_2=_load_tokenizer(folder / "tokenizer_2", checkpoint.tokenizers[1]),
        )
    networks.transformer.prepack()
    _check_tokens(folder / "tokenizer", networks.tokenizer, networks.text_encoder)
    _check_tokens(folder / "tokenizer_2", networks.tokenizer_2, networks.text_encoder_2)
    return networks


def load_transformer(
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, plan: Plan | None = None
) -> Flux:
    """Our transformer with the checkpoint's weights, placed as `load` says."""
    folder = checkpoint.folder / "transformer"
    headers = read_headers(folder, "diffusion_pytorch_model")
    state: dict[str, Tensor] = {}
    try:
        with contextlib.ExitStack() as stack:
            files = {
                file: stack.enter_context(safe_open(file, framework="pt"))
                for file in {header.file for header in headers.values()}
            }
            for entry in entries(checkpoint.transformer):
                tensors = [files[headers[s.name].file].get_tensor(s.name) for s in entry.sources]
                tensor = _assemble(entry, tensors).to(dtype)
                state[entry.name] = _place(entry, tensor, device, plan)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder}: {error}") from None
    with torch.device("meta"):
        transformer = Flux(checkpoint.transformer)
    # assign: the module's own tensors are on the meta device and hold nothing to copy into
    transformer.load_state_dict(state, strict=True, assign=True)
    if plan is not None and plan.precision == "float8_e4m3fn":
        transformer.quantize(device)
    return transformer.eval().requires_grad_(requires_grad=False)


def _place(entry: Entry, tensor: Tensor, device: torch.device, plan: Plan | None) -> Tensor:
    """A tensor where it shall wait to be used."""
    if plan is not None and not plan.has_modulation and is_modulation(entry.name):
        # pinned memory is copied while the GPU computes
        return tensor.pin_memory() if device.type == "cuda" else tensor
    if plan is not None and plan.precision == "float8_e4m3fn" and is_in_float8(entry):
        return tensor  # `Flux.quantize` moves it, in half its bytes
    return tensor.to(device)


def _assemble(entry: Entry, tensors: list[Tensor]) -> Tensor:
    if entry.swap_halves:
        tensors = list(reversed(tensors[0].chunk(2)))
    return torch.cat(tensors).view(entry.shape)


def _load_network(kind: Any, folder: Path, **dtype: torch.dtype) -> Any:
    """One of the libraries' networks, with no tensor missing, left over or of another shape."""
    try:
        network, found = kind.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True, **dtype
        )
    except Exception as error:
        raise _not_loaded(folder, error) from error
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if found[problem]:
            name = sorted(map(str, found[problem]))[0]
            raise CheckpointError(f"{folder}: {problem.removesuffix('_keys')} tensor {name}")
    return network.eval().requires_grad_(False)


def _decoder_of(vae: Any, folder: Path) -> nn.Module:
    """Our decoder with the autoencoder's weights."""
    config = vae.config
    if config.act_fn != "silu":
        raise CheckpointError(f"{folder}: act_fn is {config.act_fn!r}, it must be 'silu'")
    with torch.device("meta"):
        decoder = Decoder(
            DecoderParams(
                latent_channels=config.latent_channels,
                channels=tuple(config.block_out_channels),
                num_resnets=config.layers_per_block + 1,
                num_groups=config.norm_num_groups,
                has_attention=config.mid_block_add_attention,
            )
        )
    state = vae.decoder.state_dict()
    for name, tensor in state.items():
        if name.endswith(".upsamplers.0.conv.weight"):
            kernel = upsampling_kernel(tensor)
            state[name] = kernel.contiguous(memory_format=torch.channels_last)
    try:
        decoder.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise _not_loaded(folder, error) from None
    decoder.eval().requires_grad_(requires_grad=False)
    return nn.Sequential(vae.post_quant_conv, decoder) if vae.post_quant_conv else decoder


def _load_tokenizer(folder: Path, class_name: str) -> Any:
    kind: Any = getattr(transformers, class_name, None)
    if transformers.PreTrainedTokenizerBase not in getattr(kind, "__mro__", ()):
        raise CheckpointError(f"{folder}: transformers has no tokenizer {class_name}")
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise _not_loaded(folder, error) from error


def _not_loaded(folder: Path, error: Exception) -> CheckpointError:
    reason = str(error).strip() or type(error).__name__
    return CheckpointError(f"{folder} cannot be loaded: {reason.splitlines()[0]}")


def _check_tokens(folder: Path, tokenizer: Any, text_encoder: Any) -> None:
    """Each token must have its embedding: one without it fails a prompt, or the whole GPU."""
    if tokenizer.pad_token_id is None:
        raise CheckpointError(f"{folder} names no pad_token, and prompts are padded")
    num_tokens, num_embeddings = len(tokenizer), text_encoder.config.vocab_size
    if num_tokens > num_embeddings:
        raise CheckpointError(
            f"{folder} has {num_tokens} tokens, but its text encoder embeds {num_embeddings}"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither progress bars nor log lines nor warnings of the libraries while they load."""
    logs = [diffusers.utils.logging, transformers.utils.logging]
    levels = [log.get_verbosity() for log in logs]
    bars = [log.is_progress_bar_enabled() for log in logs]
    try:
        for log in logs:
            log.set_verbosity_error()
            log.disable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level, bar in zip(logs, levels, bars, strict=True):
            log.set_verbosity(level)
            if bar:
                log.enable_progress_bar()
