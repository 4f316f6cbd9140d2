"""Numbers as Prometheus reads them: of requests, which are counted here, and of the engine.

Labels are the server's own words: routes, methods, statuses, the device. No account, key, prompt or
path is among them, and no client can make there be more of them.

Source: the text exposition format 0.0.4,
https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

from photogram.core.messages import Vitals
from photogram.core.ports import Engines

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_WORK: Final[tuple[tuple[str, str, Callable[[Vitals], float]], ...]] = (
    ("steps_total", "Denoising steps of this worker.", lambda vitals: vitals.num_steps),
    ("step_pictures_total", "Pictures in each, summed.", lambda vitals: vitals.num_step_samples),
    ("step_seconds_total", "Their seconds.", lambda vitals: vitals.step_s),
)
_HOLDINGS: Final[tuple[tuple[str, str, Callable[[Vitals], float | None]], ...]] = (
    ("worker_memory_bytes", "Main memory of the worker.", lambda vitals: vitals.memory_bytes),
    (
        "device_used_bytes",
        "The worker's memory on the GPU.",
        lambda vitals: vitals.device_used_bytes,
    ),
    ("device_total_bytes", "All memory of the GPU.", lambda vitals: vitals.device_total_bytes),
    ("device_temperature_celsius", "Of the GPU.", lambda vitals: vitals.temperature_c),
)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "other"


class RequestCounts:
    """How many requests were answered, how, and how long they took."""

    def __init__(self) -> None:
        self._answered: Counter[tuple[str, str, int]] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def count(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """One request has been answered.

        Args:
            route: What its path has matched; None: nothing.
            method: As the client has named it.
            status: 0 where it was not answered.
            seconds: Until the end of the answer.
        """
        known = method if method in _METHODS else _OTHER
        self._answered[route or _OTHER, known, status] += 1
        self._seconds[route or _OTHER] += seconds

    def tell(self, page: "MetricsPage") -> None:
        """Add them to a page."""
        answered = [
            ({"route": route, "method": method, "status": str(status)}, float(number))
            for (route, method, status), number in sorted(self._answered.items())
        ]
        page.add("http_requests_total", "counter", "Requests that have ended.", answered)
        seconds = [({"route": route}, s) for route, s in sorted(self._seconds.items())]
        page.add("http_request_seconds_total", "counter", "Until their answers' ends.", seconds)


class MetricsPage:
    """A page of metrics, one family after the other."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    @property
    def text(self) -> str:
        return "\n".join((*self._lines, ""))

    def add(
        self,
        name: str,
        kind: Literal["counter", "gauge"],
        meaning: str,
        samples: Iterable[tuple[Mapping[str, str], float]],
    ) -> None:
        """A family: its labels' values, and a number for each."""
        self._lines += [f"# HELP photogram_{name} {meaning}", f"# TYPE photogram_{name} {kind}"]
        for labels, number in samples:
            words = ",".join(f'{label}="{_escape(value)}"' for label, value in labels.items())
            self._lines.append(f"photogram_{name}{{{words}}} {number:.15g}")

    def tell_engine(self, engine: Engines) -> None:
        """Add what is known of each model, and of its worker while there is one."""
        models = [({"model": each.slug}, each) for each in engine.report()]
        for name, meaning, numbers in (
            ("ready", "Whether it is loaded.", [each.state == "loaded" for _, each in models]),
            ("draining", "Whether the server shuts down.", [engine.is_draining for _ in models]),
            ("jobs", "Jobs queued or running.", [each.num_jobs for _, each in models]),
        ):
            labels = (label for label, _ in models)
            self.add(name, "gauge", meaning, zip(labels, numbers, strict=True))
        workers = [(label, each.vitals) for label, each in models if each.vitals is not None]
        for name, meaning, amount in _WORK:
            samples = [(label, amount(vitals)) for label, vitals in workers]
            if samples:
                self.add(name, "counter", meaning, samples)
        for name, meaning, holding in _HOLDINGS:
            held = [
                (label | {"device": vitals.device}, number)
                for label, vitals in workers
                if (number := holding(vitals)) is not None
            ]
            if held:
                self.add(name, "gauge", meaning, held)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
