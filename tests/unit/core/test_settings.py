from pathlib import Path

import pytest

from photogram.core.errors import ConfigurationError
from photogram.core.settings import ENV_PREFIX, Settings, load_settings

GUIDE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_flag_wins_over_environment_and_environment_over_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_settings().port == 8000
    monkeypatch.setenv("PHOTOGRAM_PORT", "8001")
    assert load_settings().port == 8001
    assert load_settings(port=8002).port == 8002
    assert load_settings(port=None).port == 8001


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PHOTOGRAM_PORT", "70000"),
        ("PHOTOGRAM_PORT", "http"),
        ("PHOTOGRAM_QUEUE_LIMIT", "0"),
        ("PHOTOGRAM_DEVICE", "tpu"),
        ("PHOTOGRAM_PRICE_PER_STEP", "-1"),
        ("PHOTOGRAM_MEMORY", "16"),
        ("PHOTOGRAM_MEMORY", "16KiB"),
        ("PHOTOGRAM_STEP_CACHE", "1.5"),
        ("PHOTOGRAM_JOB_TIMEOUT_S", "nan"),
        ("PHOTOGRAM_FIRST_CREDITS", "0.0000001"),
        ("PHOTOGRAM_HOST", ""),
        ("PHOTOGRAM_DATA", ""),
        ("PHOTOGRAM_DATABASE_URL", "mysql://ann:s3cret@host/x"),
        ("PHOTOGRAM_DATABASE_CONNECTIONS", "0"),
    ],
)
def test_bad_value_is_refused_and_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name) as refused:
        load_settings()
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.example", "https://api.example"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("https://api.example/paint/", "https://api.example/paint"),
    ],
)
def test_a_public_url_has_no_slash_at_its_end(
    monkeypatch: pytest.MonkeyPatch, given: str, kept: str
) -> None:
    monkeypatch.setenv("PHOTOGRAM_PUBLIC_URL", given)
    assert load_settings().public_url == kept


@pytest.mark.parametrize(
    "value",
    [
        *("api.example", "ftp://api.example", "https://", "https:///x", "https://a:b@c.example"),
        *("https://a.example?x", "https://a.example#x", "https://a.example:x", "https://a b"),
        *("https://é.example", "https://a.example\n"),
    ],
)
def test_what_is_no_public_url_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("PHOTOGRAM_PUBLIC_URL", value)
    with pytest.raises(ConfigurationError, match="PHOTOGRAM_PUBLIC_URL"):
        load_settings()


def test_unknown_variable_is_refused_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOGRAM_PROT", "8000")
    with pytest.raises(ConfigurationError, match="PHOTOGRAM_PROT"):
        load_settings()


def test_every_setting_is_in_the_guide_with_its_default_and_meaning() -> None:
    guide = GUIDE.read_text()
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else str(field.default)
        row = f"| `{ENV_PREFIX}{name.upper()}` | {default} | {field.description} |"
        assert row in guide


@pytest.mark.parametrize(
    ("given", "num_bytes"),
    [("16GiB", 2**34), ("0.5 GiB", 2**29), ("24GB", 24 * 10**9), ("512MiB", 2**29)],
)
def test_memory_has_a_unit(given: str, num_bytes: int) -> None:
    assert load_settings(memory=given).memory == num_bytes
