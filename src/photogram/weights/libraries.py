"""Loads the networks and tokenizers that are the libraries' own, strictly.

In: a part of a checkpoint, in a folder of the library's layout or in a single file. Out: the network,
with no tensor missing, left over or of another shape. No code of a checkpoint runs.
"""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import nn

from photogram.core.errors import CheckpointError
from photogram.model.decoder import Decoder, DecoderParams, upsampling_kernel
from photogram.model.packed import INT8, PackedMatrix
from photogram.model.packing import pack
from photogram.weights import autoencoder as keymap
from photogram.weights.components import Autoencoder
from photogram.weights.files.reader import TensorReader
from photogram.weights.packing import sources_of
from photogram.weights.parts import Part
from photogram.weights.sizes import is_packed_in_text

_TEXT_ENCODERS = {
    "text_encoder": (transformers.CLIPTextModel, transformers.CLIPTextConfig),
    "text_encoder_2": (transformers.T5EncoderModel, transformers.T5Config),
}


def load_autoencoder(part: Part, autoencoder: Autoencoder, dtype: torch.dtype) -> Any:
    """The autoencoder, as diffusers has it.

    Raises:
        CheckpointError: A file that does not hold what its configuration asks for.
    """
    if part.is_folder:
        return _from_folder(diffusers.AutoencoderKL, part.place, torch_dtype=dtype)
    with TensorReader() as reader:
        state = {}
        for entry in keymap.entries(autoencoder, part.layout):
            (source,) = sources_of(entry, part.tensors)
            state[entry.name] = reader.numbers(source, dtype).view(entry.shape)
    try:
        with torch.device("meta"):
            vae = diffusers.AutoencoderKL.from_config(part.config.values)
        vae.load_state_dict(state, strict=True, assign=True)
    except Exception as error:
        raise _not_loaded(part.place, error) from error
    return vae.eval().requires_grad_(False)


def load_text_encoder(part: Part, dtype: torch.dtype) -> Any:
    """CLIP or T5, as transformers has them.

    Raises:
        CheckpointError: A file that does not hold what its configuration asks for.
    """
    kind, config = _TEXT_ENCODERS[part.name]
    if part.is_folder:
        return _from_folder(kind, part.place, dtype=dtype)
    with TensorReader() as reader:
        state = {name: reader.numbers(tensor, dtype) for name, tensor in part.tensors.items()}
    try:
        settings = config.from_dict(part.config.values)
        network, found = kind.from_pretrained(
            None, config=settings, state_dict=state, dtype=dtype, output_loading_info=True
        )
    except Exception as error:
        raise _not_loaded(part.place, error) from error
    return _checked(part.place, network, found)


def pack_text_encoder(t5: Any) -> None:
    """Keep the matrices of T5's blocks as int8, and unpack them whenever they are used."""
    for name, layer in list(t5.named_modules()):
        if isinstance(layer, nn.Linear) and is_packed_in_text(f"{name}.weight"):
            t5.set_submodule(name, PackedMatrix(INT8, pack(layer.weight.float(), INT8)))


def decoder_of(vae: Any, place: Path) -> nn.Module:
    """Our decoder with the autoencoder's weights.

    Raises:
        CheckpointError: An autoencoder that ours cannot be.
    """
    config = vae.config
    if config.act_fn != "silu":
        raise CheckpointError(f"{place}: act_fn is {config.act_fn!r}, it must be 'silu'")
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
        raise _not_loaded(place, error) from None
    decoder.eval().requires_grad_(requires_grad=False)
    return nn.Sequential(vae.post_quant_conv, decoder) if vae.post_quant_conv else decoder


def load_tokenizer(folder: Path, class_name: str, text_encoder: Any) -> Any:
    """A tokenizer of any class that transformers has, for a text encoder that knows its tokens.

    Raises:
        CheckpointError: No such class, files that make none, or tokens without an embedding.
    """
    kind: Any = getattr(transformers, class_name, None)
    if transformers.PreTrainedTokenizerBase not in getattr(kind, "__mro__", ()):
        raise CheckpointError(f"{folder}: transformers has no tokenizer {class_name}")
    try:
        tokenizer = kind.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise _not_loaded(folder, error) from error
    _check_tokens(folder, tokenizer, text_encoder)
    return tokenizer


def _check_tokens(folder: Path, tokenizer: Any, text_encoder: Any) -> None:
    """Each token must have its embedding: one without it fails a prompt, or the whole GPU."""
    if tokenizer.pad_token_id is None:
        raise CheckpointError(f"{folder} names no pad_token, and prompts are padded")
    num_tokens, num_embeddings = len(tokenizer), text_encoder.config.vocab_size
    if num_tokens > num_embeddings:
        raise CheckpointError(
            f"{folder} has {num_tokens} tokens, but its text encoder embeds {num_embeddings}"
        )


def _from_folder(kind: Any, folder: Path, **dtype: torch.dtype) -> Any:
    try:
        network, found = kind.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True, **dtype
        )
    except Exception as error:
        raise _not_loaded(folder, error) from error
    return _checked(folder, network, found)


def _checked(place: Path, network: Any, found: Any) -> Any:
    """A network of which nothing was left out."""
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if found[problem]:
            name = sorted(map(str, found[problem]))[0]
            raise CheckpointError(f"{place}: {problem.removesuffix('_keys')} tensor {name}")
    return network.eval().requires_grad_(False)


def _not_loaded(place: Path, error: Exception) -> CheckpointError:
    reason = str(error).strip() or type(error).__name__
    return CheckpointError(f"{place} cannot be loaded: {reason.splitlines()[0]}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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
