"""Prompts to what the transformer is conditioned on.

In: a prompt. Out: the T5 sequence, the pooled CLIP embedding, and how many tokens the prompt has.
The same prompt gives the same tensors, so they are kept. It knows no picture, step or batch.

Source: huggingface/diffusers pipelines/flux/pipeline_flux.py `encode_prompt`: both texts padded to
a fixed length, and no attention mask, so that padding is part of the meaning.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from photogram.weights.load import Networks
from photogram.weights.sizes import PROMPTS_KEPT


@dataclass(frozen=True, slots=True)
class Conditioning:
    """What a prompt becomes.

    Attributes:
        txt: (max_text_tokens, context_in_dim), the T5 sequence.
        vec: (1, vec_in_dim), the pooled CLIP embedding.
        num_tokens: T5 tokens of the whole prompt, the end token included.
        is_truncated: The prompt was longer than the T5 sequence.
    """

    txt: Tensor
    vec: Tensor
    num_tokens: int
    is_truncated: bool


class Conditioner:
    """The two text encoders with their tokenizers, and a memory of recent prompts.

    Args:
        networks: The loaded checkpoint.
        clip_tokens: Length that the pooled embedding's text is padded or cut to.
        t5_tokens: Length that the sequence's text is padded or cut to.
        device: Where the results are wanted; the encoders run where they are.
    """

    def __init__(
        self, networks: Networks, clip_tokens: int, t5_tokens: int, device: torch.device
    ) -> None:
        self._networks = networks
        self._clip_tokens = clip_tokens
        self._t5_tokens = t5_tokens
        self._device = device
        self._recent: OrderedDict[str, Conditioning] = OrderedDict()

    def __call__(self, prompt: str) -> Conditioning:
        """The conditioning of a prompt, from memory if it is there."""
        found = self._recent.get(prompt)
        if found is None:
            found = self._recent[prompt] = self._encode(prompt)
            if len(self._recent) > PROMPTS_KEPT:
                self._recent.popitem(last=False)
        self._recent.move_to_end(prompt)
        return found

    @torch.inference_mode()
    def _encode(self, prompt: str) -> Conditioning:
        networks = self._networks
        clip_ids = self._pad(networks.tokenizer, prompt, self._clip_tokens)
        t5_ids = self._pad(networks.tokenizer_2, prompt, self._t5_tokens)
        num_tokens = len(networks.tokenizer_2(prompt, verbose=False).input_ids)
        return Conditioning(
            txt=networks.text_encoder_2(t5_ids)[0][0].to(self._device),
            vec=networks.text_encoder(clip_ids).pooler_output.to(self._device),
            num_tokens=num_tokens,
            is_truncated=num_tokens > self._t5_tokens,
        )

    def _pad(self, tokenizer: Any, prompt: str, length: int) -> Tensor:
        ids: Tensor = tokenizer(
            [prompt], padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        return ids.to(self._networks.text_encoder_2.device)
