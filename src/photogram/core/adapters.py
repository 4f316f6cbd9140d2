"""The adapters (LoRA) that an operator offers: the safetensors files of one folder.

In: the folder. Out: name and file of each, as they are now: a file that is put there is offered from
then on, one that is taken away no more. Only names are read; whether a file can be used is found out by
the worker that paints with it.
"""

from pathlib import Path

_SUFFIX = ".safetensors"


def adapter_files(folder: Path | None) -> dict[str, Path]:
    """Name -> file of every adapter in a folder, in the order of their names.

    A name is the file's without its suffix. Hidden files, which copying tools write first, have none,
    nor have those whose name cannot be printed.
    Where there is no folder, or it cannot be read, there are no adapters.
    """
    if folder is None:
        return {}
    try:
        paths = sorted(folder.glob(f"*{_SUFFIX}"))
    except OSError:
        return {}
    return {
        path.name.removesuffix(_SUFFIX): path
        for path in paths
        if path.name.isprintable() and not path.name.startswith(".")
    }
