"""FLUX.1's configurations as they were published: what a single file does not state of itself.

In: whether the transformer embeds guidance. Out: the values that the ``config.json`` of each
component of FLUX.1 [dev] or [schnell] holds. They are read by the same code as a folder's, and every
tensor of a file is then checked against them.

Source: black-forest-labs/FLUX.1-dev and FLUX.1-schnell, their ``config.json`` and
``scheduler_config.json`` files; black-forest-labs/flux @802fb47 src/flux/util.py `configs`.
"""

from pathlib import Path
from typing import Any, Final

from photogram.weights.configs import Config

_CONFIGS: Final[dict[str, dict[str, Any]]] = {
    "transformer": {
        "attention_head_dim": 128,
        "axes_dims_rope": [16, 56, 56],
        "in_channels": 64,
        "joint_attention_dim": 4096,
        "num_attention_heads": 24,
        "num_layers": 19,
        "num_single_layers": 38,
        "patch_size": 1,
        "pooled_projection_dim": 768,
    },
    "vae": {
        "act_fn": "silu",
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "in_channels": 3,
        "latent_channels": 16,
        "layers_per_block": 2,
        "mid_block_add_attention": True,
        "norm_num_groups": 32,
        "out_channels": 3,
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "use_post_quant_conv": False,
        "use_quant_conv": False,
    },
    "text_encoder": {
        "bos_token_id": 0,
        "eos_token_id": 2,
        "hidden_act": "quick_gelu",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 77,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "pad_token_id": 1,
        "projection_dim": 768,
        "vocab_size": 49408,
    },
    "text_encoder_2": {
        "d_ff": 10240,
        "d_kv": 64,
        "d_model": 4096,
        "dropout_rate": 0.1,
        "eos_token_id": 1,
        "feed_forward_proj": "gated-gelu",
        "is_encoder_decoder": True,
        "layer_norm_epsilon": 1e-06,
        "num_heads": 64,
        "num_layers": 24,
        "pad_token_id": 0,
        "relative_attention_max_distance": 128,
        "relative_attention_num_buckets": 32,
        "tie_word_embeddings": False,
        "vocab_size": 32128,
    },
}
_SHIFTED: Final = {"shift": 3.0, "use_dynamic_shifting": True}
_STATIC: Final = {"shift": 1.0, "use_dynamic_shifting": False}
_SCHEDULE: Final = {
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "max_image_seq_len": 4096,
    "max_shift": 1.15,
    "num_train_timesteps": 1000,
}


def published_config(part: str, path: Path) -> Config:
    """A network's configuration; `path` is what an error shall name.

    Whether the transformer embeds guidance is left open: its tensors tell.
    """
    return Config(path, dict(_CONFIGS[part]))


def published_schedule(path: Path, *, guidance_embed: bool) -> Config:
    """The scheduler's configuration of [dev], or without embedded guidance of [schnell]."""
    return Config(path, _SCHEDULE | (_SHIFTED if guidance_embed else _STATIC))
