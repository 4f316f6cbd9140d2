"""Logs: one JSON object per line on stderr (or readable lines on a terminal), never a secret.

Both processes call `configure_logging` once at their start; importing this module does nothing.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_TOKEN = re.compile(r"(phg_[a-z]+_[A-Za-z0-9]{8})_[A-Za-z0-9]+")


def configure_logging(level: str) -> None:
    """Set up structlog, and the standard library's logging for what libraries say.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``; of libraries, warnings at least.
    """
    numeric_level = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact_tokens,
    ]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(default=str)
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(numeric_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
        processors=[*shared, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(numeric_level, logging.WARNING), force=True)
    # Every broken form would be a line, and anyone with a key can send them without end.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


def cut_tokens(words: str) -> str:
    """Every API key in a text cut down to its public part."""
    return _TOKEN.sub(r"\1…", words)


def redact_tokens(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Cut every API key in an event down to its public part."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = cut_tokens(value)
    return event
