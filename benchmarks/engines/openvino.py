"""OpenVINO: the same transformer, converted by its own front end, in bfloat16."""

import numpy as np
import openvino as ov
from torch import Tensor

from benchmarks.engines.interface import Step, Velocity
from benchmarks.engines.peer import Transformer


def make_step(network: Transformer, inputs: tuple[Tensor, ...], threads: int) -> Step:
    """Convert and compile it, for one thread count."""
    model = ov.convert_model(network, example_input=inputs)
    for port, value in zip(model.inputs, inputs, strict=True):
        port.get_node().set_partial_shape(ov.PartialShape(list(value.shape)))
    model.validate_nodes_and_infer_types()
    hints = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
    }
    compiled = ov.compile_model(model, "CPU", hints)
    request = compiled.create_infer_request()
    arrays = [value.numpy() for value in inputs]

    def run() -> Velocity:
        request.infer(arrays)
        return np.array(request.get_output_tensor(0).data[0], dtype=np.float32)

    return Step(run)
