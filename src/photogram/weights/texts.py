"""The names of a T5 text encoder's tensors in GGUF files: llama.cpp's to transformers'.

In: a name. Out: the same tensor's name in transformers' `T5EncoderModel`. It reads no file.

Source: ggml-org/llama.cpp gguf-py/gguf/constants.py `MODEL_TENSOR.ENC_*`; city96/ComfyUI-GGUF loader.py
`T5_SD_MAP`.
"""

import re

from photogram.core.errors import CheckpointError
from photogram.weights.files.header import TensorHeader

_WHOLE = {
    "token_embd.weight": "shared.weight",
    "enc.output_norm.weight": "encoder.final_layer_norm.weight",
}
_OF_A_BLOCK = {
    "attn_norm": "layer.0.layer_norm",
    "attn_q": "layer.0.SelfAttention.q",
    "attn_k": "layer.0.SelfAttention.k",
    "attn_v": "layer.0.SelfAttention.v",
    "attn_o": "layer.0.SelfAttention.o",
    "attn_rel_b": "layer.0.SelfAttention.relative_attention_bias",
    "ffn_norm": "layer.1.layer_norm",
    "ffn_gate": "layer.1.DenseReluDense.wi_0",
    "ffn_up": "layer.1.DenseReluDense.wi_1",
    "ffn_down": "layer.1.DenseReluDense.wo",
}
_BLOCK = re.compile(r"enc\.blk\.(\d+)\.(\w+)\.weight")


def rename_t5(tensors: dict[str, TensorHeader]) -> dict[str, TensorHeader]:
    """The tensors by transformers' names.

    Raises:
        CheckpointError: A tensor that T5's encoder does not have.
    """
    renamed = {}
    for name, tensor in tensors.items():
        block = _BLOCK.fullmatch(name)
        if name in _WHOLE:
            renamed[_WHOLE[name]] = tensor
        elif block is not None and block[2] in _OF_A_BLOCK:
            renamed[f"encoder.block.{block[1]}.{_OF_A_BLOCK[block[2]]}.weight"] = tensor
        else:
            raise CheckpointError(f"{tensor.file}: {tensor.name} is not a tensor of T5's encoder")
    return renamed
