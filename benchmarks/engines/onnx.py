"""ONNX Runtime: the same transformer, exported by torch; in float32, and with int8 products."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor

from benchmarks.engines.interface import Step, Velocity
from benchmarks.engines.peer import Transformer


def make_steps(network: Transformer, inputs: tuple[Tensor, ...], threads: int) -> dict[str, Step]:
    """Export it once, then load it in both precisions."""
    with tempfile.TemporaryDirectory(prefix="photogram-onnx-") as folder:
        exact, int8 = Path(folder) / "exact.onnx", Path(folder) / "int8.onnx"
        with torch.no_grad():
            torch.onnx.export(network, inputs, exact, dynamo=True, verbose=False)
        quantize_dynamic(exact, int8, weight_type=QuantType.QInt8)
        return {
            "ONNX Runtime float32": Step(_runner(exact, inputs, threads)),
            "ONNX Runtime int8": Step(_runner(int8, inputs, threads), is_exact=False),
        }


def _runner(path: Path, inputs: tuple[Tensor, ...], threads: int) -> Callable[[], Velocity]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {
        port.name: value.numpy() for port, value in zip(session.get_inputs(), inputs, strict=True)
    }

    def run() -> Velocity:
        return np.asarray(session.run(None, feed)[0][0], dtype=np.float32)

    return run
