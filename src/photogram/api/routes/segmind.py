"""Routes that Segmind's SDK calls on hosts of their own: the account, and the list of models.

Their paths and shapes are the SDK's; each says only what this server knows.
"""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from photogram.accounts.models import Scope
from photogram.api.answers import as_credits
from photogram.api.attributes import attributes_of
from photogram.api.deps import ContextDep, PrincipalDep, ServicesDep, needs
from photogram.api.openapi import error_responses, request_schema
from photogram.generation.catalogue import Offer

router = APIRouter()


class Balance(BaseModel):
    """What an account can spend."""

    balance: float


class AccountAnswer(BaseModel):
    """Who a key belongs to."""

    user_id: str = Field(description="The account.")
    key_id: str = Field(description="The public part of the key.")
    credits: Balance


class SegmindModel(BaseModel):
    """One model that can be called."""

    slug: str = Field(description="What stands in its path, `POST /v1/SLUG`.")
    title: str
    type: str
    description: str
    parameters: dict[str, Any] = Field(description="The JSON schema of a request.")


class SegmindModelsAnswer(BaseModel):
    """All models that can be called."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    models: list[SegmindModel] = Field(
        alias="Inference Segmind Model Information List With Details"
    )


@router.get(
    "/api/auth/authenticate",
    summary="Who the key belongs to",
    dependencies=[needs(Scope.READ)],
    responses=error_responses(401, 503),
)
async def get_account(
    services: ServicesDep, context: ContextDep, principal: PrincipalDep
) -> AccountAnswer:
    """The key's account and its credits."""
    context.remaining_micro = await services.ledger.remaining(principal.account_id)
    return AccountAnswer(
        user_id=principal.account_id,
        key_id=principal.key_id,
        credits=Balance(balance=as_credits(context.remaining_micro)),
    )


@router.get(
    "/inference-model-information/list",
    summary="The models of this server, for Segmind's SDK",
    dependencies=[needs(Scope.GENERATE, Scope.READ)],
    responses=error_responses(401, 503),
)
async def list_segmind_models(services: ServicesDep) -> SegmindModelsAnswer:
    """The same models as in `GET /v1/models`, by the names in their paths."""
    return SegmindModelsAnswer(
        models=[_described(offer) for offer in services.generation.catalogue.offers]
    )


def _described(offer: Offer) -> SegmindModel:
    model = offer.model
    knows = f"It knows: {', '.join(model.concepts)}." if model.concepts else ""
    return SegmindModel(
        slug=offer.name,
        title=model.name,
        type="textToImage",
        description=f"{model.name} ({model.slug}). {knows}".strip(),
        parameters=request_schema(attributes_of(model)),
    )
