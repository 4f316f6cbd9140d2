"""What is told of a job's end to those who did not wait for it.

A closed job's row comes in, with its pictures; JSON goes out, in the words of the API.

Source: Standard Webhooks 1.0.0, the recommended structure of a payload: type, timestamp, data.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from photogram.generation.orders import KeptOrder
from photogram.generation.records import StoredImage
from photogram.ledger.pricing import MICRO_PER_CREDIT
from photogram.webhooks.models import JOB_COMPLETED, JOB_FAILED


def completion(
    job_id: str,
    kept: KeptOrder,
    images: Sequence[StoredImage],
    cost_micro: int,
    at: datetime,
) -> str:
    """That a job has succeeded, and where its pictures are."""
    told = [
        {
            "url": kept.files_url + each.file_name,
            "content_type": each.content_type,
            "file_name": each.file_name,
            "file_size": each.size_bytes,
            "seed": each.seed,
            "width": each.width,
            "height": each.height,
        }
        for each in images
    ]
    data = {
        "request_id": job_id,
        "status": "COMPLETED",
        "output": told[0]["url"] if told else None,
        "images": told,
        "seed": kept.order.seed,
        "metrics": {"cost": cost_micro / MICRO_PER_CREDIT},
    }
    return _payload(JOB_COMPLETED, data, at)


def failure(job_id: str, code: str, message: str | None, at: datetime) -> str:
    """That a job has ended without pictures, and why."""
    data = {"request_id": job_id, "status": "FAILED", "error": message or code, "code": code}
    return _payload(JOB_FAILED, data, at)


def _payload(kind: str, data: dict[str, Any], at: datetime) -> str:
    return msgspec.json.encode({"type": kind, "timestamp": at, "data": data}).decode()
