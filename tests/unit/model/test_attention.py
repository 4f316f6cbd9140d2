import torch
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


def test_attention_stays_within_a_request() -> None:
    qk, v = torch.randn(18, 2, 2, 8), torch.randn(18, 2, 8)
    pe = [rope(torch.zeros(length, 3, dtype=torch.int64), (2, 2, 4)) for length in PACKING.total]
    packed = attention(qk, v, pe, PACKING.total)
    alone = attention(qk[6:10], v[6:10], pe[1:2], (4,))
    assert torch.equal(packed[6:10], alone)
    q, k = qk[6:10].permute(1, 2, 0, 3)  # position 0 turns nothing
    expected = functional.scaled_dot_product_attention(q, k, v[6:10].transpose(0, 1))
    assert torch.allclose(alone, expected.transpose(0, 1).flatten(1), atol=1e-6)


def test_rotated_products_depend_on_the_distance_only() -> None:
    axes = (4, 6, 6)
    q, k = torch.randn(1, 16), torch.randn(1, 16)

    def product(a: tuple[int, int, int], b: tuple[int, int, int]) -> float:
        turned_q = apply_rope(q, rope(torch.tensor([a]), axes))
        turned_k = apply_rope(k, rope(torch.tensor([b]), axes))
        return float((turned_q * turned_k).sum())

    near = product((0, 2, 7), (0, 5, 3))
    assert abs(near - product((0, 12, 27), (0, 15, 23))) < 1e-4
    assert abs(near - product((0, 2, 7), (0, 9, 3))) > 1e-3


def test_position_zero_turns_nothing() -> None:
    x = torch.randn(2, 3, 16)
    assert torch.equal(apply_rope(x, rope(torch.zeros(2, 3), (4, 4, 8))), x)
