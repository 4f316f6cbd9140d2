"""Files that are damaged, cut off, or end while they are read: one sentence that names the tensor."""

import contextlib
import json
import os
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from photogram.core.errors import CheckpointError
from photogram.weights.files.gguf import read_gguf
from photogram.weights.files.header import TensorHeader
from photogram.weights.files.reader import TensorReader
from photogram.weights.files.safetensors import read_safetensors
from photogram.weights.names import sort_tensors
from photogram.weights.parts import read_weights
from tests.unit.weights.holes import text, write_gguf, write_safetensors

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn]


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "a.gguf"
    tensors = {"first.weight": ("Q8_0", (3, 64)), "second.bias": ("F32", (5,))}
    write_gguf(path, tensors)
    return path


def test_headers_of_gguf_state_name_type_shape_and_place(packed: Path) -> None:
    first, second = read_gguf(packed).values()
    assert (first.name, first.dtype, first.shape) == ("first.weight", "Q8_0", (3, 64))
    assert first.size_bytes == 3 * 2 * 34
    assert (second.shape, second.end) == ((5,), packed.stat().st_size)
    assert first.begin % 32 == second.begin % 32 == 0


@pytest.mark.parametrize("dtype", FLOATS)
def test_tensors_are_read_as_they_were_written(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {"x": torch.randn(7, 3).to(dtype), "y": torch.randn(5).to(dtype), "z": torch.ones(())}
    save_file(tensors, path)
    headers = read_safetensors(path)
    with TensorReader() as reader:
        for name, tensor in tensors.items():
            found = reader.numbers(headers[name], tensor.dtype)
            assert found.shape == tensor.shape
            assert torch.equal(found.double(), tensor.double())
        rows = reader.numbers(headers["x"].rows(2, 5), torch.float64)
    assert torch.equal(rows, tensors["x"][2:5].double())


def test_rows_take_their_own_scales(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    numbers, scale = torch.randn(6, 4).to(torch.float8_e4m3fn), torch.rand(6)
    save_file({"x": numbers, "scale": scale}, path)
    headers = read_safetensors(path)
    header = headers["x"]
    scaled = TensorHeader(
        path, "x", header.dtype, header.shape, header.begin, scale=headers["scale"]
    )
    with TensorReader() as reader:
        part = reader.numbers(scaled.rows(2, 5), torch.float32)
    assert torch.equal(part, numbers.float()[2:5] * scale[2:5, None])


def test_disk_that_ends_within_a_tensor_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.ones(1000), "y": torch.ones(1000)}, path)
    headers = read_safetensors(path)
    os.truncate(path, path.stat().st_size - 400)  # after it was inspected
    with TensorReader() as reader:
        reader.numbers(headers["x"], torch.float32)
        sentence = "a.safetensors ends within y: 3600 of 4000 bytes could be read"
        with pytest.raises(CheckpointError, match=sentence):
            reader.numbers(headers["y"], torch.float32)
    path.unlink()
    with (
        TensorReader() as reader,
        pytest.raises(CheckpointError, match=r"x cannot be read: No such file"),
    ):
        reader.numbers(headers["x"], torch.float32)


def test_two_tensors_in_one_place_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"x": entry, "y": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with pytest.raises(CheckpointError, match="y begins at byte"):
        read_safetensors(path)


def header_of(num_tensors: int, num_values: int, *rest: bytes, version: int = 3) -> bytes:
    start = b"GGUF" + struct.pack("<IQQ", version, num_tensors, num_values)
    return start + b"".join(rest)


