"""Writes a random checkpoint of 70 M parameters with diffusers itself.

FLUX.1's own widths where they are cheap (heads of 128, text of 4096, pooled 768), 4 double and 8 single
blocks of width 512. The text encoders have one layer; autoencoder, tokenizers and scheduler are those
of another checkpoint, so that the picture's other stages stay small.
"""

import warnings
from pathlib import Path

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

_SEED = 0
_POOLED = 768
_CONTEXT = 4096


def write_large_checkpoint(folder: Path, donor: Path, text_tokens: int) -> Path:
    """Write the checkpoint, unless it is there.

    Args:
        folder: Where.
        donor: The checkpoint whose autoencoder, tokenizers and scheduler it gets.
        text_tokens: The text length.
    """
    if (folder / "model_index.json").exists():
        return folder
    torch.manual_seed(_SEED)
    pipeline = FluxPipeline.from_pretrained(donor, dtype=torch.float32)
    pipeline.tokenizer_2.model_max_length = text_tokens
    parts = FluxPipeline(
        scheduler=pipeline.scheduler,
        vae=pipeline.vae,
        tokenizer=pipeline.tokenizer,
        tokenizer_2=pipeline.tokenizer_2,
        text_encoder=_clip(pipeline.text_encoder.config),
        text_encoder_2=_t5(pipeline.text_encoder_2.config),
        transformer=_transformer(pipeline.transformer.config.in_channels),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about sizes of files, which do not matter here
        parts.save_pretrained(folder)
    return folder


def _transformer(in_channels: int) -> nn.Module:
    transformer = FluxTransformer2DModel(
        in_channels=in_channels,
        num_layers=4,
        num_single_layers=8,
        attention_head_dim=128,
        num_attention_heads=4,
        joint_attention_dim=_CONTEXT,
        pooled_projection_dim=_POOLED,
        guidance_embeds=True,
        axes_dims_rope=(16, 56, 56),
    )
    return _scaled(transformer)


def _clip(donor: CLIPTextConfig) -> nn.Module:
    words = {
        name: getattr(donor, name)
        for name in ("vocab_size", "max_position_embeddings", "bos_token_id", "eos_token_id")
    }
    config = CLIPTextConfig(
        hidden_size=_POOLED,
        intermediate_size=_POOLED,
        num_hidden_layers=1,
        num_attention_heads=12,
        pad_token_id=donor.pad_token_id,
        **words,
    )
    return _scaled(CLIPTextModel(config))


def _t5(donor: T5Config) -> nn.Module:
    config = T5Config(
        vocab_size=donor.vocab_size, d_model=_CONTEXT, d_kv=64, d_ff=64, num_layers=1, num_heads=2
    )
    return _scaled(T5EncoderModel(config))


def _scaled(module: nn.Module) -> nn.Module:
    """Random weights that keep the size of what passes through them."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0.0, parameter[0].numel() ** -0.5)
    return module.eval()
