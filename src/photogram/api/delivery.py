"""Finished pictures as an HTTP answer: the bytes of one, or JSON that holds them all."""

import json
from base64 import b64encode

from starlette.responses import JSONResponse, Response

from photogram.api.answers import ImageAnswer, ImagesAnswer, Metrics, as_credits
from photogram.api.negotiation import Envelope
from photogram.api.schemas import GenerateRequest, ignored_header
from photogram.core.messages import EncodedImage, ModelInfo
from photogram.generation.dispatcher import Outcome
from photogram.ledger.pricing import format_credits


def answer_pictures(
    outcome: Outcome,
    wanted: GenerateRequest,
    *,
    model: ModelInfo,
    envelope: Envelope,
    request_id: str,
) -> Response:
    """The answer to a request that has run and was paid for.

    Args:
        outcome: Its pictures and what they cost.
        wanted: What was asked for.
        model: What painted them.
        envelope: The form that the client takes.
        request_id: The id of the request.
    """
    first = outcome.finished.images[0]
    headers = _headers(outcome, wanted, model)
    if envelope == "json":
        body = _images_answer(outcome, request_id)
        return JSONResponse(body.model_dump(), headers=headers)
    name = f"flux-dev-{first.seed}.{wanted.output_format}"
    headers["Content-Disposition"] = f'inline; filename="{name}"'
    return Response(first.data, media_type=first.content_type, headers=headers)


def _headers(outcome: Outcome, wanted: GenerateRequest, model: ModelInfo) -> dict[str, str]:
    finished = outcome.finished
    first = finished.images[0]
    metadata = {"width": first.width, "height": first.height, "format": wanted.output_format}
    headers = {
        "x-cost": format_credits(outcome.cost_micro),
        "x-seed-value": str(first.seed),
        "x-generation-time": f"{finished.generation_time_s:.3f}",
        "x-queue-time": f"{finished.queue_time_s:.3f}",
        "x-steps-executed": str(finished.num_steps),
        "x-output-metadata": json.dumps(metadata),
        "x-model": model.slug,
        "x-prompt-tokens": str(finished.prompt_tokens),
        "x-prompt-truncated": str(finished.prompt_truncated).lower(),
    }
    if wanted.ignored:
        headers["x-ignored-parameters"] = ignored_header(wanted.ignored)
    return headers


def _images_answer(outcome: Outcome, request_id: str) -> ImagesAnswer:
    finished = outcome.finished
    images = [_image_answer(index, image) for index, image in enumerate(finished.images)]
    return ImagesAnswer(
        request_id=request_id,
        status="COMPLETED",
        image=images[0].image,
        images=images,
        seed=images[0].seed,
        prompt_tokens=finished.prompt_tokens,
        steps_executed=finished.num_steps,
        metrics=Metrics(
            cost=as_credits(outcome.cost_micro),
            remaining_credits=as_credits(outcome.remaining_micro),
            inference_time=round(finished.generation_time_s, 3),
            queue_time=round(finished.queue_time_s, 3),
            total_time=round(outcome.total_time_s, 3),
        ),
    )


def _image_answer(index: int, image: EncodedImage) -> ImageAnswer:
    return ImageAnswer(
        index=index,
        seed=image.seed,
        content_type=image.content_type,
        width=image.width,
        height=image.height,
        image=b64encode(image.data).decode("ascii"),
    )
