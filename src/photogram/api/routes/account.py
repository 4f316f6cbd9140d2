"""What an account has, and what things cost."""

from fastapi import APIRouter

from photogram.accounts.models import Scope
from photogram.api.answers import CreditsAnswer, PricingAnswer, as_credits
from photogram.api.deps import ContextDep, PrincipalDep, ServicesDep, needs
from photogram.api.offers import prices_of
from photogram.api.openapi import error_responses
from photogram.api.schemas import PIXEL_FACTORS

router = APIRouter()

_FORMULA = (
    "samples * pixel_factor * (per_image + per_step * steps) * (1 + guidance_rate * guidance)"
)


@router.get(
    "/v1/get-user-credits",
    summary="The credits that the account can spend",
    dependencies=[needs(Scope.READ)],
    responses=error_responses(401, 503),
)
async def get_user_credits(
    services: ServicesDep, context: ContextDep, principal: PrincipalDep
) -> CreditsAnswer:
    """Credits that are not held by a request under way; free ones are spent first."""
    balance = await services.ledger.spendable(principal.account_id)
    context.remaining_micro = balance.total_micro
    return CreditsAnswer(
        credits=as_credits(balance.total_micro - balance.free_micro),
        free_credits=as_credits(balance.free_micro),
    )


@router.get(
    "/v1/pricing",
    summary="What a picture costs",
    dependencies=[needs(Scope.GENERATE, Scope.READ)],
    responses=error_responses(401, 503),
)
async def get_pricing(services: ServicesDep) -> PricingAnswer:
    """The price tables; `POST /v1/MODEL/estimate` prices one request."""
    generation = services.generation
    tables = {offer.name: prices_of(offer, generation) for offer in generation.catalogue.offers}
    return PricingAnswer(
        **tables[generation.catalogue.default.name].model_dump(),
        pixel_factors={name: float(factor) for name, factor in PIXEL_FACTORS.items()},
        formula=_FORMULA,
        models=tables,
    )
