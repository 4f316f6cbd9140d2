"""The shape of the real FLUX.1 [dev], without its numbers."""

import pytest
import torch

from photogram.model.transformer import Flux
from photogram.weights.sizes import FLUX_DEV


@pytest.fixture(scope="package")
def flux_dev() -> Flux:
    with torch.device("meta"):
        return Flux(FLUX_DEV.transformer)
