"""What the server paints with, in one shape for our own clients and OpenAI's."""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter
from starlette.requests import Request

from photogram.accounts.models import Scope
from photogram.api.answers import ModelAnswer, ModelsAnswer
from photogram.api.deps import Services, ServicesDep, needs
from photogram.api.offers import model_answer
from photogram.api.openai_answers import OpenaiErrorAnswer
from photogram.api.openapi import error_responses
from photogram.core.adapters import adapter_files
from photogram.generation.catalogue import Offer

router = APIRouter(dependencies=[needs(Scope.GENERATE, Scope.READ)])

# Not an argument of the function: FastAPI would announce a 422 for it, which is never sent.
_MODEL_ID = {
    "parameters": [
        {"name": "model_id", "in": "path", "required": True, "schema": {"type": "string"}}
    ]
}


@router.get(
    "/v1/models",
    summary="The models of this server",
    responses=error_responses(401, 503, model=OpenaiErrorAnswer),
)
async def list_models(request: Request, services: ServicesDep) -> ModelsAnswer:
    """Every model, with its limits, prices and sizes, what it knows, and whether it is loaded."""
    offers = services.generation.catalogue.offers
    return ModelsAnswer(object="list", data=await _answers(request, services, offers))


@router.get(
    "/v1/models/{model_id}",
    summary="One model of this server",
    responses=error_responses(401, 404, 503, model=OpenaiErrorAnswer),
    openapi_extra=_MODEL_ID,
)
async def get_model(request: Request, services: ServicesDep) -> ModelAnswer:
    """The same as in the list."""
    offer = services.generation.catalogue.find(request.path_params["model_id"])
    (answer,) = await _answers(request, services, [offer])
    return answer


async def _answers(
    request: Request, services: Services, offers: Sequence[Offer]
) -> list[ModelAnswer]:
    loras = list(await asyncio.to_thread(adapter_files, services.settings.loras))
    states = {each.slug: each.state for each in services.engine.report()}
    created_s = request.app.state.started_s
    return [
        model_answer(
            offer, services.generation, states[offer.model.slug], loras, created_s=created_s
        )
        for offer in offers
    ]
