"""What the server paints with, in one shape for our own clients and OpenAI's."""

import asyncio

from fastapi import APIRouter
from starlette.requests import Request

from photogram.accounts.models import Scope
from photogram.api.answers import ModelAnswer, ModelsAnswer
from photogram.api.deps import Services, ServicesDep, needs
from photogram.api.openai_answers import OpenaiErrorAnswer
from photogram.api.openai_request import check_model, sizes_of
from photogram.api.openapi import error_responses
from photogram.core.adapters import adapter_files

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
    """Every model, with its sizes and what it knows."""
    return ModelsAnswer(object="list", data=[await _model_answer(request, services)])


@router.get(
    "/v1/models/{model_id}",
    summary="One model of this server",
    responses=error_responses(401, 404, 503, model=OpenaiErrorAnswer),
    openapi_extra=_MODEL_ID,
)
async def get_model(request: Request, services: ServicesDep) -> ModelAnswer:
    """The same as in the list."""
    check_model(request.path_params["model_id"], services.engine.model)
    return await _model_answer(request, services)


async def _model_answer(request: Request, services: Services) -> ModelAnswer:
    model = services.engine.model
    return ModelAnswer(
        id=model.slug,
        object="model",
        created=request.app.state.started_s,
        owned_by="photogram",
        name=model.name,
        license=model.license,
        aspect_ratios={ratio: [*size] for ratio, size in model.aspect_ratios.items()},
        sizes=list(sizes_of(model)),
        size_multiple=model.size_multiple,
        max_text_tokens=model.max_text_tokens,
        has_guidance=model.has_guidance,
        concepts=list(model.concepts),
        suggested_prompts=list(model.suggested_prompts),
        loras=list(await asyncio.to_thread(adapter_files, services.settings.loras)),
    )
