"""How the transformer runs on a GPU: blocks compiled, small batches replayed as recorded graphs.

In: the transformer and the inputs of a step. Out: what the transformer would return. A batch of few
tokens is bound by the launching of its kernels, so its step is recorded once for its packing and
replayed with other numbers; a large one is bound by its multiplications, and runs as it is. A batch
in which anybody has an adapter is neither compiled nor recorded, for which layers it changes is
another matter every time. It knows no prompt and no schedule.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from photogram.model.adapters import Adapters
from photogram.model.attention import Packing
from photogram.model.transformer import Flux

GRAPH_TOKENS = 2048
"""Batches of at most so many tokens are recorded."""

_GRAPHS_KEPT = 16
_ATTENTION = [  # the fastest on a Hopper GPU first
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
_NUM_WARM_UPS = 3  # of a step before it is recorded, as torch.cuda.graph asks for


class _Graph(NamedTuple):
    """A recorded step, the tensors that it reads and the one that it writes."""

    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]
    packing: Packing  # its offsets are read, too
    velocity: Tensor


class CudaFlux:
    """The transformer's `forward`, faster.

    Args:
        transformer: On the GPU; its blocks are compiled at their first call, one of each kind, and
            once more when a second shape comes.
    """

    def __init__(self, transformer: Flux) -> None:
        self._transformer = transformer
        for block in (*transformer.double_blocks, *transformer.single_blocks):
            block.compile()
        self._graphs: OrderedDict[Packing, _Graph] = OrderedDict()

    def __call__(
        self,
        img: Tensor,
        txt: Tensor,
        pe: Sequence[Tensor],
        mods: Sequence[Tensor],
        packing: Packing,
        adapters: Sequence[Adapters] = (),
    ) -> Tensor:
        """As `Flux.forward`."""
        with sdpa_kernel(_ATTENTION, set_priority=True):
            if adapters:
                packing = _for_kernel(packing, img)
                with torch.compiler.set_stance("force_eager"):
                    return cast("Tensor", self._transformer(img, txt, pe, mods, packing, adapters))
            if sum(packing.total) > GRAPH_TOKENS:
                packing = _for_kernel(packing, img)
                velocity: Tensor = self._transformer(img, txt, pe, mods, packing)
                return velocity
            return self._replay([img, txt, *pe, *mods], packing)

    def _replay(self, inputs: Sequence[Tensor], packing: Packing) -> Tensor:
        found = self._graphs.get(packing)
        if found is None:
            found = self._graphs[packing] = self._record(inputs, packing)
            if len(self._graphs) > _GRAPHS_KEPT:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(packing)
        for static, tensor in zip(found.inputs, inputs, strict=True):
            static.copy_(tensor)
        found.graph.replay()
        return found.velocity.clone()  # the next replay writes there

    def _record(self, inputs: Sequence[Tensor], packing: Packing) -> _Graph:
        static = [tensor.clone() for tensor in inputs]
        img, txt, *others = static
        pe, mods = others[: len(packing.img)], others[len(packing.img) :]
        packing = _for_kernel(packing, img)
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_NUM_WARM_UPS):
                self._transformer(img, txt, pe, mods, packing)
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            velocity = self._transformer(img, txt, pe, mods, packing)
        return _Graph(graph, static, packing, velocity)


def _for_kernel(packing: Packing, img: Tensor) -> Packing:
    """The kernel of variable lengths is for several requests, and knows no float32."""
    needs_kernel = len(packing.img) > 1 and img.dtype != torch.float32
    return packing.for_kernel(img.device) if needs_kernel else packing


def multiply_float32_exactly() -> None:
    """No TF32: who asks for float32 on a GPU wants its 24 bits, in convolutions too."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
