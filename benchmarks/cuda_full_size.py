"""FLUX.1 [dev] at its full size on one GPU, with random weights: what a step and a picture take.

Speed does not depend on the weights' values, but zeros would flatter a GPU's clock, so they are
random, of a size that keeps the numbers finite. A picture is: both text encoders, the modulation of
all steps, the steps, the decoder, and the pixels on the host; its wall time minus that of its steps
is what a server adds. float8 is approximate and reported apart.

It needs torch and transformers alone, not diffusers; where diffusers is installed, its transformer
is timed as well, eager and compiled, on weights of the same shapes.

Run: PYTHONPATH=src python benchmarks/cuda_full_size.py [--side 1024] [--steps 25] [--rounds 3];
--tiny --device cpu tries the script without a GPU. The last line is one JSON object.
"""

import argparse
import gc
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from photogram.model.decoder import Decoder, DecoderParams
from photogram.model.params import FluxParams
from photogram.model.rope import rope
from photogram.model.transformer import Flux
from photogram.pipeline.batch import Denoising, Transformer, step_batch
from photogram.pipeline.cuda import CudaFlux
from photogram.sampling import latents
from photogram.sampling.params import ScheduleParams
from photogram.sampling.schedule import make_schedule

FULL_STEP_TFLOP = 74.385
"""One step at 1024x1024 with 512 text tokens: linear layers 59.51, attention 14.87."""

DEV = FluxParams(64, 64, 768, 4096, 3072, 24, 19, 38, (16, 56, 56), guidance_embed=True)
TINY = replace(DEV, context_in_dim=64, hidden_size=256, num_heads=2, depth=1, depth_single_blocks=2)
DECODER = DecoderParams(16, (128, 256, 512, 512), 3, 32, has_attention=True)
TINY_DECODER = replace(DECODER, channels=(32, 32, 32, 32))
PIXELS_PER_TOKEN = 16


@dataclass(frozen=True)
class Networks:
    """What paints a picture."""

    flux: Flux
    decoder: Decoder
    clip: nn.Module
    t5: nn.Module


@dataclass(frozen=True)
class Seconds:
    """One picture."""

    wall: float
    denoising: float


def main() -> None:
    arguments = _parse_arguments()
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    results: dict[str, Any] = {"device": _name(device), "torch": torch.__version__}
    with torch.inference_mode():
        networks = _make_networks(device, is_tiny=arguments.tiny)
        for precision in arguments.precisions:
            if precision == "float8":
                networks.flux.quantize(device)
            runner: Transformer = networks.flux
            if device.type == "cuda":
                runner = CudaFlux(networks.flux)
            started = time.perf_counter()
            _paint(networks, runner, arguments, device, num_steps=2)
            warm_up_s = time.perf_counter() - started
            rounds = [
                _paint(networks, runner, arguments, device, arguments.steps)
                for _ in range(arguments.rounds)
            ]
            results[precision] = _summary(rounds, arguments) | {"warm_up_s": warm_up_s}
            print(precision, results[precision], flush=True)
        del networks, runner
        gc.collect()
        if importlib.util.find_spec("diffusers"):
            results["diffusers"] = _time_diffusers(arguments, device)
    if device.type == "cuda":
        results["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    print(json.dumps(results))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--text-tokens", type=int, default=512)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precisions", nargs="+", default=["bfloat16", "float8"])
    parser.add_argument("--tiny", action="store_true", help="small networks, to try the script")
    return parser.parse_args()


def _make_networks(device: torch.device, *, is_tiny: bool) -> Networks:
    params = TINY if is_tiny else DEV
    t5_sizes = (
        {"num_layers": 1, "d_ff": 64, "num_heads": 1}
        if is_tiny
        else {"num_layers": 24, "d_ff": 10240, "num_heads": 64}
    )
    t5_config = T5Config(
        d_model=params.context_in_dim, d_kv=64, feed_forward_proj="gated-gelu", **t5_sizes
    )
    with torch.device("meta"):  # networks without buffers, so that their values come from _fill
        flux, t5 = Flux(params), T5EncoderModel(t5_config)
        decoder = Decoder(TINY_DECODER if is_tiny else DECODER)
    clip = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072))
    return Networks(
        flux=_fill(flux, device),
        decoder=_fill(decoder, device).to(memory_format=torch.channels_last),
        clip=_fill(clip, device),
        t5=_fill(t5, device),
    )


def _fill(module: Any, device: torch.device) -> Any:
    """Random bfloat16 weights that keep the size of what passes through them."""
    module = module.to(torch.bfloat16).eval().requires_grad_(requires_grad=False)
    is_meta = next(module.parameters()).is_meta
    module = module.to_empty(device=device) if is_meta else module.to(device)
    for name, parameter in module.named_parameters():
        if parameter.ndim >= 2 and not name.endswith("scale"):
            parameter.normal_(0.0, parameter[0].numel() ** -0.5)
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return module


