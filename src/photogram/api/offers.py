"""A model as clients are told of it: its limits, sizes, prices and state."""

from photogram.api.answers import ModelAnswer, Prices, as_credits
from photogram.api.openai_request import sizes_of
from photogram.api.schemas import read_request
from photogram.core.ports import ModelState
from photogram.generation.catalogue import Offer
from photogram.generation.service import GenerationService


def prices_of(offer: Offer, generation: GenerationService) -> Prices:
    """What its pictures cost."""
    default = read_request({"prompt": "x"}, offer.model, is_strict=False)
    return Prices(
        per_image=float(offer.prices.per_image),
        per_step=float(offer.prices.per_step),
        guidance_rate=float(offer.prices.guidance_rate),
        default_request=as_credits(generation.quote(default.order(offer.model, wait_s=None))),
    )


def model_answer(
    offer: Offer,
    generation: GenerationService,
    state: ModelState,
    loras: list[str],
    *,
    created_s: int,
) -> ModelAnswer:
    """All of it.

    Args:
        offer: The model.
        generation: Asked for prices, and what else it is called.
        state: How it is.
        loras: Adapters that it can be painted with.
        created_s: When this server began to offer it; Unix seconds.
    """
    model, names = offer.model, generation.catalogue.names
    return ModelAnswer(
        id=model.slug,
        object="model",
        created=created_s,
        owned_by="photogram",
        name=model.name,
        license=model.license,
        aspect_ratios={ratio: [*size] for ratio, size in model.aspect_ratios.items()},
        sizes=list(sizes_of(model)),
        size_multiple=model.size_multiple,
        max_text_tokens=model.max_text_tokens,
        has_guidance=model.has_guidance,
        default_steps=model.default_steps,
        max_steps=model.max_steps,
        names=[name for name, named in names.items() if named is offer],
        state=state,
        prices=prices_of(offer, generation),
        concepts=list(model.concepts),
        suggested_prompts=list(model.suggested_prompts),
        loras=loras,
    )
