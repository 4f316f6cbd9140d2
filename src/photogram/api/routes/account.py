"""What an account has, and what things cost."""

from fastapi import APIRouter

from photogram.accounts.models import Scope
from photogram.api.answers import CreditsAnswer, PricingAnswer, as_credits
from photogram.api.deps import ContextDep, PrincipalDep, ServicesDep, needs
from photogram.api.openapi import error_responses
from photogram.api.schemas import PIXEL_FACTORS, read_request

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
    """The price table; `POST /v1/flux-dev/estimate` prices one request."""
    settings = services.settings
    model = services.engine.model
    default = read_request({"prompt": "x"}, model, is_strict=False).order(model, wait_s=None)
    return PricingAnswer(
        per_image=float(settings.price_per_image),
        per_step=float(settings.price_per_step),
        guidance_rate=float(settings.price_guidance_rate),
        pixel_factors={name: float(factor) for name, factor in PIXEL_FACTORS.items()},
        formula=_FORMULA,
        default_request=as_credits(services.generation.quote(default)),
    )
