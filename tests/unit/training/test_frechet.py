"""The Fréchet distance between sets of features."""

import pytest
import torch

from training.evaluate.frechet import frechet_distance


def test_a_set_is_at_no_distance_from_itself() -> None:
    features = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(features, features) == pytest.approx(0.0, abs=1e-9)


def test_a_shift_counts_its_square() -> None:
    features = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(features, features + 0.5) == pytest.approx(8 * 0.25, rel=1e-5)


def test_a_wider_set_counts_the_square_of_the_difference_of_deviations() -> None:
    features = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    features -= features.mean(0)
    expected = float(torch.cov(features.T).trace())  # (2 - 1)^2 times the variance
    assert frechet_distance(features, 2 * features) == pytest.approx(expected, rel=1e-5)
