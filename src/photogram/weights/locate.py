"""Looks into a checkpoint, and says what it holds or what is wrong with it.

In: a folder, or the file of a transformer with the rest beside it. Out: a `Checkpoint`, all that is
known without loading a tensor, or a `CheckpointError` that names the file and the tensor at fault. It
reads JSON files and headers of weights, and imports no torch, so that the API process can call it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from photogram.core.errors import CheckpointError
from photogram.core.messages import ModelInfo
from photogram.model.params import FluxParams
from photogram.sampling.params import ScheduleParams
from photogram.weights import autoencoder as vae_keymap
from photogram.weights import keymap
from photogram.weights.checks import check_part
from photogram.weights.components import (
    Autoencoder,
    read_autoencoder,
    read_clip,
    read_schedule,
    read_t5_width,
    read_text_length,
    read_transformer,
)
from photogram.weights.configs import Config
from photogram.weights.files.header import FLOATS
from photogram.weights.parts import Part, Parts, find_parts, refusals_told
from photogram.weights.profile import Profile, read_profile
from photogram.weights.published import published_schedule

PIPELINE_CLASS = "FluxPipeline"

_CLIP_TOKENS = 77
_T5_TOKENS = 512  # FLUX.1 [dev]'s length, and diffusers' maximum

_CLASSES = {
    "transformer": ("diffusers", "FluxTransformer2DModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "T5EncoderModel"),
    "tokenizer": ("transformers", ""),
    "tokenizer_2": ("transformers", ""),
}
"""Component -> its library and its class there; a tokenizer may be of any class."""

_TOKENIZERS = {"tokenizer": "CLIPTokenizer", "tokenizer_2": "T5TokenizerFast"}


@dataclass(frozen=True, slots=True)
class Component:
    """One network of a checkpoint, counted.

    Attributes:
        place: The folder or the file that it is in.
        dtypes: Types of its tensors: torch's words, or GGUF's where they are packed.
    """

    name: str
    class_name: str
    place: Path
    num_parameters: int
    size_bytes: int
    dtypes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What can be served, and all that is known of it without loading it.

    Attributes:
        folder: The folder that it is in.
        class_name: Of the pipeline, as ``model_index.json`` states it.
        model: What the request column needs to know.
        profile: The model's own vocabulary and sizes.
        parts: The four networks, where they are.
        components: The same, counted.
        tokenizers: Class names of ``tokenizer`` and ``tokenizer_2``.
        clip_tokens: Length that the pooled embedding's prompt is padded or cut to.
    """

    folder: Path
    class_name: str
    model: ModelInfo
    profile: Profile
    parts: dict[str, Part]
    components: tuple[Component, ...]
    tokenizers: tuple[str, str]
    clip_tokens: int
    transformer: FluxParams
    autoencoder: Autoencoder
    schedule: ScheduleParams


def inspect(path: Path) -> Checkpoint:
    """Read everything of a checkpoint but its tensors, and check that it fits together.

    Args:
        path: A folder, or the file of a transformer; what it lacks is looked for beside it.

    Raises:
        CheckpointError: The first thing that is missing or wrong.
    """
    return describe(path, find_parts(path))


def describe(path: Path, parts: Parts) -> Checkpoint:
    """The checkpoint that was found at a path.

    Raises:
        CheckpointError: The first thing that is missing or wrong.
    """
    with refusals_told(path):
        return _describe(path, parts)


def _describe(path: Path, parts: Parts) -> Checkpoint:
    folder, found = parts.root, parts.found
    tokenizers = _read_index(folder, parts)
    for sentence in parts.missing.values():
        raise CheckpointError(sentence)
    params = transformer_params(found["transformer"])
    autoencoder = read_autoencoder(found["vae"].config)
    _check_widths(found, params, autoencoder)
    check_part(found["transformer"], keymap.entries(params, found["transformer"].layout))
    if not found["vae"].is_folder:
        check_part(found["vae"], vae_keymap.entries(autoencoder, found["vae"].layout))
    profile = read_profile(path, autoencoder.size_multiple, has_guidance=params.guidance_embed)
    model = ModelInfo(
        slug=profile.slug,
        name=profile.name,
        aspect_ratios=profile.aspect_ratios,
        size_multiple=autoencoder.size_multiple,
        max_text_tokens=read_text_length(folder / "tokenizer_2", _T5_TOKENS),
        has_guidance=params.guidance_embed,
        default_steps=profile.default_steps,
        max_steps=profile.max_steps,
        concepts=profile.concepts,
        suggested_prompts=profile.suggested_prompts,
        license=profile.license,
    )
    return Checkpoint(
        folder=folder,
        class_name=PIPELINE_CLASS,
        model=model,
        profile=profile,
        parts=found,
        components=tuple(count(part) for part in found.values()),
        tokenizers=tokenizers,
        clip_tokens=_clip_tokens(folder, found["text_encoder"]),
        transformer=params,
        autoencoder=autoencoder,
        schedule=_schedule(folder, found["transformer"], params),
    )


