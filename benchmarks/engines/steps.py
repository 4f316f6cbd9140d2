"""One denoising step of the transformer alone, by every engine that is installed.

In: a case. Out: engine name -> a function that computes the velocity of the first step, its inputs
prepared. Engines that the environment lacks are named instead.
"""

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.engines.interface import Case, Step, Velocity
from benchmarks.engines.peer import Transformer, compiled, load
from benchmarks.gates import OURS_FLOAT32, PEER, REFERENCE
from benchmarks.points import OURS
from photogram import Pipeline
from photogram.pipeline.batch import Denoising
from photogram.sampling.latents import position_ids

_PROMPT = "a red apple"


def make_steps(
    case: Case, *, with_compilers: bool, threads: int
) -> tuple[dict[str, Step], list[str]]:
    """Prepare all engines.

    Args:
        case: What they paint.
        with_compilers: Also diffusers compiled, OpenVINO and ONNX Runtime, which take minutes.
        threads: For engines that do not take torch's number.

    Returns:
        The engines, and remarks about those that are not installed.
    """
    steps = {
        OURS: _own(case, torch.bfloat16),
        OURS_FLOAT32: _own(case, torch.float32),
        PEER: _diffusers(case, torch.bfloat16, is_compiled=False),
        REFERENCE: _diffusers(case, torch.float32, is_compiled=False),
    }
    if not with_compilers:
        return steps, []
    steps[f"{PEER} compiled"] = _diffusers(case, torch.bfloat16, is_compiled=True)
    remarks = []
    if importlib.util.find_spec("openvino"):
        from benchmarks.engines.openvino import make_step as openvino_step

        steps["OpenVINO bfloat16"] = openvino_step(*_inputs(case, torch.float32), threads)
    else:
        remarks.append("OpenVINO is not installed")
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnxscript"):
        from benchmarks.engines.onnx import make_steps as onnx_steps

        steps |= onnx_steps(*_inputs(case, torch.float32), threads)
    else:
        remarks.append("ONNX Runtime is not installed")
    return steps, remarks


def _inputs(case: Case, dtype: torch.dtype) -> tuple[Transformer, tuple[Tensor, ...]]:
    """The network and its inputs at the first step, in one precision."""
    pipeline: Any = load(case.model, dtype)
    max_text_tokens = pipeline.tokenizer_2.model_max_length
    with torch.no_grad():
        txt, vec, txt_ids = pipeline.encode_prompt(
            _PROMPT, prompt_2=None, max_sequence_length=max_text_tokens
        )
    img = case.noise()[None].to(dtype)
    ids = position_ids(*case.grid(), max_text_tokens)[max_text_tokens:].to(dtype)
    timestep = torch.ones(1, dtype=dtype)
    guidance = torch.full((1,), case.guidance, dtype=torch.float32)
    network = Transformer(pipeline.transformer, ids, txt_ids).eval()
    return network, (img, txt, vec, timestep, guidance)


def _diffusers(case: Case, dtype: torch.dtype, *, is_compiled: bool) -> Step:
    network, inputs = _inputs(case, dtype)
    forward: Callable[..., Tensor] = network
    if is_compiled:
        forward = compiled(network)

    def run() -> Velocity:
        with torch.no_grad():
            velocity: Tensor = forward(*inputs)[0]
        return velocity.float().numpy()

    return Step(run)


def _own(case: Case, dtype: torch.dtype) -> Step:
    pipeline = Pipeline.from_pretrained(case.model, "cpu", dtype)

    def start(guidance: float) -> Denoising:
        return pipeline.start(_PROMPT, case.width, case.height, case.steps, guidance, case.seed)

    state = start(case.guidance)
    noise, sigmas = state.img, state.sigmas

    def run() -> Velocity:
        state.img, state.step = noise, 0
        pipeline.step([state])
        velocity: Tensor = (state.img - noise) / (sigmas[1] - sigmas[0])
        return velocity.numpy()

    def once_s() -> float:
        began_at = time.perf_counter()
        start(case.guidance + 1)  # another guidance: its modulation is not kept from before
        return time.perf_counter() - began_at

    return Step(run, once_s)
