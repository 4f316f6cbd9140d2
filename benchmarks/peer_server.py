"""The peer: diffusers' FluxPipeline behind a plain FastAPI queue, as a careful engineer writes it.

One thread owns the pipeline and takes requests in order of arrival; files are written on others. It
runs in bfloat16, eager or compiled for all sizes at once, and is warm before it takes requests.

Run: python -m benchmarks.peer_server MODEL [--threads N] [--compile]; it prints its address.
"""

import argparse
import asyncio
import io
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, Response
from PIL import Image
from pydantic import BaseModel

from benchmarks.engines.peer import compile_networks, end_compilers, load
from photogram.core.messages import ModelInfo
from photogram.weights.locate import inspect


class Wanted(BaseModel):
    """One picture."""

    prompt: str
    width: int
    height: int
    steps: int
    guidance: float
    seed: int


def create_app(pipeline: Any, warm_up: list[Wanted], release: Callable[[], None]) -> FastAPI:
    """The server.

    Args:
        pipeline: Paints.
        warm_up: What it paints before it takes requests.
        release: Called after that.
    """
    worker = ThreadPoolExecutor(1)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        for wanted in warm_up:
            await asyncio.wrap_future(worker.submit(_paint, pipeline, wanted))
        release()
        print("it takes requests", flush=True)
        yield
        worker.shutdown(cancel_futures=True)

    app = FastAPI(lifespan=lifespan)

    @app.post("/generate")
    async def generate(wanted: Wanted) -> Response:
        image = await asyncio.wrap_future(worker.submit(_paint, pipeline, wanted))
        data = await asyncio.to_thread(_encode, image)
        return Response(data, media_type="image/webp")

    return app


def _paint(pipeline: Any, wanted: Wanted) -> Image.Image:
    image: Image.Image = pipeline(
        wanted.prompt,
        num_inference_steps=wanted.steps,
        guidance_scale=wanted.guidance,
        width=wanted.width,
        height=wanted.height,
        max_sequence_length=pipeline.tokenizer_2.model_max_length,
        generator=torch.Generator("cpu").manual_seed(wanted.seed),
    ).images[0]
    return image


def _encode(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "webp", quality=80)
    return file.getvalue()


def _warm_up(model: ModelInfo) -> list[Wanted]:
    """Every size twice: the first may compile, the second shows that nothing is left to."""
    sizes = {
        model.size(ratio, megapixels)
        for ratio in model.aspect_ratios
        for megapixels in ("1", "0.25")
    }
    return [
        Wanted(prompt="warm up", width=width, height=height, steps=2, guidance=3.5, seed=1)
        for width, height in sorted(sizes) * 2
    ]


def main() -> None:
    """Load, warm up, and serve on a free port until SIGTERM."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    pipeline = load(arguments.model, torch.bfloat16)
    if arguments.compile:
        compile_networks(pipeline, is_dynamic=True)
    release = end_compilers if arguments.compile else lambda: None
    app = create_app(pipeline, _warm_up(inspect(arguments.model).model), release)
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    # asyncio sets no TCP_NODELAY on connections of such a listener; inherited, it costs no 40 ms
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
