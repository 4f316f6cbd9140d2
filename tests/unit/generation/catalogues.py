"""Catalogues of models that need no checkpoint."""

from decimal import Decimal

from msgspec.structs import replace

from photogram.core.messages import ModelInfo
from photogram.engine.fake import FAKE_MODEL
from photogram.generation.catalogue import Catalogue
from photogram.ledger.pricing import PriceTable

USUAL_PRICES = PriceTable(Decimal("0.0016"), Decimal("0.00072"), Decimal("0.002"))

FAST_MODEL = replace(
    FAKE_MODEL, slug="fast", name="Fast", has_guidance=False, default_steps=4, max_steps=12
)
"""As FLUX.1 [schnell] beside a [dev]."""


def catalogue_of(*models: ModelInfo, prices: PriceTable = USUAL_PRICES) -> Catalogue:
    """These models, at one price; without any, the fake one."""
    return Catalogue([(model, prices) for model in models or (FAKE_MODEL,)])
