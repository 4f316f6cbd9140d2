"""Matrices that are packed at load: how near they stay, and that a token's result is its own."""

import pytest
import torch
from torch.nn import functional

from photogram.model.linear import Linear
from photogram.model.packed import INT8, NF4, NF4_NUMBERS, PackedLinear, row_bytes, unpack
from photogram.model.packing import Int8Linear, int8_multiplies, pack, quantize
from photogram.weights.keymap import Entry
from photogram.weights.packing import entry_bytes

needs_int8 = pytest.mark.skipif(not int8_multiplies(), reason="this CPU does not multiply in int8")


@pytest.mark.parametrize(("kind", "error"), [(INT8, 0.01), (NF4, 0.12)])
def test_numbers_stay_near(kind: str, error: float) -> None:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(48, 256, generator=generator) * torch.logspace(-4, 2, 48)[:, None]
    numbers[7] = 0
    rows = pack(numbers, kind)
    assert rows.shape == (48, row_bytes(kind, 256))
    restored = unpack(rows, kind, torch.float32)
    apart = (restored - numbers).norm(dim=1)
    assert (apart <= error * numbers.norm(dim=1)).all()
    assert restored[7].count_nonzero() == 0


@pytest.mark.parametrize(("kind", "precision"), [(INT8, "int8"), (NF4, "nf4")])
def test_rows_have_the_bytes_that_are_planned(kind: str, precision: str) -> None:
    entry = Entry("double_blocks.0.img_mlp.in_layer.weight", (48, 256), ())
    assert pack(torch.randn(48, 256), kind).nbytes == entry_bytes(entry, precision)  # type: ignore[arg-type] # one of its words


def test_four_bits_take_the_nearest_of_their_numbers() -> None:
    numbers = torch.rand(1, 4096) * 2 - 1
    numbers[:, ::64] = 1.0  # the largest of every block
    restored = unpack(pack(numbers, NF4), NF4, torch.float32)
    book = torch.tensor(NF4_NUMBERS)
    nearest = book[(numbers.view(-1, 1) - book).abs().argmin(1)].view_as(numbers)
    assert torch.equal(restored, nearest)


def test_large_matrices_are_packed_in_pieces() -> None:
    numbers = torch.randn(3, 2**21)
    assert torch.equal(pack(numbers, INT8)[2:], pack(numbers[2:], INT8))


def packed_layer(rows: int, columns: int) -> PackedLinear:
    layer = PackedLinear(INT8, columns, rows)
    weight = pack(torch.randn(rows, columns) / columns**0.5, INT8)
    layer.load_state_dict({"weight": weight, "bias": torch.randn(rows)}, assign=True)
    return layer


@needs_int8
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_product_in_int8_is_near_the_exact_one(dtype: torch.dtype) -> None:
    layer = packed_layer(96, 128)
    exact = Linear(128, 96)
    weight = unpack(layer.weight, INT8, torch.float32)
    exact.load_state_dict({"weight": weight, "bias": layer.bias})
    x = torch.randn(9, 128, dtype=dtype) * torch.logspace(-1, 3, 9)[:, None].to(dtype)
    expected, y = exact(x.float()), Int8Linear(layer)(x)
    assert y.dtype == dtype
    assert ((y.float() - expected).norm(dim=1) <= 0.02 * expected.norm(dim=1)).all()
    gelu = Int8Linear(layer).gelu(x).float()
    wanted = functional.gelu(expected, approximate="tanh")
    assert ((gelu - wanted).norm(dim=1) <= 0.03 * wanted.norm(dim=1)).all()


@needs_int8
@pytest.mark.parametrize("num_tokens", [1, 2, 5, 130])
def test_a_tokens_product_in_int8_is_its_own(num_tokens: int) -> None:
    layer = Int8Linear(packed_layer(200, 128))
    x = torch.randn(300, 128, dtype=torch.bfloat16)
    among, gelu = layer(x)[50 : 50 + num_tokens], layer.gelu(x)[50 : 50 + num_tokens]
    alone = x[50 : 50 + num_tokens]
    assert torch.equal(layer(alone), among)
    assert torch.equal(layer.gelu(alone), gelu)


def test_rows_are_quantised_by_their_own_largest() -> None:
    numbers, scale = quantize(torch.tensor([[0.0, 1.0, -254.0], [0.5, 0.1, 0.0]]))
    assert numbers.tolist() == [[0, 0, -127], [127, 25, 0]]
    assert scale[:, 0].tolist() == pytest.approx([2.0, 0.5 / 127])
