import pytest
import torch
from torch import Tensor
from torch.nn import functional

from photogram.model.attention import Packing, attention
from photogram.model.rope import apply_rope, rope

PACKING = Packing(img=(4, 1, 6), txt=(2, 3, 2))


def test_join_puts_each_requests_text_before_its_image() -> None:
    txt, img = torch.arange(7)[:, None], torch.arange(100, 111)[:, None]
    joined = PACKING.join(txt, img)
    assert joined[:6, 0].tolist() == [0, 1, 100, 101, 102, 103]
    assert PACKING.total == (6, 4, 8)
    assert all(torch.equal(a, b) for a, b in zip(PACKING.part(joined), (txt, img), strict=True))


def exact(heads: Tensor) -> Tensor:
    q, k, v = heads.float().permute(1, 2, 0, 3)
    return functional.scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_stays_within_a_request(dtype: torch.dtype) -> None:
    heads = torch.randn(18, 3, 2, 8, dtype=dtype)
    packed = attention(heads, PACKING)
    alone = attention(heads[6:10], Packing(img=(1,), txt=(3,)))
    assert torch.equal(packed[6:10], alone)
    tolerance = 1e-6 if dtype == torch.float32 else 3e-2
    assert torch.allclose(alone.float(), exact(heads[6:10]), atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [5, 130, 700])
def test_attention_is_exact_at_every_length(length: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    heads = torch.randn(length, 3, 3, 32).to(dtype)
    expected = exact(heads)
    error = (attention(heads, Packing((length - 2,), (2,))).float() - expected).norm()
    assert error < (1e-5 if dtype == torch.float32 else 1e-2) * expected.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_image_alone_asks_what_it_would_ask_with_the_text(dtype: torch.dtype) -> None:
    heads = torch.randn(18, 3, 2, 8, dtype=dtype)
    _, whole = PACKING.part(attention(heads, PACKING))
    image = attention(heads, PACKING, image_asks=True)
    assert torch.allclose(image, whole, atol=1e-6 if dtype == torch.float32 else 2e-2)


def test_packing_for_a_kernel_is_the_same_packing() -> None:
    packing = PACKING.for_kernel(torch.device("cpu"))
    assert packing == PACKING
    assert hash(packing) == hash(PACKING)
    assert packing.offsets is not None
    assert [offsets.tolist() for offsets in packing.offsets] == [[0, 4, 5, 11], [0, 6, 10, 18]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_one_kernel_attends_as_one_request_after_another_does() -> None:
    device = torch.device("cuda")
    heads = torch.randn(18, 3, 2, 64, dtype=torch.bfloat16, device=device)
    for image_asks in (False, True):
        one, many = (
            attention(heads, packing, image_asks=image_asks)
            for packing in (PACKING, PACKING.for_kernel(device))
        )
        assert torch.allclose(one, many, atol=2e-2)


def test_rotated_products_depend_on_the_distance_only() -> None:
    axes = (4, 6, 6)
    q, k = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

    def product(a: tuple[int, int, int], b: tuple[int, int, int]) -> float:
        turned_q = apply_rope(q.clone(), rope(torch.tensor([a]), axes))
        turned_k = apply_rope(k.clone(), rope(torch.tensor([b]), axes))
        return float((turned_q * turned_k).sum())

    near = product((0, 2, 7), (0, 5, 3))
    assert abs(near - product((0, 12, 27), (0, 15, 23))) < 1e-4
    assert abs(near - product((0, 2, 7), (0, 9, 3))) > 1e-3


def test_position_zero_turns_nothing() -> None:
    x = torch.randn(2, 1, 3, 16)
    assert torch.equal(apply_rope(x.clone(), rope(torch.zeros(2, 3), (4, 4, 8))), x)
