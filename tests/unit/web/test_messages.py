"""The messages that the guide explains are those that the code says."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.pages import GUIDE, ROOT

PAGE = GUIDE / "troubleshooting.md"


def messages() -> list[str]:
    """What the first cells of the tables about messages quote."""
    tables = PAGE.read_text().partition("## A picture is not")[0]
    return re.findall(r"^\| (?:\d+ )?`([^`]+)` \|", tables, re.MULTILINE)


def sentences() -> Iterator[str]:
    """All texts of the code, with an ellipsis where something is put in."""
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )


@pytest.fixture(scope="module")
def said() -> str:
    return "\n".join(sentences())


@pytest.mark.parametrize("message", messages())
def test_a_message_that_is_explained_is_said(message: str, said: str) -> None:
    pattern = ".*".join(map(re.escape, message.split("…")))
    assert re.search(pattern, said), message
