"""The worker process: owns torch and one device, and speaks with the API process over one pipe.

It is started as ``python -m photogram.engine.worker FD`` by `engine.local`. Its first message in
is a `WorkerConfig`, then come commands; out go `Ready`, or `LoadFailed`, then the jobs' events. The
pipe's end is the other process's end: a worker whose parent is gone leaves at once, even in the
middle of a step.
"""

import os
import queue
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import structlog
import torch

from photogram.core.errors import PhotogramError
from photogram.core.messages import Command, Ready
from photogram.core.telemetry import configure_logging
from photogram.engine.core import EngineCore
from photogram.engine.local import LoadFailed, WorkerConfig
from photogram.engine.runner import PipelineRunner
from photogram.engine.scheduler import Scheduler

_AUTO_BATCH_TOKENS = {"cpu": 1024, "cuda": 9216}
"""Tokens of a step by device: where a larger batch no longer paints more pictures a second."""

_NUM_ENCODERS = 2

_log = structlog.get_logger(__name__)


def main() -> None:
    """Load the model, say so, and run jobs until the pipe closes."""
    # These reach the whole group, and a server that drains still needs its worker: the parent
    # decides, and closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pipe = Connection(int(sys.argv[1]))
    config = msgspec.msgpack.decode(pipe.recv_bytes(), type=WorkerConfig)
    configure_logging(config.log_level)
    inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(pipe, inbox), daemon=True).start()
    try:
        runner = PipelineRunner.load(
            Path(config.model), device=config.device, dtype=config.dtype, threads=config.threads
        )
    except PhotogramError as error:
        _send(pipe, LoadFailed(error.message))
        return
    except Exception as error:  # noqa: BLE001 - out of memory, say: the server must be told
        _log.exception("model_not_loaded")
        _send(pipe, LoadFailed(f"{config.model} could not be loaded: {error}"))
        return
    _send(pipe, Ready())
    _serve(pipe, inbox, runner, config.batch_tokens or _auto_batch_tokens(config.device))


def _serve(
    pipe: Connection,
    inbox: "queue.SimpleQueue[Command]",
    runner: PipelineRunner,
    batch_tokens: int,
) -> None:
    """Step while there is work, wait for a command while there is none."""
    encoders = ThreadPoolExecutor(_NUM_ENCODERS, thread_name_prefix="encode")
    core = EngineCore(runner, Scheduler(batch_tokens), lambda event: _send(pipe, event), encoders)
    while True:
        if not core.has_work:
            core.handle(inbox.get())
        while not inbox.empty():
            core.handle(inbox.get())
        core.step()


def _read(pipe: Connection, inbox: "queue.SimpleQueue[Command]") -> None:
    decoder = msgspec.msgpack.Decoder(Command)
    try:
        while True:
            inbox.put(decoder.decode(pipe.recv_bytes()))
    except (EOFError, OSError):
        os._exit(0)


def _send(pipe: Connection, event: msgspec.Struct) -> None:
    try:
        pipe.send_bytes(msgspec.msgpack.encode(event))
    except OSError:  # the parent is gone, and with it everyone who waits
        os._exit(0)


def _auto_batch_tokens(device: str) -> int:
    on_cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    return _AUTO_BATCH_TOKENS["cuda" if on_cuda else "cpu"]


if __name__ == "__main__":
    main()
