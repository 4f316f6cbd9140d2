from decimal import Decimal
from pathlib import Path

import pytest

from photogram.core.errors import ConfigurationError
from photogram.core.model_file import read_model_file


def write(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text)
    return path


def test_entries_come_in_their_order_with_what_is_special_of_each(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[[model]]\npath = "a"\n\n[[model]]\npath = "/b"\nslug = "quick-one"\ndevice = "cuda:1"\n'
        "default_steps = 3\nmax_steps = 8\nprice_per_step = 0.0001\nprice_per_image = 0\n",
    )
    first, second = read_model_file(path)
    assert (first.path, first.slug, first.price_per_step) == (tmp_path / "a", None, None)
    assert (second.path, second.slug, second.device) == (Path("/b"), "quick-one", "cuda:1")
    assert (second.default_steps, second.max_steps) == (3, 8)
    assert (second.price_per_step, second.price_per_image) == (Decimal("0.0001"), 0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "model"),
        ("model = []", "model"),
        ("[[model]]", "path"),
        ('[[model]]\npath = "a"\nslug = "A B"', "slug"),
        ('[[model]]\npath = "a"\nstepz = 3', "stepz"),
        ('[[model]]\npath = "a"\nmax_steps = 51', "max_steps"),
        ('[[model]]\npath = "a"\nprice_per_step = -1', "price_per_step"),
        ('[[model]]\npath = "a"\ndtype = "int3"', "dtype"),
        ("[[model]", "not valid TOML"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as refused:
        read_model_file(write(tmp_path, text))
    assert "models.toml" in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml cannot be read"):
        read_model_file(tmp_path / "none.toml")
