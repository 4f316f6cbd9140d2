"""Photogram: a self-hosted FLUX.1 [dev] image API with an engine, keys and prepaid credits.

``photogram.Pipeline`` is the library's face. It is loaded on first use, so that importing
``photogram`` (which the API process and the CLI do) imports no torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from photogram.pipeline.flux import Pipeline

__all__ = ["Pipeline"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Pipeline":
        from photogram.pipeline.flux import Pipeline

        return Pipeline
    raise AttributeError(f"module 'photogram' has no attribute {name!r}")
