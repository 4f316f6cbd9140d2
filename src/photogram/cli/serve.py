"""``photogram serve``: start the server, and tell a newcomer the one line to try."""

import json
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photogram.cli.options import DataOption, DeviceOption, MemoryOption, StepCacheOption
from photogram.core.settings import load_settings
from photogram.core.telemetry import configure_logging

if TYPE_CHECKING:
    from photogram.bootstrap.server import Announcement

_DEFAULT_PROMPT = "a red apple"


def serve(
    *,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="ADDRESS", help="[PHOTOGRAM_HOST; default: 127.0.0.1]"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="PORT", help="0: any free one. [PHOTOGRAM_PORT; 8000]"),
    ] = None,
    data: DataOption = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            metavar="PATH",
            help="Checkpoint folder, or its transformer's file; given again, one more model."
            " [PHOTOGRAM_MODEL; default: the embedded one]",
        ),
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option("--models", metavar="FILE", help="A list of models. [PHOTOGRAM_MODELS]"),
    ] = None,
    device: DeviceOption = None,
    memory: MemoryOption = None,
    step_cache: StepCacheOption = None,
) -> None:
    """Serve the HTTP API.

    On an empty data folder an account `default` is made, and its key is printed once.
    """
    from photogram.bootstrap.server import serve as run_server

    settings = load_settings(
        host=host,
        port=port,
        data=data,
        model=tuple(model) if model else None,
        models=models,
        device=device,
        memory=memory,
        step_cache=step_cache,
    )
    configure_logging(settings.log_level)
    print(f"Photogram is loading the model; data is in {settings.data}", flush=True)
    run_server(settings, partial(_announce, settings.data))


def _announce(data: Path, announcement: "Announcement") -> None:
    key = announcement.first_key
    model, url = announcement.models[0], announcement.url
    prompt = model.suggested_prompts[0] if model.suggested_prompts else _DEFAULT_PROMPT
    names = ", ".join(each.name for each in announcement.models)
    lines = [f"Photogram serves {names} at {url}"]
    if key is not None:
        lines += [f"API key of the new account '{key.account_name}', shown only now: {key.token}"]
    token = key.token if key is not None else "YOUR_API_KEY"
    lines += ["Try it:", curl_line(url, token, prompt)]
    if key is None:
        words = (sys.argv[0], "keys", "create", "--account", "default", "--data", str(data))
        lines += [f"Another key: {shlex.join(words)}"]
    print("\n".join(lines), flush=True)


def curl_line(url: str, token: str, prompt: str) -> str:
    """The shortest request that paints a picture, for a shell; on one line."""
    body = shlex.quote(json.dumps({"prompt": prompt, "seed": 46588}))
    return (
        f"curl -sS -X POST {url}/v1/flux-dev -H 'x-api-key: {token}' "
        f"-H 'Content-Type: application/json' -d {body} -o picture.webp"
    )
