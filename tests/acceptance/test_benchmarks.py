"""The benchmark's quick form, as people start it, on a tiny checkpoint: every cell says something."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import write_checkpoint

CELLS = ["single", "closed", "open", "fairness", "overhead", "memory"]
"""All but `large`, which writes a checkpoint of 280 MB."""


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_quick_form_measures_both_servers_and_writes_all_down(tmp_path: Path) -> None:
    model, out = write_checkpoint(tmp_path / "model"), tmp_path / "out"
    command = [sys.executable, "-m", "benchmarks", *CELLS, "--quick", "--threads", "1"]
    done = subprocess.run(
        [*command, "--model", str(model), "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "result.json").read_text())
    engines = {cell["name"]: {p["engine"] for p in cell["points"]} for cell in report["cells"]}
    assert engines.keys() == set(CELLS)
    assert engines["overhead"] == {"photogram"}
    for name in ("closed", "open", "fairness", "memory"):
        assert engines[name] == {"photogram", "diffusers server"}
    failed = [p["values"].get("failed", 0) for cell in report["cells"] for p in cell["points"]]
    assert not any(failed)
    page = (out / "results.md").read_text()
    assert all(f"## {cell['title']}" in page for cell in report["cells"])
    assert "pictures/s" in done.stdout
