"""What a user can get wrong at the command line: one clear line, the right status, no traceback."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.server import run_command
from tests.tiny import write_checkpoint


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("generate", "x", "-o", "x.gif"), ".webp"),
        (("generate", " ", "-o", "x.png"), "prompt"),
        (("generate", "a\bb", "-o", "x.png"), "U+0008"),
        (("generate", "x", "-o", "x.png", "--guidance", "nan"), "guidance"),
        (("generate", "x", "-o", "x.png", "--steps", "51"), "50"),
        (("generate", "x", "-o", "x.png", "--aspect-ratio", "7:1"), "16:9"),
        (("generate", "x", "-o", "/nonexistent/x.png"), "/nonexistent/x.png"),
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
    run_command("keys", "create", "--account", "a", *data)
    for words, told in [
        (("credits", "grant", "nobody", "1"), "nobody"),
        (("credits", "balance", "nobody"), "nobody"),
        (("keys", "revoke", "nokey"), "nokey"),
        (("keys", "create", "--account", "a b"), "a b"),
    ]:
        result = run_command(*words, *data)
        assert result.returncode == 2, words
        assert told in result.stderr
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


def test_the_log_does_not_mix_with_the_answer(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path))
    run_command("keys", "create", "--account", "a", *data)
    (tmp_path / "photogram.sqlite3").write_bytes(b"no database" * 100)
    for name in ("-wal", "-shm"):
        (tmp_path / f"photogram.sqlite3{name}").unlink(missing_ok=True)
    refused = run_command("keys", "list", "--json", *data)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "the database refused" in refused.stderr


def test_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for words in (("serve", "--port", "0"), ("ledger", "check"), ("keys", "list")):
        result = run_command(*words, "--data", str(file))
        assert result.returncode in (1, 2)
        assert str(file) in result.stderr
        assert "Traceback" not in result.stderr


def test_a_mistyped_data_folder_is_told_and_not_made(tmp_path: Path) -> None:
    typo = tmp_path / "dtaa"
    for words in (("ledger", "check"), ("keys", "list"), ("credits", "balance", "default")):
        result = run_command(*words, "--data", str(typo))
        assert result.returncode == 2
        assert str(typo) in result.stderr
    assert not typo.exists()


def test_doctor_reports_a_data_folder_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    result = run_command("doctor", "--data", str(file / "data"))
    assert result.returncode == 1
    assert result.stdout.count("FAIL") == 3  # the folder, the database in it, and its disk
    assert "Traceback" not in result.stderr


def test_doctor_says_what_this_machine_has(tmp_path: Path) -> None:
    settings = {"PHOTOGRAM_DTYPE": "float32", "PHOTOGRAM_THREADS": "3"}
    result = run_command("doctor", "--data", str(tmp_path), **settings)
    assert result.returncode == 0, result.stdout + result.stderr
    for words in ("torch", "float32 on ", "3 threads", "SQLite", "model", "data"):
        assert words in result.stdout
    plans = result.stdout.split("plan  FLUX.1 [dev] at 1024x1024 on a GPU of\n")[1].splitlines()
    assert [line.split(" GiB, ")[0].strip() for line in plans] == [
        size for size in ("16", "24", "48", "80") for _ in range(4)
    ]
    assert "does not fit" in plans[0]
    assert "all on it" in plans[-1]


def test_settings_hold_for_a_picture_without_a_server(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "tiny")
    pictures = {}
    for dtype in ("float32", "bfloat16"):
        file = tmp_path / f"{dtype}.png"
        words = ("generate", "a red cat", "-o", str(file), "--steps", "4", "--model", str(model))
        settings = {"PHOTOGRAM_DTYPE": dtype, "PHOTOGRAM_EMBED_PROMPT": "true"}
        result = run_command(*words, **settings)
        assert result.returncode == 0, result.stderr
        with Image.open(file) as image:
            assert json.loads(image.info["parameters"])["prompt"] == "a red cat"
            pictures[dtype] = image.tobytes()
    assert pictures["float32"] != pictures["bfloat16"]


@pytest.mark.parametrize("words", [(), ("serve",), ("generate",), ("keys", "create"), ("ledger",)])
def test_help_teaches(words: tuple[str, ...]) -> None:
    result = run_command(*words, "--help")
    assert result.returncode == 0
    assert "Usage" in result.stdout
