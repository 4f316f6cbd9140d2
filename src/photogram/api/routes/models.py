"""What the server paints with."""

from fastapi import APIRouter

from photogram.api.answers import ModelAnswer, ModelsAnswer
from photogram.api.deps import ServicesDep
from photogram.api.openapi import error_responses
from photogram.core.messages import ModelInfo

router = APIRouter()


@router.get("/v1/models", summary="The models of this server", responses=error_responses(401, 503))
async def list_models(services: ServicesDep) -> ModelsAnswer:
    """Every model, with its sizes and what it knows."""
    return ModelsAnswer(object="list", data=[_model_answer(services.engine.model)])


def _model_answer(model: ModelInfo) -> ModelAnswer:
    return ModelAnswer(
        id=model.slug,
        object="model",
        owned_by="photogram",
        name=model.name,
        license=model.license,
        aspect_ratios=model.aspect_ratios,
        size_multiple=model.size_multiple,
        max_text_tokens=model.max_text_tokens,
        has_guidance=model.has_guidance,
        concepts=list(model.concepts),
        suggested_prompts=list(model.suggested_prompts),
    )
