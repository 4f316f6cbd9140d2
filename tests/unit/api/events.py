"""Reads server-sent events as a browser does."""

import json
from typing import Any


def parse_events(text: str) -> list[tuple[str, Any]]:
    """Name and data of every event; comments are left out."""
    events = []
    for block in text.split("\n\n"):
        lines = [line.partition(": ") for line in block.splitlines() if not line.startswith(":")]
        fields = {name: value for name, _, value in lines}
        if fields:
            events.append((fields["event"], json.loads(fields["data"])))
    return events
