"""The worker process: owns torch and one device, and speaks with the API process over one pipe.

It is started as ``python -m photogram.engine.worker FD`` by `engine.process`. Its first message in
is a `WorkerConfig`, then come commands; out go `Ready`, or `LoadFailed`, then the jobs' events and
a `Heartbeat` every second. The pipe's end is the other process's end: a worker whose parent is gone
leaves at once, even in the middle of a step, and so does one that is stuck in a step.
"""

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import structlog

from photogram.core.errors import PhotogramError
from photogram.core.messages import Command
from photogram.core.telemetry import configure_logging
from photogram.engine.calibration import Calibration
from photogram.engine.core import EngineCore
from photogram.engine.cost import CostModel
from photogram.engine.process import (
    HEARTBEAT_S,
    Heartbeat,
    LoadFailed,
    Ready,
    WorkerConfig,
)
from photogram.engine.scheduler import Scheduler
from photogram.engine.watch import Watch

_NUM_ENCODERS = 2

STUCK_STATUS = 70
"""The exit status of a worker whose loop was stuck in a piece of work."""

_log = structlog.get_logger(__name__)


def main() -> None:
    """Load the model, say so, and run jobs until the pipe closes."""
    # These reach the whole group, and a server that drains still needs its worker: the parent
    # decides, and closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pipe = Pipe(Connection(int(sys.argv[1])))
    config = msgspec.msgpack.decode(pipe.receive(), type=WorkerConfig)
    configure_logging(config.log_level)
    inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(pipe, inbox), daemon=True).start()
    cost = CostModel()
    # Torch loads for seconds: a parent that dies meanwhile is noticed, too.
    from photogram.engine.runner import PipelineRunner  # noqa: PLC0415 - as said

    try:
        runner = PipelineRunner.load(
            Path(config.model),
            device=config.device,
            dtype=config.dtype,
            memory=config.memory,
            step_cache=config.step_cache,
            deterministic=config.deterministic,
            threads=config.threads,
            loras=None if config.loras is None else Path(config.loras),
        )
        calibration = Calibration(runner, cost, longest_s=config.limits.target_s)
        calibration.warm_up()
    except PhotogramError as error:
        pipe.send(LoadFailed(error.message))
        return
    except Exception as error:  # noqa: BLE001 - out of memory, say: the server must be told
        _log.exception("model_not_loaded")
        pipe.send(LoadFailed(f"{config.model} could not be loaded: {error}"))
        return
    encoders = ThreadPoolExecutor(_NUM_ENCODERS, thread_name_prefix="encode")
    num_tokens = min(config.limits.num_tokens, runner.most_tokens)
    scheduler = Scheduler(cost, replace(config.limits, num_tokens=num_tokens))
    core = EngineCore(runner, scheduler, pipe.send, encoders)

    def heartbeat() -> Heartbeat:
        return Heartbeat(cost.table, runner.with_holdings(core.vitals))

    pipe.send(heartbeat())  # before it is asked how long a job would take
    pipe.send(Ready())
    threading.Thread(target=beat, args=(pipe, core.watch, heartbeat), daemon=True).start()
    _serve(inbox, core, partial(_calibrate, core, calibration, compiles=runner.compiles))


def _serve(
    inbox: "queue.SimpleQueue[Command]", core: EngineCore, calibrate: Callable[[], bool]
) -> None:
    """Step while there is work; while there is none, calibrate, and then wait for a command."""
    while True:
        if not core.has_work and inbox.empty() and not calibrate():
            core.handle(inbox.get())
        while not inbox.empty():
            core.handle(inbox.get())
        core.step()


def _calibrate(core: EngineCore, calibration: Calibration, *, compiles: bool) -> bool:
    """Do one piece of the calibration; returns whether there was one left."""
    with core.watch.over(calibration.piece_s, is_new=compiles):
        return calibration.run_piece()


def beat(pipe: "Pipe", watch: Watch, heartbeat: Callable[[], Heartbeat]) -> None:
    """Say every second that the worker lives, and end it once its loop is stuck."""
    while True:
        time.sleep(HEARTBEAT_S)
        if watch.is_stuck_after(HEARTBEAT_S):
            _log.error("worker_stuck")
            os._exit(STUCK_STATUS)  # the loop is where nothing else reaches it
        pipe.send(heartbeat())


def _read(pipe: "Pipe", inbox: "queue.SimpleQueue[Command]") -> None:
    decoder = msgspec.msgpack.Decoder(Command)
    while True:
        inbox.put(decoder.decode(pipe.receive()))


class Pipe:
    """The worker's end of the pipe; at the other end's death the process ends.

    Any thread may send.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def receive(self) -> bytes:
        """The next message, as soon as there is one."""
        try:
            return self._connection.recv_bytes()
        except (EOFError, OSError):
            os._exit(0)

    def send(self, event: msgspec.Struct) -> None:
        """Send a message; waits while the pipe is full."""
        message = msgspec.msgpack.encode(event)
        try:
            with self._sending:
                self._connection.send_bytes(message)
        except OSError:
            os._exit(0)


if __name__ == "__main__":
    main()
