"""Tiny checkpoints with random weights, in the layout that diffusers itself writes.

`write_checkpoint(folder, **options)` saves a whole FluxPipeline: a transformer of 2 heads x 16, a
narrow autoencoder, one-layer text encoders, and tokenizers built from a small list of words. The
weights are random but scaled, so that pictures have contrast and colour and follow the prompt.
"""

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
)
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

WORDS = [
    "a",
    "an",
    "the",
    "red",
    "blue",
    "green",
    "yellow",
    "cat",
    "dog",
    "apple",
    "house",
    "tree",
    "on",
    "in",
    "with",
    "background",
    "of",
]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TokenizerKind = Literal["unigram", "wordlevel", "bpe"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a tiny checkpoint is made of; the defaults are a [dev] with dynamic shift."""

    guidance_embeds: bool = True
    dynamic_shift: bool = True
    tokenizer_2: TokenizerKind = "unigram"
    text_length: int | None = 12
    num_layers: int = 1
    num_single_layers: int = 1
    num_heads: int = 2
    axes_dims_rope: tuple[int, int, int] = (4, 4, 8)
    vae_blocks: tuple[int, ...] = (8, 16, 16, 16)
    latent_channels: int = 4
    native_size: int | None = 64
    seed: int = 0
    dtype: torch.dtype = torch.float32


def write_checkpoint(folder: Path, **options: Any) -> Path:
    """Write a checkpoint; `options` are the fields of `Options`."""
    opts = Options(**options)
    torch.manual_seed(opts.seed)
    clip = _clip(tokenizer := clip_tokenizer())
    t5 = _t5(tokenizer_2 := _TOKENIZERS[opts.tokenizer_2](opts.text_length))
    shift = {"use_dynamic_shifting": True} if opts.dynamic_shift else {"shift": 3.0}
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**shift),
        vae=_vae(opts),
        text_encoder=clip,
        tokenizer=tokenizer,
        text_encoder_2=t5,
        tokenizer_2=tokenizer_2,
        transformer=_transformer(opts, clip.config.hidden_size, t5.config.d_model),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.to(opts.dtype).save_pretrained(folder)
    if opts.native_size is not None:
        profile = {"name": "Tiny", "native_size": opts.native_size, "concepts": ["cat", "dog"]}
        (folder / "photogram.json").write_text(json.dumps(profile))
    return folder


def _transformer(opts: Options, pooled: int, context: int) -> FluxTransformer2DModel:
    transformer = FluxTransformer2DModel(
        in_channels=4 * opts.latent_channels,
        num_layers=opts.num_layers,
        num_single_layers=opts.num_single_layers,
        attention_head_dim=sum(opts.axes_dims_rope),
        num_attention_heads=opts.num_heads,
        joint_attention_dim=context,
        pooled_projection_dim=pooled,
        guidance_embeds=opts.guidance_embeds,
        axes_dims_rope=opts.axes_dims_rope,
    )
    return scaled(transformer)


def scaled(module: nn.Module) -> nn.Module:
    """Random weights that keep the size of what passes through them."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0.0, parameter[0].numel() ** -0.5)
            elif name.endswith("bias"):
                parameter.normal_(0.0, 0.1)
            else:
                parameter.uniform_(0.5, 1.5)
    return module.eval()


def _vae(opts: Options) -> AutoencoderKL:
    blocks = opts.vae_blocks
    vae = AutoencoderKL(
        block_out_channels=blocks,
        down_block_types=("DownEncoderBlock2D",) * len(blocks),
        up_block_types=("UpDecoderBlock2D",) * len(blocks),
        latent_channels=opts.latent_channels,
        layers_per_block=1,
        norm_num_groups=4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=0.3611,
        shift_factor=0.1159,
    )
    return scaled(vae)


def _clip(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return scaled(CLIPTextModel(config))


def _t5(tokenizer: PreTrainedTokenizerFast) -> T5EncoderModel:
    config = T5Config(
        vocab_size=len(tokenizer), d_model=24, d_kv=8, d_ff=48, num_layers=1, num_heads=2
    )
    return scaled(T5EncoderModel(config))


def clip_tokenizer(length: int = 16) -> CLIPTokenizer:
    """CLIP's byte-pair class, with letters only: words come apart into them."""
    symbols = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    vocab = {token: i for i, token in enumerate([*symbols, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=length)


def unigram_tokenizer(length: int | None) -> T5TokenizerFast:
    """T5's own class over a unigram vocabulary."""
    pieces = [(f"▁{word}", -2.0) for word in WORDS] + [(letter, -6.0) for letter in LETTERS]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), ("▁", -4.0), *pieces]
    return T5TokenizerFast(vocab=vocab, extra_ids=0, **_limit(length))


def wordlevel_tokenizer(length: int | None) -> PreTrainedTokenizerFast:
    """A plain tokenizer that knows whole words."""
    names = ["<pad>", "</s>", "<unk>", *WORDS]
    vocab = {word: i for i, word in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    return _plain(tokenizer, length)


def bpe_tokenizer(length: int | None) -> PreTrainedTokenizerFast:
    """A plain tokenizer over byte pairs."""
    vocab = {token: i for i, token in enumerate(["<pad>", "</s>", "<unk>", *LETTERS, "th", "the"])}
    tokenizer = Tokenizer(models.BPE(vocab, [("t", "h"), ("th", "e")], unk_token="<unk>"))
    return _plain(tokenizer, length)


def _plain(tokenizer: Tokenizer, length: int | None) -> PreTrainedTokenizerFast:
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    end = tokenizer.token_to_id("</s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", end)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        **_limit(length),
    )


def _limit(length: int | None) -> dict[str, int]:
    return {} if length is None else {"model_max_length": length}


_TOKENIZERS = {
    "unigram": unigram_tokenizer,
    "wordlevel": wordlevel_tokenizer,
    "bpe": bpe_tokenizer,
}
