"""Finds the networks of a checkpoint: in folders, in single files, or in one file for all.

In: what a user names, a folder or the file of a transformer. Out: for every network where it is, the
headers of its tensors and its configuration, and which networks are missing. What a file lacks is
looked for beside it: in a folder with the network's name, then in the files of the same folder. It
reads JSON files and headers, and imports no torch.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from photogram.core.errors import CheckpointError
from photogram.weights.configs import Config
from photogram.weights.files.gguf import MAGIC, read_gguf
from photogram.weights.files.header import TensorHeader
from photogram.weights.files.safetensors import read_safetensors, read_shards
from photogram.weights.keymap import Style as Layout
from photogram.weights.names import PARTS, Named, Style, sort_tensors, tidy
from photogram.weights.published import published_config

_SUFFIXES = (".safetensors", ".sft", ".gguf")
_PICKLE_SUFFIXES = (".bin", ".ckpt", ".pkl", ".pt", ".pth")
_PICKLE_MAGICS = (b"PK\x03\x04", b"\x80")

_FOLDERS: Final[dict[str, tuple[str, Style]]] = {
    "transformer": ("diffusion_pytorch_model", "diffusers"),
    "vae": ("diffusion_pytorch_model", "diffusers"),
    "text_encoder": ("model", "transformers"),
    "text_encoder_2": ("model", "transformers"),
}
"""Network -> how the library that writes its folder names the file and the tensors."""


@dataclass(frozen=True, slots=True)
class Part:
    """One network, found.

    Attributes:
        name: Of `PARTS`.
        place: A folder in the layout of diffusers, or a file.
        style: Of the tensors' names.
        tensors: By their names in that style.
        config: The network's numbers; published ones where nothing beside a file states them.
    """

    name: str
    place: Path
    style: Style
    tensors: dict[str, TensorHeader]
    config: Config

    @property
    def layout(self) -> Layout:
        """The style of a transformer's or an autoencoder's names."""
        return "bfl" if self.style == "bfl" else "diffusers"

    @property
    def is_folder(self) -> bool:
        """Whether a library can load it from where it is."""
        return self.place.suffix not in _SUFFIXES

    @property
    def num_parameters(self) -> int:
        """Numbers in all its tensors."""
        return sum(tensor.num_elements for tensor in self.tensors.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of all its tensors in the files."""
        return sum(tensor.size_bytes for tensor in self.tensors.values())


@dataclass(frozen=True, slots=True)
class Parts:
    """What there is of a checkpoint.

    Attributes:
        root: The folder that it is in.
        found: By the names of `PARTS`.
        missing: The same names, or ``tokenizer`` and ``tokenizer_2`` -> a sentence each.
    """

    root: Path
    found: dict[str, Part]
    missing: dict[str, str]


@contextlib.contextmanager
def refusals_told(path: Path) -> Iterator[None]:
    """Looking for a file may be refused by the system as well as reading it: told as our error."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{error.filename or path} cannot be read: {error.strerror}"
        ) from None


def find_parts(path: Path) -> Parts:
    """The networks of a checkpoint.

    Args:
        path: A folder, or a file with a transformer, alone or together with others.

    Raises:
        CheckpointError: There is no such path, a file is damaged or not FLUX.1's, or two files hold
            the same network.
    """
    with refusals_told(path):
        return _find_parts(path)


def _find_parts(path: Path) -> Parts:
    if path.is_dir():
        root, inside = path, {}
    elif path.is_file():
        root, inside = path.parent, sort_tensors(path, read_weights(path))
        if "transformer" not in inside:
            held = ", ".join(PARTS[name] for name in inside) or "nothing of FLUX.1"
            raise CheckpointError(
                f"{path} holds {held}, and no transformer; name the transformer's file, or a folder"
            )
    else:
        raise CheckpointError(f"the model folder {path} does not exist")
    shelf = _Shelf(root)
    found: dict[str, Part] = {}
    missing: dict[str, str] = {}
    for name in PARTS:
        part = _of_file(root, path, name, inside[name]) if name in inside else shelf.find(name)
        if part is None:
            missing[name] = shelf.problem(name)
        else:
            found[name] = part
    for name in ("tokenizer", "tokenizer_2"):
        if not (root / name).is_dir():
            missing[name] = (
                f"{root / name} is missing; it is a folder of FLUX.1's in the layout of diffusers, "
                "and no file of weights holds one"
            )
    return Parts(root, found, missing)


def read_weights(path: Path) -> dict[str, TensorHeader]:
    """Every tensor of one file, whatever its format.

    Raises:
        CheckpointError: It is a pickle, or not what its first bytes promise.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    if start.startswith(MAGIC):
        return read_gguf(path)
    # the length that a safetensors file begins with may be any bytes, but JSON follows it
    is_pickle = start.startswith(_PICKLE_MAGICS) and not start.endswith(b"{")
    if is_pickle or path.suffix in _PICKLE_SUFFIXES:
        raise CheckpointError(_pickle(path))
    return read_safetensors(path)


class _Shelf:
    """A folder in which networks are looked for; every file is read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held: dict[Path, dict[str, Named]] = {}
        self._problems: dict[Path, str] = {}

    def find(self, name: str) -> Part | None:
        """A network in its own folder, or in a file there, or in a file beside it."""
        folder = self._root / name
        stem, style = _FOLDERS[name]
        single, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
        if single.is_file() and index.is_file():
            raise CheckpointError(
                f"{folder} holds {single.name} and {index.name}; remove one of them"
            )
        if single.is_file() or index.is_file():
            tensors = read_safetensors(single) if single.is_file() else read_shards(index)
            return Part(name, folder, style, tidy(tensors), Config.read(folder / "config.json"))
        for place in (folder, self._root):
            holders = [path for path in _files(place, _SUFFIXES) if name in self._networks(path)]
            if len(holders) > 1:
                raise CheckpointError(
                    f"{holders[0]} and {holders[1].name} both hold {PARTS[name]}; "
                    f"keep one of them there, or name the transformer's file"
                )
            if holders:
                return _of_file(self._root, holders[0], name, self._held[holders[0]][name])
        return None

    def problem(self, name: str) -> str:
        """Why a network was not found."""
        folder = self._root / name
        sentence = (
            f"{PARTS[name]} is missing: neither {folder} nor a file in {self._root} holds one"
        )
        pickles = [
            _pickle(path)
            for place in (folder, self._root)
            for path in _files(place, _PICKLE_SUFFIXES)
        ]
        return "; ".join([sentence, *pickles, *self._problems.values()])

    def _networks(self, path: Path) -> dict[str, Named]:
        """What a file holds; one that is none of ours may lie there, and is told of on demand."""
        if path not in self._held:
            try:
                self._held[path] = sort_tensors(path, read_weights(path))
            except CheckpointError as error:
                self._held[path] = {}
                self._problems[path] = error.message
        return self._held[path]


def _of_file(root: Path, path: Path, name: str, named: Named) -> Part:
    stated = root / name / "config.json"
    config = Config.read(stated) if stated.is_file() else published_config(name, path)
    return Part(name, path, named.style, named.tensors, config)


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in suffixes and path.is_file())


def _pickle(path: Path) -> str:
    return (
        f"{path} is a pickle, which can run code when it is loaded; "
        "convert the weights to safetensors"
    )
