"""Looks into a checkpoint folder, and says what it holds or what is wrong with it.

In: a folder in diffusers' FluxPipeline layout. Out: a `Checkpoint`, all that is known without
loading a tensor, or a `CheckpointError` that names the file and the tensor at fault. It reads JSON
files and safetensors headers, and imports no torch, so that the API process can call it.
"""

from dataclasses import dataclass
from pathlib import Path

from photogram.core.errors import CheckpointError
from photogram.core.messages import ModelInfo
from photogram.model.params import FluxParams
from photogram.sampling.params import ScheduleParams
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
from photogram.weights.formats import TensorHeader, read_headers
from photogram.weights.keymap import entries
from photogram.weights.profile import Profile, read_profile

PIPELINE_CLASS = "FluxPipeline"

_CLIP_TOKENS = 77
_T5_TOKENS = 512  # FLUX.1 [dev]'s length, and diffusers' maximum

_STEMS = {
    "transformer": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}
_CLASSES = {
    "transformer": ("diffusers", "FluxTransformer2DModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "T5EncoderModel"),
    "tokenizer": ("transformers", None),
    "tokenizer_2": ("transformers", None),
}
_FLOAT_TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}


@dataclass(frozen=True, slots=True)
class Component:
    """One network of a checkpoint, counted.

    Attributes:
        dtypes: Types of its tensors in torch's words.
    """

    name: str
    class_name: str
    num_parameters: int
    size_bytes: int
    dtypes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that can be served, and all that is known of it without loading it.

    Attributes:
        class_name: Of the pipeline, as ``model_index.json`` states it.
        model: What the request column needs to know.
        profile: The model's own vocabulary and sizes.
        components: The four networks.
        tokenizers: Class names of ``tokenizer`` and ``tokenizer_2``.
        clip_tokens: Length that the pooled embedding's prompt is padded or cut to.
    """

    folder: Path
    class_name: str
    model: ModelInfo
    profile: Profile
    components: tuple[Component, ...]
    tokenizers: tuple[str, str]
    clip_tokens: int
    transformer: FluxParams
    autoencoder: Autoencoder
    schedule: ScheduleParams


def inspect(folder: Path) -> Checkpoint:
    """Read everything in the folder but the tensors, and check that it fits together.

    Raises:
        CheckpointError: The first thing that is wrong.
    """
    try:
        return _inspect(folder)
    except OSError as error:  # looking for a file may be refused as well as reading it
        raise CheckpointError(
            f"{error.filename or folder} cannot be read: {error.strerror}"
        ) from None


def _inspect(folder: Path) -> Checkpoint:
    if not folder.is_dir():
        raise CheckpointError(f"the model folder {folder} does not exist")
    classes = _read_index(folder)
    params = read_transformer(folder / "transformer")
    autoencoder = read_autoencoder(folder / "vae")
    schedule = read_schedule(folder / "scheduler")
    clip = read_clip(folder / "text_encoder")
    t5_width = read_t5_width(folder / "text_encoder_2")
    _check_widths(folder, params, autoencoder, clip.width, t5_width)
    clip_tokens = read_text_length(folder / "tokenizer", _CLIP_TOKENS)
    if clip_tokens > clip.num_positions:
        raise CheckpointError(
            f"{folder / 'tokenizer' / 'tokenizer_config.json'}: model_max_length is {clip_tokens}, "
            f"but text_encoder's config.json gives {clip.num_positions} positions"
        )

    headers = {name: read_headers(folder / name, stem) for name, stem in _STEMS.items()}
    check_transformer(headers["transformer"], params, folder / "transformer")
    profile = read_profile(folder, autoencoder.size_multiple)
    model = ModelInfo(
        slug=profile.slug,
        name=profile.name,
        aspect_ratios=profile.aspect_ratios,
        size_multiple=autoencoder.size_multiple,
        max_text_tokens=read_text_length(folder / "tokenizer_2", _T5_TOKENS),
        has_guidance=params.guidance_embed,
        concepts=profile.concepts,
        suggested_prompts=profile.suggested_prompts,
        license=profile.license,
    )
    return Checkpoint(
        folder=folder,
        class_name=PIPELINE_CLASS,
        model=model,
        profile=profile,
        components=tuple(_count(name, classes[name], headers[name]) for name in _STEMS),
        tokenizers=(classes["tokenizer"], classes["tokenizer_2"]),
        clip_tokens=clip_tokens,
        transformer=params,
        autoencoder=autoencoder,
        schedule=schedule,
    )


def check_transformer(tensors: dict[str, TensorHeader], params: FluxParams, folder: Path) -> None:
    """Every tensor that the transformer needs is there, in its shape, and nothing else.

    Raises:
        CheckpointError: Naming the file and the tensor.
    """
    unused = dict(tensors)
    for entry in entries(params):
        for source in entry.sources:
            tensor = unused.pop(source.name, None)
            if tensor is None:
                raise CheckpointError(
                    f"{folder}: the tensor {source.name} is missing; its config.json asks for it"
                )
            if tensor.shape != source.shape:
                raise CheckpointError(
                    f"{tensor.file}: {source.name} has the shape {list(tensor.shape)}, "
                    f"its config.json asks for {list(source.shape)}"
                )
            if tensor.dtype not in _FLOAT_TYPES:
                raise CheckpointError(
                    f"{tensor.file}: {source.name} is of type {tensor.dtype}; "
                    f"known are {', '.join(_FLOAT_TYPES)}"
                )
    if unused:
        name, tensor = next(iter(unused.items()))
        raise CheckpointError(
            f"{tensor.file}: {name} is not part of the transformer that config.json describes"
        )


def _read_index(folder: Path) -> dict[str, str]:
    """The class of every component."""
    index = Config.read(folder / "model_index.json")
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
        if entry[0] != library or expected not in {None, entry[1]}:
            raise CheckpointError(
                f"{index.path}: {name} is {'.'.join(entry)}, it must be {library}.{expected or '*'}"
            )
        if not (folder / name).is_dir():
            raise CheckpointError(f"{folder / name} is missing, but {index.path.name} lists it")
        classes[name] = entry[1]
    return classes


def _check_widths(
    folder: Path, params: FluxParams, autoencoder: Autoencoder, clip_width: int, t5_width: int
) -> None:
    """The networks must fit each other; each pair of numbers is in two files."""
    pairs = [
        ("in_channels / 4", params.latent_channels, "vae", autoencoder.latent_channels),
        ("pooled_projection_dim", params.vec_in_dim, "text_encoder", clip_width),
        ("joint_attention_dim", params.context_in_dim, "text_encoder_2", t5_width),
    ]
    for name, ours, other, theirs in pairs:
        if ours != theirs:
            raise CheckpointError(
                f"{folder / 'transformer' / 'config.json'}: {name} is {ours}, "
                f"but {other}'s config.json gives {theirs}"
            )


def _count(name: str, class_name: str, tensors: dict[str, TensorHeader]) -> Component:
    return Component(
        name=name,
        class_name=class_name,
        num_parameters=sum(tensor.num_elements for tensor in tensors.values()),
        size_bytes=sum(tensor.size_bytes for tensor in tensors.values()),
        dtypes=tuple(
            sorted({_FLOAT_TYPES.get(tensor.dtype, tensor.dtype) for tensor in tensors.values()})
        ),
    )
