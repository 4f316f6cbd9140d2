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
        level: ``debug``, ``info``, ``warning`` or ``error``.
    """
    numeric_level = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(
        stream=sys.stderr, level=max(numeric_level, logging.WARNING), format="%(message)s"
    )
    on_terminal = sys.stderr.isatty()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(numeric_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact_tokens,
            structlog.dev.ConsoleRenderer()
            if on_terminal
            else structlog.processors.JSONRenderer(default=str),
        ],
    )


def redact_tokens(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Cut every API key in an event down to its public part."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _TOKEN.sub(r"\1…", value)
    return event
