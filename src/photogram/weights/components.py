"""The configuration of each component of a checkpoint.

In: a component's configuration. Out: the numbers that we use of it, checked. What a file asks for and we
do not do is refused by name, never left out in silence. It knows no weights.
"""

from dataclasses import dataclass
from pathlib import Path

from photogram.core.errors import CheckpointError
from photogram.model.params import FluxParams
from photogram.sampling.params import ScheduleParams
from photogram.weights.configs import Config

_UNSET_LENGTH = 10**20  # transformers' LARGE_INTEGER: above it, model_max_length means "no limit"
_MAX_TEXT_TOKENS = 4096
_MAX_DEPTH = 1024

_SCHEDULE_KEYS = frozenset(ScheduleParams.__dataclass_fields__)
_UNSUPPORTED_SCHEDULE_KEYS = (
    "invert_sigmas",
    "shift_terminal",
    "stochastic_sampling",
    "use_beta_sigmas",
    "use_exponential_sigmas",
    "use_karras_sigmas",
)


@dataclass(frozen=True, slots=True)
class Autoencoder:
    """What the latents of a VAE are.

    Attributes:
        factor: Pixels per latent, on each side.
        channels: Of its levels, from the picture inwards.
        num_resnets: Residual blocks of a level of the encoder; the decoder's have one more.
        scaling_factor: Latents are ``(encoded - shift_factor) * scaling_factor``.
        shift_factor: See `scaling_factor`.
    """

    latent_channels: int
    factor: int
    channels: tuple[int, ...]
    num_resnets: int
    scaling_factor: float
    shift_factor: float

    @property
    def size_multiple(self) -> int:
        """Pixels per token, on each side: the transformer's patch is 2x2 latents."""
        return 2 * self.factor


@dataclass(frozen=True, slots=True)
class ClipEncoder:
    """The width of CLIP's embeddings, and the longest text that it reads."""

    width: int
    num_positions: int


def read_transformer(config: Config) -> FluxParams:
    """The transformer's numbers, diffusers' names turned into BFL's.

    Raises:
        CheckpointError: A value that is missing, of another type, or that does not fit.
    """
    if "quantization_config" in config:
        raise CheckpointError(
            f"{config.path}: its weights are quantised by another library, which is not supported; "
            "known are float8 and GGUF"
        )
    if config.integer("patch_size", 1) != 1:
        raise config.wrong("patch_size", "1")
    in_channels = config.integer("in_channels", 64)
    num_heads = config.integer("num_attention_heads", 24)
    try:
        return FluxParams(
            in_channels=in_channels,
            out_channels=config.integer("out_channels", in_channels),
            vec_in_dim=config.integer("pooled_projection_dim", 768),
            context_in_dim=config.integer("joint_attention_dim", 4096),
            hidden_size=num_heads * config.integer("attention_head_dim", 128),
            num_heads=num_heads,
            depth=config.integer("num_layers", 19, low=0, high=_MAX_DEPTH),
            depth_single_blocks=config.integer("num_single_layers", 38, low=0, high=_MAX_DEPTH),
            axes_dim=config.integers("axes_dims_rope", (16, 56, 56)),
            guidance_embed=config.flag("guidance_embeds", default=False),
        )
    except ValueError as error:
        raise CheckpointError(f"{config.path}: {error}") from None


def read_autoencoder(config: Config) -> Autoencoder:
    """The VAE's numbers.

    Raises:
        CheckpointError: A value that is missing or of another type.
    """
    blocks = config.integers("block_out_channels")
    if not 1 <= len(blocks) <= 8:
        raise config.wrong("block_out_channels", "a list of 1 to 8 whole numbers")
    scaling_factor = config.number("scaling_factor")
    if scaling_factor <= 0:
        raise config.wrong("scaling_factor", "a positive number")
    return Autoencoder(
        latent_channels=config.integer("latent_channels"),
        factor=2 ** (len(blocks) - 1),
        channels=blocks,
        num_resnets=config.integer("layers_per_block", 1, high=_MAX_DEPTH),
        scaling_factor=scaling_factor,
        shift_factor=config.number("shift_factor"),
    )


def read_schedule(config: Config) -> ScheduleParams:
    """The scheduler's numbers; a switch that changes the schedule and that we lack is refused.

    Raises:
        CheckpointError: An unknown or unsupported key, or a value that cannot be used.
    """
    for key in config.names:
        if key in _UNSUPPORTED_SCHEDULE_KEYS:
            if config.is_set(key):
                raise CheckpointError(f"{config.path}: {key} is set, it is not supported")
        elif key not in _SCHEDULE_KEYS and not key.startswith("_"):
            raise CheckpointError(f"{config.path}: unknown key {key}")
    try:
        return ScheduleParams(
            num_train_timesteps=config.integer("num_train_timesteps", 1000),
            shift=config.number("shift", 1.0),
            use_dynamic_shifting=config.flag("use_dynamic_shifting", default=False),
            base_shift=config.number("base_shift", 0.5),
            max_shift=config.number("max_shift", 1.15),
            base_image_seq_len=config.integer("base_image_seq_len", 256),
            max_image_seq_len=config.integer("max_image_seq_len", 4096),
            time_shift_type=config.text("time_shift_type", "exponential"),
        )
    except ValueError as error:
        raise CheckpointError(f"{config.path}: {error}") from None


def read_clip(config: Config) -> ClipEncoder:
    """CLIP's numbers.

    Raises:
        CheckpointError: A value that is missing or of another type.
    """
    return ClipEncoder(
        width=config.integer("hidden_size"),
        num_positions=config.integer("max_position_embeddings", 77),
    )


def read_t5_width(config: Config) -> int:
    """The width of T5's embeddings.

    Raises:
        CheckpointError: It is missing or of another type.
    """
    return config.integer("d_model")


def read_text_length(folder: Path, default: int) -> int:
    """Tokens that a prompt is padded or cut to, as transformers reads ``model_max_length``.

    Args:
        folder: Of the tokenizer.
        default: Where the tokenizer states no limit.

    Raises:
        CheckpointError: Not a length.
    """
    config = Config.read(folder / "tokenizer_config.json")
    if "model_max_length" not in config or config.number("model_max_length") > _UNSET_LENGTH:
        return default
    return config.integer("model_max_length", low=2, high=_MAX_TEXT_TOKENS)
