"""Refuse modules and functions that have grown too large to be read at once.

Limits: 400 lines a module, 70 lines a function, 34,000 lines in all of `src`. Run it from the
repository's root; it prints what breaks a limit and exits with 1.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 70
MAX_TOTAL_LINES = 34_000


def main() -> int:
    """Check `src` and `training`; return the exit status."""
    problems: list[str] = []
    total = 0
    for path in sorted([*Path("src").rglob("*.py"), *Path("training").rglob("*.py")]):
        source = path.read_text()
        num_lines = source.count("\n")
        total += num_lines if path.parts[0] == "src" else 0
        if num_lines > MAX_MODULE_LINES:
            problems.append(f"{path}: {num_lines} lines, at most {MAX_MODULE_LINES}")
        problems.extend(f"{path}:{problem}" for problem in _long_functions(source))
    if total > MAX_TOTAL_LINES:
        problems.append(f"src: {total} lines, at most {MAX_TOTAL_LINES}")
    print("\n".join([*problems, f"src has {total} lines of {MAX_TOTAL_LINES}"]))
    return 1 if problems else 0


def _long_functions(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            num_lines = node.end_lineno - node.lineno + 1
            if num_lines > MAX_FUNCTION_LINES:
                yield f"{node.lineno} {node.name}: {num_lines} lines, at most {MAX_FUNCTION_LINES}"


if __name__ == "__main__":
    sys.exit(main())
