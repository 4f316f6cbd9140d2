"""The shape of one FLUX transformer: the numbers of ``transformer/config.json`` in BFL's words.

In: plain integers. Out: checked, frozen numbers. It knows no file and no tensor, so that a
checkpoint can be inspected without torch.
"""

from dataclasses import dataclass

MLP_RATIO = 4
"""Width of every MLP in hidden sizes; fixed in the architecture's diffusers form."""

THETA = 10_000
"""Base of the rotary frequencies; fixed in the architecture's diffusers form."""

TIME_EMBED_DIM = 256
"""Sinusoidal features of a timestep or a guidance scale; fixed in the architecture."""


@dataclass(frozen=True, slots=True)
class FluxParams:
    """Numbers of one transformer, with BFL's field names.

    Source: black-forest-labs/flux src/flux/model.py `FluxParams`; ``mlp_ratio``, ``theta`` and
    ``qkv_bias`` are the constants that diffusers' `FluxTransformer2DModel` makes of them.

    Attributes:
        in_channels: Channels of a packed image token: VAE channels times the patch of 2x2.
        out_channels: Channels of the velocity.
        vec_in_dim: Width of the pooled CLIP embedding.
        context_in_dim: Width of the T5 sequence.
        hidden_size: Width of the residual streams, `num_heads` times the head's width.
        depth: Double blocks.
        depth_single_blocks: Single blocks.
        axes_dim: Rotary channels per position axis; they fill one head.
        guidance_embed: The guidance scale is an input ([dev] yes, [schnell] no).

    Raises:
        ValueError: Numbers that do not fit together; the message names both.
    """

    in_channels: int
    out_channels: int
    vec_in_dim: int
    context_in_dim: int
    hidden_size: int
    num_heads: int
    depth: int
    depth_single_blocks: int
    axes_dim: tuple[int, ...]
    guidance_embed: bool

    def __post_init__(self) -> None:
        for name in (
            "in_channels", "out_channels", "vec_in_dim", "context_in_dim", "hidden_size", "num_heads"
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, it must be at least 1")
        if self.depth < 0 or self.depth_single_blocks < 0:
            raise ValueError(
                f"depth {self.depth} and depth_single_blocks {self.depth_single_blocks} "
                "must not be negative"
            )
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}"
            )
        if len(self.axes_dim) != 3 or any(dim < 2 or dim % 2 for dim in self.axes_dim):
            raise ValueError(f"axes_dim {self.axes_dim} must be three positive even numbers")
        if sum(self.axes_dim) != self.head_dim:
            raise ValueError(
                f"axes_dim {self.axes_dim} sums to {sum(self.axes_dim)}, "
                f"but a head is {self.head_dim} wide"
            )
        if self.in_channels % 4 or self.out_channels != self.in_channels:
            raise ValueError(
                f"in_channels {self.in_channels} must be a multiple of 4 and equal "
                f"out_channels {self.out_channels}"
            )

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.hidden_size // self.num_heads

    @property
    def latent_channels(self) -> int:
        """Channels of the autoencoder's latents."""
        return self.in_channels // 4

    @property
    def num_modulations(self) -> int:
        """Modulation vectors of one step: shift, scale and gate of every norm, and the last two."""
        return 12 * self.depth + 3 * self.depth_single_blocks + 2
