"""Weights that stay as small in memory as their file has them, and layers that multiply by them.

In: rows of packed numbers, as GGUF or an 8-bit checkpoint stores them, or `model.packing` makes them.
Out: the numbers, or a product with them. A matrix is unpacked whenever it is used, in float32, and
rounded once: the results are those of a matrix that was unpacked beforehand, to the last bit. It
knows no file.

Source: ggml-org/ggml src/ggml-common.h (the blocks) and src/ggml-quants.c `dequantize_row_*`; NF4's
numbers: "QLoRA: Efficient Finetuning of Quantized LLMs" (arXiv:2305.14314), appendix E.
"""

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photogram.model.linear import Linear, linear

FLOAT8: Final = "F8_E4M3"
"""A row of float8 (e4m3) numbers and after them their factor, a float32."""

INT8: Final = "INT8"
"""The same with numbers from -127 to 127."""

NF4: Final = "NF4"
"""Blocks of 64 numbers: their largest magnitude in float16, then indices into `NF4_NUMBERS`, two to a
byte: the first 32 in the low halves."""

NF4_NUMBERS: Final = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
"""Quantiles of a normal distribution, zero among them."""

_SCALE_BYTES: Final = 4
_NUMBERS_AT_ONCE: Final = 2**20  # on a CPU: a few times as many bytes stay in its caches


def _halves(data: Tensor) -> Tensor:
    """(n, 2 * k) bytes -> (n, k) float16 numbers, as float32."""
    return data.view(torch.float16).float()


def _fields(data: Tensor, width: int) -> Tensor:
    """Whole fields of a byte: (n, k) -> (n, 8 / width, k), the lowest bits first."""
    shifts = torch.arange(0, 8, width, dtype=torch.uint8, device=data.device)
    fields: Tensor = (data[:, None] >> shifts[:, None]) & (2**width - 1)
    return fields


def _bits(data: Tensor) -> Tensor:
    """(n, k) bytes -> (n, 8 * k) bits, in the order of a little-endian number."""
    shifts = torch.arange(8, dtype=torch.uint8, device=data.device)
    bits: Tensor = (data[..., None] >> shifts) & 1
    return bits.flatten(1)


def _q4_0(data: Tensor) -> Tensor:
    scale, low = data.split((2, 16), dim=1)
    return _halves(scale) * (_fields(low, 4).flatten(1).float() - 8)


def _q4_1(data: Tensor) -> Tensor:
    scale, least, low = data.split((2, 2, 16), dim=1)
    return _halves(scale) * _fields(low, 4).flatten(1).float() + _halves(least)


def _q5_0(data: Tensor) -> Tensor:
    scale, high, low = data.split((2, 4, 16), dim=1)
    numbers = _fields(low, 4).flatten(1) | (_bits(high) << 4)
    return _halves(scale) * (numbers.float() - 16)


def _q5_1(data: Tensor) -> Tensor:
    scale, least, high, low = data.split((2, 2, 4, 16), dim=1)
    numbers = _fields(low, 4).flatten(1) | (_bits(high) << 4)
    y: Tensor = _halves(scale) * numbers.float() + _halves(least)
    return y


def _q8_0(data: Tensor) -> Tensor:
    scale, numbers = data.split((2, 32), dim=1)
    y: Tensor = _halves(scale) * numbers.view(torch.int8).float()
    return y


def _q2_k(data: Tensor) -> Tensor:
    scales, low, scale, least = data.split((16, 64, 2, 2), dim=1)
    factors = _halves(scale) * (scales & 15).float()
    leasts = _halves(least) * (scales >> 4).float()
    numbers = _fields(low.reshape(-1, 32), 2).reshape(-1, 16, 16).float()
    y: Tensor = factors[..., None] * numbers - leasts[..., None]
    return y.flatten(1)