def _paint(
    networks: Networks,
    runner: Transformer,
    arguments: argparse.Namespace,
    device: torch.device,
    num_steps: int,
) -> Seconds:
    """One picture from token ids to pixels on the host."""
    params = networks.flux.params
    side = arguments.side // PIXELS_PER_TOKEN
    ids = torch.randint(2, 1000, (1, arguments.text_tokens))
    pe = rope(latents.position_ids(side, side, arguments.text_tokens), params.axes_dim).to(device)
    _wait(device)
    started = time.perf_counter()
    txt = networks.t5(ids.to(device))[0][0]
    vec = networks.clip(ids[:, :77].to(device)).pooler_output
    schedule = make_schedule(ScheduleParams(use_dynamic_shifting=True), num_steps, side * side)
    guidance = torch.tensor([3.5], device=device)
    noise = latents.noise(1, params.latent_channels, 2 * side, 2 * side)
    picture = Denoising(
        img=latents.pack(noise).to(device),
        txt=txt,
        pe=pe,
        mods=networks.flux.modulate(schedule.timesteps.to(device), guidance, vec),
        sigmas=tuple(schedule.sigmas.tolist()),
        width=arguments.side,
        height=arguments.side,
        prompt_tokens=0,
        prompt_truncated=False,
    )
    _wait(device)
    before = time.perf_counter()
    while not picture.is_done:
        step_batch(runner, [picture])
    _wait(device)
    denoising = time.perf_counter() - before
    x = latents.unpack(picture.img, side, side).to(torch.bfloat16)
    image = networks.decoder(x.contiguous(memory_format=torch.channels_last))[0].float()
    pixels = (image / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8).cpu()
    assert pixels.shape == (3, arguments.side, arguments.side)
    assert bool(picture.img.isfinite().all()), "the latents overflowed"
    return Seconds(time.perf_counter() - started, denoising)


def _summary(rounds: list[Seconds], arguments: argparse.Namespace) -> dict[str, float]:
    denoising = statistics.median(each.denoising for each in rounds)
    step_s = denoising / arguments.steps
    figures = {
        "wall_s": statistics.median(each.wall for each in rounds),
        "step_ms": 1e3 * step_s,
        "wall_minus_denoising_ms": 1e3 * statistics.median(e.wall - e.denoising for e in rounds),
    }
    if (arguments.side, arguments.text_tokens, arguments.tiny) == (1024, 512, False):
        figures["tflop_per_s"] = FULL_STEP_TFLOP / step_s
    return figures


def _time_diffusers(arguments: argparse.Namespace, device: torch.device) -> dict[str, float]:
    """Milliseconds of a step of diffusers' transformer, eager and compiled."""
    from diffusers import FluxTransformer2DModel

    params = TINY if arguments.tiny else DEV
    with torch.device("meta"):
        model = FluxTransformer2DModel(
            num_layers=params.depth,
            num_single_layers=params.depth_single_blocks,
            num_attention_heads=params.num_heads,
            joint_attention_dim=params.context_in_dim,
            guidance_embeds=True,
        )
    model = _fill(model, device)
    side = arguments.side // PIXELS_PER_TOKEN
    ids = latents.position_ids(side, side, arguments.text_tokens).to(device).float()

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=torch.bfloat16)

    inputs = {
        "hidden_states": random(1, side * side, 64),
        "encoder_hidden_states": random(1, arguments.text_tokens, params.context_in_dim),
        "pooled_projections": random(1, 768),
        "timestep": torch.ones(1, device=device, dtype=torch.bfloat16),
        "guidance": torch.full((1,), 3.5, device=device),
        "img_ids": ids[arguments.text_tokens :],
        "txt_ids": ids[: arguments.text_tokens],
        "return_dict": False,
    }
    eager = _time_steps(lambda: model(**inputs), arguments, device)
    model.compile_repeated_blocks(fullgraph=True)
    compiled = _time_steps(lambda: model(**inputs), arguments, device)
    return {"eager_step_ms": eager, "compiled_step_ms": compiled}


def _time_steps(
    step: Callable[[], Any], arguments: argparse.Namespace, device: torch.device
) -> float:
    for _ in range(3):
        step()
    _wait(device)
    started = time.perf_counter()
    for _ in range(arguments.steps):
        step()
    _wait(device)
    return 1e3 * (time.perf_counter() - started) / arguments.steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


if __name__ == "__main__":
    main()
