"""What a user can get wrong at the command line: one clear line, the right status, no traceback."""

import json
from pathlib import Path

import pytest

from tests.acceptance.server import run_command


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("generate", "x", "-o", "x.gif"), ".webp"),
        (("generate", " ", "-o", "x.png"), "PROMPT"),
        (("generate", "x", "-o", "x.png", "--steps", "51"), "50"),
        (("generate", "x", "-o", "x.png", "--aspect-ratio", "7:1"), "16:9"),
        (("generate", "x", "-o", "/nonexistent/x.png", "--steps", "1"), "/nonexistent/x.png"),
        (("generate", "x", "-o", "x.png", "--model", "/nonexistent"), "/nonexistent"),
        (("serve", "--model", "/nonexistent"), "/nonexistent"),
        (("serve", "--port", "70000"), "PHOTOGRAM_PORT"),
        (("models", "inspect", "/nonexistent"), "/nonexistent"),
        (("nonsense",), "nonsense"),
    ],
)
def test_a_mistake_is_named_in_one_line(words: tuple[str, ...], told: str) -> None:
    result = run_command(*words)
    assert result.returncode == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_mistakes_about_accounts_are_named(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path))
    for words, told in [
        (("credits", "grant", "nobody", "1"), "nobody"),
        (("credits", "balance", "nobody"), "nobody"),
        (("keys", "revoke", "nokey"), "nokey"),
        (("keys", "create", "--account", "a b"), "a b"),
    ]:
        result = run_command(*words, *data)
        assert result.returncode == 2, words
        assert told in result.stderr
    run_command("keys", "create", "--account", "a", *data)
    for amount in ("-1", "nan", "0.0000001", "1e30", "0"):
        assert run_command("credits", "grant", *data, "--", "a", amount).returncode == 2, amount


def test_keys_and_balances_as_json(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path))
    key = json.loads(run_command("keys", "create", "--account", "a", "--json", *data).stdout)
    assert key["token"].startswith("phg_live_")
    listed = json.loads(run_command("keys", "list", "--json", *data).stdout)
    assert [row["key_id"] for row in listed] == [key["key_id"]]
    run_command("credits", "grant", "a", "12.5", *data)
    balance = json.loads(run_command("credits", "balance", "a", "--json", *data).stdout)
    assert balance == {"account": "a", "credits": "12.5"}


def test_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for words in (("serve", "--port", "0"), ("ledger", "check"), ("keys", "list")):
        result = run_command(*words, "--data", str(file))
        assert result.returncode in (1, 2)
        assert str(file) in result.stderr
        assert "Traceback" not in result.stderr


def test_doctor_says_what_this_machine_has(tmp_path: Path) -> None:
    result = run_command("doctor", "--data", str(tmp_path))
    assert result.returncode == 0, result.stdout + result.stderr
    for word in ("torch", "SQLite", "model", "data"):
        assert word in result.stdout


@pytest.mark.parametrize("words", [(), ("serve",), ("generate",), ("keys", "create"), ("ledger",)])
def test_help_teaches(words: tuple[str, ...]) -> None:
    result = run_command(*words, "--help")
    assert result.returncode == 0
    assert "Usage" in result.stdout
