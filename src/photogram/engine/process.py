"""The worker process as the API process sees it: how it is started, told and heard.

Commands go in, events come out; one pipe carries both, and when it closes the worker is gone. It
knows nothing of jobs, and imports no torch.
"""

import asyncio
import os
import queue
import re
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import msgspec

from photogram.core.messages import Command, JobEvent, Vitals
from photogram.engine.batching import StepLimits
from photogram.engine.cost import CostTable

HEARTBEAT_S = 1.0
"""A worker says so often that it lives."""

_CLOSE_TIMEOUT_S = 5.0

_PASSED_ON = re.compile(
    "PATH|HOME|USER|LOGNAME|LANG|TZ|TMPDIR|XDG_CACHE_HOME|VIRTUAL_ENV|CONDA_PREFIX|CC|CXX|"
    "GLIBC_TUNABLES|(PYTHON|LC_|LD_|MALLOC_|OMP_|GOMP_|KMP_|MKL_|DNNL_|ONEDNN_|OPENBLAS_|RAYON_|"
    "ATEN_|TORCH|PYTORCH_|TRITON_|CUDA_|CUDNN_|CUBLAS_|NVIDIA_|HIP_|HSA_|ROCR_).*"
)
"""The variables that a worker inherits: those that an interpreter, a compiler and the libraries of
numbers read. The others, every secret among them, are the server's alone."""


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is started with; the words are those of `core.settings`."""

    model: str
    device: str
    dtype: str
    memory: int | None = None
    step_cache: float = 0.0
    deterministic: bool = False
    threads: int
    loras: str | None = None
    limits: StepLimits
    log_level: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The worker has loaded its checkpoint and takes jobs."""


class LoadFailed(msgspec.Struct, frozen=True, tag="load_failed"):
    """The worker could not load its checkpoint, and leaves."""

    message: str


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    """The worker lives, and gets on with its work if it has any.

    Attributes:
        cost: What work takes, as far as it has been learned.
        vitals: What the worker has done and holds.
    """

    cost: CostTable
    vitals: Vitals = Vitals()


WorkerEvent = Ready | LoadFailed | Heartbeat | JobEvent


class WorkerProcess:
    """One worker process and its pipe; two threads wait for it, so that the event loop never does."""

    def __init__(self, config: WorkerConfig) -> None:
        self._pipe, theirs = Pipe()
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[WorkerEvent | None] = asyncio.Queue()
        self._outbox: queue.SimpleQueue[WorkerConfig | Command | None] = queue.SimpleQueue()
        self._process = _spawn(theirs)
        theirs.close()
        self._outbox.put(config)
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        return self._process.returncode

    def send(self, command: Command) -> None:
        """Hand a command over. A worker that is gone does not get it, and `next_event` says so."""
        self._outbox.put(command)

    async def next_event(self) -> WorkerEvent | None:
        """What the worker says next; None once it is gone."""
        return await self._events.get()

    async def stop(self) -> None:
        """Kill the process if it still lives, and wait for its end.

        A worker has nothing to save, and in the middle of a step it would not listen.
        """
        self._process.kill()
        self._outbox.put(None)
        await asyncio.to_thread(self._process.wait, _CLOSE_TIMEOUT_S)

    def _write(self) -> None:
        with suppress(OSError):  # the worker's end, which the reader tells
            while (message := self._outbox.get()) is not None:
                self._pipe.send_bytes(msgspec.msgpack.encode(message))

    def _read(self) -> None:
        decoder = msgspec.msgpack.Decoder(WorkerEvent)
        try:
            while True:
                self._post(decoder.decode(self._pipe.recv_bytes()))
        except (EOFError, OSError):
            pass  # the worker's end
        finally:
            self._post(None)

    def _post(self, event: WorkerEvent | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)


def _spawn(pipe: Connection) -> "subprocess.Popen[bytes]":
    """Start a worker that inherits its end of the pipe, and no other file of this process."""
    return subprocess.Popen(  # noqa: S603 nothing of the command comes from outside
        # -P: a module in the folder that the server was started in is not the worker's.
        [sys.executable, "-P", "-m", "photogram.engine.worker", str(pipe.fileno())],
        pass_fds=[pipe.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # a command's own output is for its user
        env=_environment(),
    )


def _environment() -> dict[str, str]:
    """The worker's: its settings come through the pipe, and it needs no network."""
    passed_on = {name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)}
    return passed_on | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