def _q3_k(data: Tensor) -> Tensor:
    high, low, scales, scale = data.split((32, 64, 12, 2), dim=1)
    low_scales = _fields(scales[:, :8], 4).flatten(1)
    high_scales = _fields(scales[:, 8:], 2).flatten(1)
    factors = _halves(scale) * ((low_scales | (high_scales << 4)).float() - 32)
    twos = _fields(low.reshape(-1, 32), 2).reshape(-1, 256)
    fours = _fields(high, 1).flatten(1)
    numbers = twos.float() - 4 * (1 - fours.float())
    y: Tensor = factors[..., None] * numbers.view(-1, 16, 16)
    return y.flatten(1)


def _scales_of_k(data: Tensor) -> tuple[Tensor, Tensor]:
    """Eight factors and eight least values of six bits each: (n, 12) bytes -> twice (n, 8)."""
    first, second, third = data.split(4, dim=1)
    scales = torch.cat([first & 63, (third & 15) | ((first >> 2) & 48)], dim=1)
    leasts = torch.cat([second & 63, (third >> 4) | ((second >> 2) & 48)], dim=1)
    return scales.float(), leasts.float()


def _q4_k(data: Tensor) -> Tensor:
    scale, least, scales, low = data.split((2, 2, 12, 128), dim=1)
    factors, leasts = _scales_of_k(scales)
    factors, leasts = _halves(scale) * factors, _halves(least) * leasts
    numbers = _fields(low.reshape(-1, 32), 4).reshape(-1, 8, 32).float()
    return (factors[..., None] * numbers - leasts[..., None]).flatten(1)


def _q5_k(data: Tensor) -> Tensor:
    scale, least, scales, high, low = data.split((2, 2, 12, 32, 128), dim=1)
    factors, leasts = _scales_of_k(scales)
    factors, leasts = _halves(scale) * factors, _halves(least) * leasts
    numbers = _fields(low.reshape(-1, 32), 4).reshape(-1, 8, 32) | (_fields(high, 1) << 4)
    y: Tensor = factors[..., None] * numbers.float() - leasts[..., None]
    return y.flatten(1)


def _q6_k(data: Tensor) -> Tensor:
    low, high, scales, scale = data.split((128, 64, 16, 2), dim=1)
    factors = _halves(scale) * scales.view(torch.int8).float()
    fours = _fields(low.reshape(-1, 64), 4).reshape(-1, 256)
    twos = _fields(high.reshape(-1, 32), 2).reshape(-1, 256)
    numbers = (fours | (twos << 4)).float() - 32
    y: Tensor = factors[..., None] * numbers.view(-1, 16, 16)
    return y.flatten(1)


def _nf4(data: Tensor) -> Tensor:
    scale, low = data.split((2, 32), dim=1)
    numbers = torch.tensor(NF4_NUMBERS, device=data.device)
    indices = _fields(low, 4).flatten().int()
    return _halves(scale) * numbers.index_select(0, indices).view(len(data), -1)


_BLOCKS: Final[dict[str, tuple[int, int, Callable[[Tensor], Tensor]]]] = {
    "Q4_0": (32, 18, _q4_0),
    "Q4_1": (32, 20, _q4_1),
    "Q5_0": (32, 22, _q5_0),
    "Q5_1": (32, 24, _q5_1),
    "Q8_0": (32, 34, _q8_0),
    "Q2_K": (256, 84, _q2_k),
    "Q3_K": (256, 110, _q3_k),
    "Q4_K": (256, 144, _q4_k),
    "Q5_K": (256, 176, _q5_k),
    "Q6_K": (256, 210, _q6_k),
    NF4: (64, 34, _nf4),
}
"""GGUF's name of a packing, or ours -> numbers of a block, its bytes, and what unpacks blocks."""


def row_bytes(kind: str, columns: int) -> int:
    """Bytes of one packed row of a matrix."""
    if kind in (FLOAT8, INT8):
        return columns + _SCALE_BYTES
    numbers, num_bytes, _ = _BLOCKS[kind]
    return columns // numbers * num_bytes


