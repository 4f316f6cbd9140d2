"""What a worker process is started with; it is a script here that writes it down."""

import sys
from pathlib import Path

import pytest

from photogram.engine.batching import StepLimits
from photogram.engine.process import WorkerConfig, WorkerProcess

CONFIG = WorkerConfig(
    model="",
    device="cpu",
    dtype="auto",
    threads=1,
    limits=StepLimits(target_s=0.15, num_tokens=9216),
    log_level="error",
)


async def test_a_worker_inherits_what_its_libraries_read_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nenv > {tmp_path}/environment\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setenv("PHOTOGRAM_DATABASE_URL", "postgresql://u:hidden@h/d")
    for name in ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "SOME_PATH"):
        monkeypatch.setenv(name, "hidden")
    for name in ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    worker = WorkerProcess(CONFIG)
    assert await worker.next_event() is None  # it is gone
    await worker.stop()
    environment = (tmp_path / "environment").read_text()
    assert "hidden" not in environment
    assert {"CUDA_VISIBLE_DEVICES=1", "LD_LIBRARY_PATH=1", "OMP_NUM_THREADS=1"} <= {
        *environment.splitlines()
    }
    assert "HF_HUB_OFFLINE=1" in environment
