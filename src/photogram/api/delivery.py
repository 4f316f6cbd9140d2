"""Finished pictures as an HTTP answer: the bytes of one, or a container that holds them all."""

import json
from typing import assert_never

from starlette.responses import Response

from photogram.api.answers import ImageAnswer, ImagesAnswer, Metrics
from photogram.api.containers import archive, multipart
from photogram.api.idempotency import REPLAYED
from photogram.api.negotiation import WholeEnvelope
from photogram.api.schemas import GenerateRequest, ignored_header
from photogram.generation.closing import Outcome
from photogram.generation.service import Run
from photogram.ledger.pricing import format_credits


def answer_pictures(
    outcome: Outcome,
    wanted: GenerateRequest,
    run: Run,
    *,
    name: str,
    envelope: WholeEnvelope,
) -> Response:
    """The answer to a request that has run and was paid for; the same bytes whenever it is made.

    Args:
        outcome: Its pictures and what they cost.
        wanted: What was asked for.
        run: What was painted.
        name: What painted it is called; files are named after it.
        envelope: The form that the client takes.
    """
    headers = early_headers(wanted, run) | late_headers(outcome)
    images = outcome.finished.images
    files = {f"{name}-{image.seed}.{wanted.output_format}": image for image in images}
    match envelope:
        case "image":
            headers["Content-Disposition"] = f'inline; filename="{next(iter(files))}"'
            return Response(images[0].data, media_type=images[0].content_type, headers=headers)
        case "json":
            body = _images_answer(outcome, run.request_id).model_dump_json()
            return Response(body, media_type="application/json", headers=headers)
        case "multipart":
            kind = f"multipart/mixed; boundary={run.job_id}"
            return Response(multipart(files, run.job_id), media_type=kind, headers=headers)
        case "zip":
            zipped = f"{name}-{run.order.seed}.zip"
            headers["Content-Disposition"] = f'attachment; filename="{zipped}"'
            return Response(archive(files), media_type="application/zip", headers=headers)
        case _:
            assert_never(envelope)


def early_headers(wanted: GenerateRequest, run: Run) -> dict[str, str]:
    """What is known of an answer before its request has run."""
    order = run.order
    metadata = {"width": order.width, "height": order.height, "format": wanted.output_format}
    headers = {
        "x-seed-value": str(order.seed),
        "x-output-metadata": json.dumps(metadata),
        "x-model": order.model,
    }
    if wanted.ignored:
        headers["x-ignored-parameters"] = ignored_header(wanted.ignored)
    if run.is_replay:
        headers |= REPLAYED
    return headers


def late_headers(outcome: Outcome) -> dict[str, str]:
    """What is known of an answer once its request has run."""
    finished = outcome.finished
    return {
        "x-cost": format_credits(outcome.cost_micro),
        "x-generation-time": f"{finished.generation_time_s:.3f}",
        "x-queue-time": f"{finished.queue_time_s:.3f}",
        "x-steps-executed": str(finished.num_steps),
        "x-prompt-tokens": str(finished.prompt_tokens),
        "x-prompt-truncated": str(finished.prompt_truncated).lower(),
    }


def _images_answer(outcome: Outcome, request_id: str) -> ImagesAnswer:
    finished = outcome.finished
    images = [ImageAnswer.of(index, image) for index, image in enumerate(finished.images)]
    return ImagesAnswer(
        request_id=request_id,
        status="COMPLETED",
        image=images[0].image,
        images=images,
        seed=images[0].seed,
        prompt_tokens=finished.prompt_tokens,
        steps_executed=finished.num_steps,
        metrics=Metrics.of(outcome),
    )
