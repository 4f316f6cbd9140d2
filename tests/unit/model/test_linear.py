import pytest
import torch
from torch.nn import functional

from photogram.model.linear import After, Linear, linear

AFTERS: tuple[After, ...] = ("nothing", "gelu")


@pytest.mark.parametrize("num_threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_do_not_know_how_many_they_are(dtype: torch.dtype, num_threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        for channels, rows in ((16, 48), (64, 256), (256, 96)):
            x = torch.randn(70, channels, dtype=dtype)
            weight, bias = torch.randn(rows, channels, dtype=dtype), torch.randn(rows, dtype=dtype)
            for after in AFTERS:
                packed = linear(x, weight, bias, after)
                for length in (1, 2, 3, 5, 6, 7, 9, 16, 33):
                    alone = linear(x[20 : 20 + length], weight, bias, after)
                    assert torch.equal(alone, packed[20 : 20 + length])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_precision_is_multiplied_where_onednn_lacks_it_too(dtype: torch.dtype) -> None:
    x, weight, bias = (torch.randn(*size) for size in ((9, 32), (24, 32), (24,)))
    for after in AFTERS:
        y = linear(x.to(dtype), weight.to(dtype), bias.to(dtype), after)
        assert y.dtype == dtype
        assert torch.allclose(y.float(), linear(x, weight, bias, after), atol=0.2)


def test_values_are_torchs() -> None:
    x, weight, bias = torch.randn(9, 32), torch.randn(24, 32), torch.randn(24)
    product = functional.linear(x, weight, bias)
    assert torch.allclose(linear(x, weight, bias), product, atol=1e-5)
    gelu = functional.gelu(product, approximate="tanh")
    assert torch.allclose(linear(x, weight, bias, "gelu"), gelu, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_prepacked_layer_gives_the_same_to_the_last_bit(dtype: torch.dtype) -> None:
    layer = Linear(64, 256).to(dtype).requires_grad_(requires_grad=False)
    for parameter in layer.parameters():
        parameter.normal_()
    inputs = [torch.randn(length, 64, dtype=dtype) for length in (1, 2, 5, 33, 200)]
    expected = [(layer(x), layer.gelu(x)) for x in inputs]
    layer.prepack()
    for x, (product, gelu) in zip(inputs, expected, strict=True):
        assert torch.equal(layer(x), product)
        assert torch.equal(layer.gelu(x), gelu)
