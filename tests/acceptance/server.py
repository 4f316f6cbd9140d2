"""The real command, as a user starts it: `photogram serve` in a process of its own."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

START_TIMEOUT_S = 90.0
ONE_THREAD = {"PHOTOGRAM_THREADS": "1"}  # several threads that spin are slow on a busy machine
PHOTOGRAM = [sys.executable, "-m", "photogram"]


def run_command(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """One command of the CLI, to its end."""
    return subprocess.run(
        [*PHOTOGRAM, *words],
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        env=os.environ | env,
        check=False,
    )


@dataclass
class Server:
    """One run of `photogram serve`; `start` returns when it takes requests."""

    data: Path
    model: Path | None = None
    port: int = 0
    env: dict[str, str] = field(default_factory=dict)
    output: str = ""
    key: str = ""

    def start(self) -> "Server":
        words = ["serve", "--port", str(self.port), "--data", str(self.data)]
        words += ["--model", str(self.model)] if self.model else []
        self.output = ""
        self.errors = self.data / "stderr.txt"
        with self.errors.open("a") as errors:
            self.process = subprocess.Popen(
                [*PHOTOGRAM, *words],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | ONE_THREAD | self.env,
            )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._wait_for("-o picture.webp")
        url = re.search(r"at (http://\S+)", self.output)
        assert url is not None
        self.url = url[1]
        self.port = int(self.url.rsplit(":", 1)[1])
        if token := re.search(r"phg_live_\w+", self.output):
            self.key = token[0]
        return self

    @property
    def curl_line(self) -> str:
        return next(line for line in self.output.splitlines() if line.startswith("curl "))

    def generate(self, timeout: float = 60.0, **body: object) -> httpx.Response:
        return httpx.post(
            f"{self.url}/v1/flux-dev",
            json={"prompt": "a red apple"} | body,
            headers={"x-api-key": self.key},
            timeout=timeout,
        )

    def balance(self) -> str:
        answer = httpx.get(f"{self.url}/v1/get-user-credits", headers={"x-api-key": self.key})
        return answer.headers["x-remaining-credits"]

    def worker_pid(self) -> int:
        """The server's only child process."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert len(children) == 1
        return int(children[0])

    def kill(self) -> None:
        self.process.kill()
        self._end(10)

    def stop(self) -> int:
        """Ask it to end, as a service manager does; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._end(40)

    def _end(self, timeout_s: float) -> int:
        status = self.process.wait(timeout_s)
        self._reader.join()
        self.process.stdout.close()
        return status

    def _read(self) -> None:
        for line in self.process.stdout:
            self.output += line

    def _wait_for(self, words: str) -> None:
        came = wait_until(
            lambda: words in self.output or self.process.poll() is not None, START_TIMEOUT_S
        )
        if not came or words not in self.output:
            self.kill()
            raise AssertionError(f"{self.output}\n{self.errors.read_text()}")


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: object, timeout_s: float = 15.0) -> bool:
    """Poll a condition; whether it came true in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False
