import torch
from torch.nn import functional

from photogram.model.float8 import Float8Linear, quantize
from photogram.model.linear import Linear


def test_rows_keep_their_size_whatever_it_is() -> None:
    x = torch.randn(5, 256) * torch.tensor([[1e-4], [1.0], [30.0], [1e4], [0.0]])
    numbers, scale = quantize(x)
    restored = numbers.float() * scale
    assert numbers.dtype == torch.float8_e4m3fn
    assert torch.isfinite(restored).all()
    large = x.abs() > x.abs().amax(-1, keepdim=True) / 100
    assert torch.allclose(restored[large], x[large], rtol=1 / 16, atol=0)
    assert restored[-1].count_nonzero() == 0


def test_one_loud_token_does_not_drown_the_others() -> None:
    x = torch.randn(3, 64)
    alone = quantize(x[:1])
    loud = quantize(torch.cat([x[:1], x[1:] * 1e5]))
    assert torch.equal(alone[0].float(), loud[0][:1].float())
    assert torch.equal(alone[1], loud[1][:1])


def test_product_is_near_the_exact_one() -> None:
    torch.manual_seed(0)
    exact = Linear(128, 64).to(torch.bfloat16).requires_grad_(requires_grad=False)
    exact.weight.normal_(0, 128**-0.5)
    exact.bias.normal_()
    approximate = Float8Linear(exact, torch.device("cpu"))
    x = torch.randn(48, 128, dtype=torch.bfloat16)
    expected, y = exact(x).float(), approximate(x)
    assert y.dtype == torch.bfloat16
    assert (y.float() - expected).norm() < 0.05 * expected.norm()
    gelu = functional.gelu(expected, approximate="tanh")
    assert (approximate.gelu(x).float() - gelu).norm() < 0.08 * gelu.norm()
