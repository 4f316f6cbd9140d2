"""The models that a server offers: by which names, and at which prices.

What each model can do comes in, with its prices; whoever is asked for a model by a name finds it
here. It knows nothing of where a model runs, or whether it is loaded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from photogram.core.errors import ConfigurationError, NotFoundError
from photogram.core.messages import DEFAULT_MODEL, ModelInfo
from photogram.ledger.pricing import PriceTable

WITHOUT_GUIDANCE = "flux-schnell"
"""What the first model without guidance answers to as well, unless one is called so."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One model, and what its pictures cost.

    Attributes:
        name: What stands in its path: `DEFAULT_MODEL` for the default one, else its slug.
    """

    model: ModelInfo
    prices: PriceTable
    name: str


class Catalogue:
    """The models of one server.

    Args:
        models: With the prices of each; the first is the default.

    Raises:
        ConfigurationError: Two have one name.
    """

    def __init__(self, models: Sequence[tuple[ModelInfo, PriceTable]]) -> None:
        names = [DEFAULT_MODEL, *(model.slug for model, _ in models[1:])]
        self.offers = tuple(
            Offer(model, prices, name) for name, (model, prices) in zip(names, models, strict=True)
        )
        self.names: Mapping[str, Offer] = MappingProxyType(self._name_all())

    @property
    def default(self) -> Offer:
        """What is painted with where no model is named."""
        return self.offers[0]

    def find(self, name: object) -> Offer:
        """The model of that name.

        Raises:
            NotFoundError: There is none; with code ``model_not_found``.
        """
        offer = self.names.get(name) if isinstance(name, str) else None
        if offer is None:
            raise NotFoundError(
                f"there is no such model here; this server has {', '.join(self.names)}",
                code="model_not_found",
            )
        return offer

    def has(self, slug: str) -> bool:
        """Whether a job of this model can be painted here."""
        return slug == DEFAULT_MODEL or any(offer.model.slug == slug for offer in self.offers)

    def public_name(self, slug: str) -> str:
        """What a job's model is called for those who asked for it."""
        return self.names[slug].name if self.has(slug) else slug

    def slugs_called(self, part: str) -> tuple[str, ...]:
        """The models whose public name has this part, in capitals or not."""
        return tuple(
            offer.model.slug for offer in self.offers if part.lower() in offer.name.lower()
        )

    def _name_all(self) -> dict[str, Offer]:
        names: dict[str, Offer] = {}
        for offer in self.offers:
            for name in (offer.name, offer.model.slug):
                if names.setdefault(name, offer) is not offer:
                    raise ConfigurationError(
                        f"two models are called {name!r}; give one of them another slug"
                        f" ({DEFAULT_MODEL!r} is always the first one's)"
                    )
        for offer in self.offers:
            if not offer.model.has_guidance:
                names.setdefault(WITHOUT_GUIDANCE, offer)
        return names
