"""Packed weights mean what the tool that defines them says, and multiply as unpacked ones do."""

import gguf
import numpy as np
import pytest
import torch
from gguf.quants import dequantize, quantize
from numpy.typing import NDArray

from photogram.model.float8 import Float8Linear
from photogram.model.linear import Linear
from photogram.model.packed import FLOAT8, PackedLinear, pack_rows, row_bytes, unpack
from photogram.weights.files.header import BLOCKS, PACKED

SCALES = {  # bytes of a block that are float16 factors: any other bytes may be anything
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
}


def random_rows(kind: str, num_rows: int, columns: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    if kind not in SCALES:
        numbers = rng.standard_normal((num_rows, columns), dtype=np.float32)
        return quantize(numbers, gguf.GGMLQuantizationType[kind])
    rows = rng.integers(0, 256, (num_rows, row_bytes(kind, columns)), dtype=np.uint8)
    blocks = rows.reshape(-1, BLOCKS[kind][1])
    for begin in SCALES[kind]:
        factors = rng.uniform(-1e-2, 1e-2, (len(blocks), 1)).astype(np.float16)
        blocks[:, begin : begin + 2] = factors.view(np.uint8)
    return blocks.reshape(rows.shape)


@pytest.mark.parametrize("kind", PACKED)
def test_numbers_are_ggufs_to_the_last_bit(kind: str) -> None:
    assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]] == BLOCKS[kind]
    rows = random_rows(kind, 11, 1024)
    theirs = torch.from_numpy(dequantize(rows, gguf.GGMLQuantizationType[kind]))
    assert theirs.isfinite().all()
    assert theirs.std() > 0
    assert torch.equal(unpack(torch.from_numpy(rows), kind, torch.float32), theirs)
    halves = unpack(torch.from_numpy(rows), kind, torch.bfloat16)
    assert torch.equal(halves, theirs.to(torch.bfloat16))


def test_large_matrices_are_unpacked_in_pieces() -> None:
    rows = torch.from_numpy(random_rows("Q8_0", 3, 2**20 + 32)).repeat(2, 1)
    numbers = unpack(rows, "Q8_0", torch.float32)
    assert torch.equal(numbers[:3], numbers[3:])
    assert torch.equal(numbers[2:3], unpack(rows[2:3], "Q8_0", torch.float32))


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K", FLOAT8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layer_gives_what_an_unpacked_one_gives(kind: str, dtype: torch.dtype) -> None:
    if kind == FLOAT8:
        numbers = torch.randn(48, 256).to(torch.float8_e4m3fn)
        rows = pack_rows(numbers, torch.rand(48, 1))
    else:
        rows = torch.from_numpy(random_rows(kind, 48, 256))
    packed = PackedLinear(kind, 256, 48)
    exact = Linear(256, 48).to(dtype)
    bias = torch.randn(48, dtype=dtype)
    packed.load_state_dict({"weight": rows, "bias": bias}, assign=True)
    exact.load_state_dict({"weight": unpack(rows, kind, dtype), "bias": bias})
    packed.prepack()
    x = torch.randn(9, 256, dtype=dtype)
    assert torch.equal(packed(x), exact(x))
    assert torch.equal(packed.gelu(x), exact.gelu(x))
    assert torch.equal(packed.matrix(x.device, dtype), exact.weight)


@pytest.mark.parametrize("scale", [torch.tensor(0.25), torch.rand(48, 1)])
def test_float8_rows_are_numbers_times_factors(scale: torch.Tensor) -> None:
    numbers = torch.randn(48, 32).to(torch.float8_e4m3fn)
    rows = pack_rows(numbers, scale)
    assert rows.shape == (48, row_bytes(FLOAT8, 32))
    assert torch.equal(unpack(rows, FLOAT8, torch.float32), numbers.float() * scale)


def test_float8_layer_takes_the_files_own_numbers() -> None:
    """Quantising them again would find other factors, and other numbers."""
    numbers, scale = torch.randn(48, 32).to(torch.float8_e4m3fn), torch.rand(48, 1)
    layer = PackedLinear(FLOAT8, 32, 48)
    rows = pack_rows(numbers, scale)
    layer.load_state_dict({"weight": rows, "bias": torch.zeros(48)}, assign=True)
    float8 = Float8Linear(layer, torch.device("cpu"))
    assert torch.equal(float8.weight.view(torch.uint8), numbers.view(torch.uint8))
    assert torch.equal(float8.scale, scale.T)


def test_float8_layer_of_another_packing_is_quantised() -> None:
    rows = torch.from_numpy(random_rows("Q8_0", 48, 256))
    layer = PackedLinear("Q8_0", 256, 48)
    bias = torch.zeros(48, dtype=torch.bfloat16)
    layer.load_state_dict({"weight": rows, "bias": bias}, assign=True)
    float8 = Float8Linear(layer, torch.device("cpu"))
    exact = unpack(rows, "Q8_0", torch.float32)
    assert (float8.weight.float() * float8.scale.T - exact).norm() < 0.05 * exact.norm()
