"""The three networks that are trained together, in the sizes of the embedded checkpoint.

Comes in: the two tokenizers. Goes out: the transformer and transformers' two text encoders, fresh.
A larger checkpoint is another row of `SIZES`; nothing else changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from training.train.transformer import Shape, Transformer


@dataclass(frozen=True, slots=True)
class Size:
    """Widths and depths of one checkpoint."""

    heads: int
    double_blocks: int
    single_blocks: int
    t5_width: int
    clip_width: int
    text_layers: int = 2
    head_width: int = 64
    rope_axes: tuple[int, int, int] = (8, 28, 28)

    @property
    def shape(self) -> Shape:
        """The transformer's numbers."""
        return Shape(
            self.heads,
            self.head_width,
            self.double_blocks,
            self.single_blocks,
            self.t5_width,
            self.clip_width,
            self.rope_axes,
        )


SIZES: dict[str, Size] = {
    "mini": Size(heads=4, double_blocks=2, single_blocks=4, t5_width=192, clip_width=128),
    "medium": Size(heads=6, double_blocks=2, single_blocks=8, t5_width=256, clip_width=192),
    "tiny": Size(heads=1, double_blocks=1, single_blocks=1, t5_width=32, clip_width=32),
}


class Networks(torch.nn.Module):
    """Transformer, T5 and CLIP under one roof, so that one optimizer and one average cover them."""

    def __init__(self, size: Size, t5_vocabulary: int, clip_vocabulary: int, clip_end: int) -> None:
        super().__init__()
        self.transformer = Transformer(size.shape)
        self.t5 = T5EncoderModel(_t5_config(size, t5_vocabulary))
        self.clip = CLIPTextModel(_clip_config(size, clip_vocabulary, clip_end))


def _t5_config(size: Size, vocabulary: int) -> T5Config:
    return T5Config(
        vocab_size=vocabulary,
        d_model=size.t5_width,
        d_kv=32,
        d_ff=size.t5_width * 2,
        num_layers=size.text_layers,
        num_heads=size.t5_width // 32,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        tie_word_embeddings=False,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        is_encoder_decoder=False,
        use_cache=False,
    )


def _clip_config(size: Size, vocabulary: int, end: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=size.clip_width,
        intermediate_size=size.clip_width * 4,
        projection_dim=size.clip_width,
        num_hidden_layers=size.text_layers,
        num_attention_heads=size.clip_width // 32,
        max_position_embeddings=77,
        hidden_act="quick_gelu",
        bos_token_id=end - 1,
        eos_token_id=end,
        pad_token_id=end,
    )


def build_networks(
    size: Size, t5_tokenizer: T5TokenizerFast, clip_tokenizer: CLIPTokenizer
) -> Networks:
    """Return fresh networks; modulation and the last layer start at zero, as in DiT."""
    networks = Networks(
        size, len(t5_tokenizer), len(clip_tokenizer), int(clip_tokenizer.eos_token_id)
    )
    for name, parameter in networks.transformer.named_parameters():
        if is_modulation(name) or name.startswith("proj_out"):
            torch.nn.init.zeros_(parameter)
        elif parameter.ndim == 2:
            torch.nn.init.xavier_uniform_(parameter)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    _share_case(networks.t5, t5_tokenizer)
    return networks


def is_modulation(name: str) -> bool:
    """Tell whether a transformer parameter makes shifts, scales and gates from the pooled vector."""
    return ".linear." in name and ("norm" in name)


@torch.no_grad()
def _share_case(t5: T5EncoderModel, tokenizer: T5TokenizerFast) -> None:
    """Let a capitalised piece start as its lower-case piece."""
    table = tokenizer.get_vocab()
    weight = t5.get_input_embeddings().weight
    weight.normal_(std=1.0)
    for piece, index in table.items():
        lower = table.get(piece.lower())
        if lower is not None and lower != index:
            weight[index] = weight[lower]