def count(part: Part) -> Component:
    """A network's numbers and types."""
    return Component(
        name=part.name,
        class_name=_CLASSES[part.name][1],
        place=part.place,
        num_parameters=part.num_parameters,
        size_bytes=part.size_bytes,
        dtypes=tuple(
            sorted({FLOATS.get(tensor.dtype, tensor.dtype) for tensor in part.tensors.values()})
        ),
    )


def transformer_params(part: Part) -> FluxParams:
    """The transformer's numbers.

    Where published ones stand for its configuration, its tensors tell whether it embeds guidance:
    [dev]'s file has the embedder, [schnell]'s has not.

    Raises:
        CheckpointError: A value that cannot be used.
    """
    params = read_transformer(part.config)
    if "guidance_embeds" in part.config or part.config.path != part.place:
        return params
    return replace(params, guidance_embed=any("guidance" in name for name in part.tensors))


def _schedule(folder: Path, transformer: Part, params: FluxParams) -> ScheduleParams:
    path = folder / "scheduler" / "scheduler_config.json"
    if transformer.is_folder or path.is_file():
        return read_schedule(Config.read(path))
    return read_schedule(
        published_schedule(transformer.place, guidance_embed=params.guidance_embed)
    )


def _clip_tokens(folder: Path, text_encoder: Part) -> int:
    num_tokens = read_text_length(folder / "tokenizer", _CLIP_TOKENS)
    num_positions = read_clip(text_encoder.config).num_positions
    if num_tokens > num_positions:
        raise CheckpointError(
            f"{folder / 'tokenizer' / 'tokenizer_config.json'}: model_max_length is {num_tokens}, "
            f"but {text_encoder.config.path} gives {num_positions} positions"
        )
    return num_tokens


def _read_index(folder: Path, parts: Parts) -> tuple[str, str]:
    """The classes of both tokenizers; a checkpoint of single files needs no index."""
    path = folder / "model_index.json"
    transformer = parts.found.get("transformer")
    if not path.is_file() and (transformer is None or not transformer.is_folder):
        return _TOKENIZERS["tokenizer"], _TOKENIZERS["tokenizer_2"]
    index = Config.read(path)
    class_name = index.text("_class_name")
    if class_name != PIPELINE_CLASS:
        raise CheckpointError(
            f"{index.path}: this is a {class_name}; only {PIPELINE_CLASS} can be served"
        )
    classes = {}
    for name, (library, expected) in _CLASSES.items():
        entry = index.texts(name)
        if len(entry) != 2:
            raise CheckpointError(f"{index.path}: the component {name} is missing")
        if entry[0] != library or (expected and entry[1] != expected):
            raise CheckpointError(
                f"{index.path}: {name} is {'.'.join(entry)}, it must be {library}.{expected or '*'}"
            )
        classes[name] = entry[1]
    return classes["tokenizer"], classes["tokenizer_2"]


def _check_widths(found: dict[str, Part], params: FluxParams, autoencoder: Autoencoder) -> None:
    """The networks must fit each other; each pair of numbers is in two files."""
    clip_width = read_clip(found["text_encoder"].config).width
    t5_width = read_t5_width(found["text_encoder_2"].config)
    pairs = [
        ("in_channels / 4", params.latent_channels, "vae", autoencoder.latent_channels),
        ("pooled_projection_dim", params.vec_in_dim, "text_encoder", clip_width),
        ("joint_attention_dim", params.context_in_dim, "text_encoder_2", t5_width),
    ]
    for name, ours, other, theirs in pairs:
        if ours != theirs:
            raise CheckpointError(
                f"{found['transformer'].config.path}: {name} is {ours}, "
                f"but {found[other].config.path} gives {theirs}"
            )