def entry(name: str, kind: int, begin: int, *sides: int) -> bytes:
    shape = struct.pack(f"<I{len(sides)}Q", len(sides), *sides)
    return text(name) + shape + struct.pack("<IQ", kind, begin)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"GGUF", "ends within its header"),
        (b"GGML" + bytes(60), "is not a GGUF file"),
        (header_of(0, 0, version=1), "version 1; known are 2 and 3"),
        (header_of(0, 0, version=2**24), "version 16777216; known"),
        (header_of(2**60, 0), "it states 1152921504606846976 tensors"),
        (header_of(1, 2**60), "ends within its header"),
        (header_of(0, 1, text("a"), struct.pack("<I", 99)), "a value of the unknown type 99"),
        (header_of(0, 1, text("a"), struct.pack("<IIQ", 9, 9, 1)), "a list of the unknown type 9"),
        (header_of(0, 1, text("a"), struct.pack("<IIQ", 9, 8, 2**60)), "ends within its header"),
        (header_of(0, 1, text("a"), struct.pack("<IIQ", 9, 4, 2**60)), "ends within its header"),
        (header_of(0, 1, struct.pack("<Q", 2), b"\xff\xfe"), "not UTF-8"),
        (
            header_of(0, 1, text("general.alignment"), struct.pack("<II", 4, 0)),
            "general.alignment is 0",
        ),
        (header_of(1, 0, entry("x", 0, 0, 1, 1, 1, 1, 1)), "x has 5 dimensions"),
        (header_of(1, 0, entry("x", 20, 0, 32)), "x is of GGML's type 20; known are F32"),
        (header_of(1, 0, entry("x", 8, 0, 33, 2)), r"x is of type Q8_0, .* shape \[2, 33\]"),
        (header_of(1, 0, entry("x", 0, 0)), r"x is of type F32, .* shape \[\]"),
        (header_of(1, 0, entry("x", 8, 0, 32, 0)), r"x is of type Q8_0, .* shape \[0, 32\]"),
        (header_of(2, 0, entry("x", 0, 0, 8), entry("x", 0, 32, 8)), "lists x twice"),
        (header_of(1, 0, entry("x", 0, 0, 2**40)), "is truncated: .* x ends at 4398046511"),
        (header_of(2, 0, entry("x", 0, 0, 8), entry("y", 0, 16, 8), bytes(99)), "y begins within"),
    ],
)
def test_damage_of_a_gguf_header_is_named(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=sentence):
        read_gguf(path)


@pytest.mark.parametrize("length", [0, 3, 10, 40, 100, 180, -1])
def test_cut_off_gguf_is_told(packed: Path, length: int) -> None:
    data = packed.read_bytes()
    packed.write_bytes(data[:length])
    with pytest.raises(CheckpointError, match=r"a.gguf (is truncated|.* ends at)"):
        read_gguf(packed)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    for read in (read_gguf, read_safetensors):
        with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
            read(tmp_path)


def test_packed_vector_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    write_gguf(path, {"x": ("Q8_0", (64,))})
    with TensorReader() as reader:
        assert torch.equal(reader.numbers(read_gguf(path)["x"], torch.float32), torch.zeros(64))


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"x": torch.arange(4)}, path)
    with TensorReader() as reader, pytest.raises(CheckpointError, match="x is of type I64; known"):
        reader.numbers(read_safetensors(path)["x"], torch.float32)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    is_gguf=st.booleans(),
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 2),
)
def test_any_damage_is_an_error_that_can_be_told(
    tmp_path: Path, is_gguf: bool, edits: list[tuple[int, int]], cut: int
) -> None:
    write, suffix = (write_gguf, "gguf") if is_gguf else (write_safetensors, "safetensors")
    path = tmp_path / f"a.{suffix}"
    kind = "Q8_0" if is_gguf else "F8_E4M3"
    write(path, {"double_blocks.0.img_attn.qkv.weight": (kind, (6, 64)), "x": ("F32", (5,))})
    data = bytearray(path.read_bytes())
    for position, value in edits:
        data[position % len(data)] = value
    path.write_bytes(data[: len(data) - cut])
    with contextlib.suppress(CheckpointError), TensorReader() as reader:
        tensors = read_weights(path)
        for tensor in tensors.values():
            reader.numbers(tensor, torch.float32)
        sort_tensors(path, tensors)