def pack_rows(numbers: Tensor, scale: Tensor) -> Tensor:
    """Rows in the packing `FLOAT8` or `INT8`.

    Args:
        numbers: (L, C) float8_e4m3fn or int8.
        scale: () or (L, 1) float32, what they are to be multiplied by.

    Returns:
        (L, C + 4) uint8.
    """
    factors = scale.expand(len(numbers), 1).contiguous()
    return torch.cat([numbers.view(torch.uint8), factors.view(torch.uint8)], dim=1)


def split_rows(rows: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The inverse of `pack_rows`: (L, C) numbers of a dtype and their (L, 1) float32 factors."""
    numbers, scale = rows.split((rows.shape[1] - _SCALE_BYTES, _SCALE_BYTES), dim=1)
    return numbers.contiguous().view(dtype), scale.contiguous().view(torch.float32)


def unpack(rows: Tensor, kind: str, dtype: torch.dtype) -> Tensor:
    """The numbers of packed rows.

    Args:
        rows: (L, row_bytes(kind, C)) uint8.
        kind: How they are packed.
        dtype: Of the result.

    Returns:
        (L, C).
    """
    if rows.device.type != "cpu":
        return _unpack(rows, kind).to(dtype)
    columns = _num_columns(rows.shape[1], kind)
    step = max(_NUMBERS_AT_ONCE // columns, 1)
    numbers = torch.empty(len(rows), columns, dtype=dtype)
    for begin in range(0, len(rows), step):
        numbers[begin : begin + step] = _unpack(rows[begin : begin + step], kind)
    return numbers


def _unpack(rows: Tensor, kind: str) -> Tensor:
    if kind == FLOAT8:
        numbers, factors = split_rows(rows, torch.float8_e4m3fn)
        return _float8_as_float32(numbers) * factors
    if kind == INT8:
        numbers, factors = split_rows(rows, torch.int8)
        return numbers.float() * factors
    _, num_bytes, unpack_blocks = _BLOCKS[kind]
    return unpack_blocks(rows.reshape(-1, num_bytes)).view(len(rows), -1)


def _float8_as_float32(numbers: Tensor) -> Tensor:
    """(L, C) float8 -> the same in float32; looking them up is three times as fast on a CPU."""
    if numbers.device.type != "cpu":
        return numbers.float()
    values = torch.arange(256, dtype=torch.uint8).view(numbers.dtype).float()
    indices = numbers.view(torch.uint8).flatten().int()
    return values.index_select(0, indices).view(numbers.shape)


def _num_columns(num_bytes: int, kind: str) -> int:
    if kind in (FLOAT8, INT8):
        return num_bytes - _SCALE_BYTES
    numbers, block_bytes, _ = _BLOCKS[kind]
    return num_bytes // block_bytes * numbers


class PackedLinear(Linear):
    """A `Linear` whose weight is unpacked at every call.

    Args:
        kind: How the weight's rows are packed.
        in_features: Columns of the unpacked weight.
        out_features: Its rows.
    """

    def __init__(self, kind: str, in_features: int, out_features: int) -> None:
        nn.Module.__init__(self)
        self.kind = kind
        packed = torch.empty(out_features, row_bytes(kind, in_features), dtype=torch.uint8)
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.bias = nn.Parameter(torch.empty(out_features), requires_grad=False)

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, unpack(self.weight, self.kind, x.dtype), self.bias)

    def gelu(self, x: Tensor) -> Tensor:
        return linear(x, unpack(self.weight, self.kind, x.dtype), self.bias, "gelu")

    def matrix(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        return unpack(self.weight.to(device, non_blocking=True), self.kind, dtype)

    def prepack(self) -> None:
        """Nothing: oneDNN's order is of unpacked numbers."""


class PackedMatrix(nn.Module):
    """A matrix without a bias that is unpacked at every product, for a network of a library.

    Args:
        kind: How the rows are packed.
        rows: (L, row_bytes(kind, C)) uint8.
    """

    weight = None
    """There is none to look at: T5 asks for its dtype."""

    def __init__(self, kind: str, rows: Tensor) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("rows", rows)
        self.rows: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., L)."""
        return F.linear(x, unpack(self.rows, self.kind, x.dtype))
