import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photogram.accounts import keys

TOKEN = "phg_live_k3yId000_" + "A" * 43


def test_a_token_has_the_documented_form() -> None:
    key_id, token = keys.new_token()
    assert re.fullmatch(rf"phg_live_{key_id}_[0-9A-Za-z]{{49}}", token)
    assert len(key_id) == 8
    assert keys.key_id_of(token) == key_id


def test_tokens_do_not_repeat() -> None:
    assert len({keys.new_token() for _ in range(1000)}) == 1000


def test_the_checksum_is_the_crc32_in_base62() -> None:
    assert keys._base62(61, 2) == "0z"
    assert keys._base62(62, 2) == "10"
    assert keys.key_id_of(TOKEN + keys._checksum(TOKEN)) == "k3yId000"


@given(position=st.integers(0, 66), letter=st.sampled_from("0Zz_ \né"))
def test_one_wrong_letter_is_noticed(position: int, letter: str) -> None:
    _, token = keys.new_token()
    typo = token[:position] + letter + token[position + 1 :]
    assert (keys.key_id_of(typo) is None) == (typo != token)


@pytest.mark.parametrize(
    "token",
    ["", "phg_live_", "sk-123", TOKEN, "x" * 10_000, "phg_live_\x00", "ключ", TOKEN + "é" * 6],
)
def test_what_is_no_token_has_no_key_id(token: str) -> None:
    assert keys.key_id_of(token) is None


def test_only_the_token_with_the_pepper_gives_its_hash() -> None:
    token_hash = keys.token_hash(TOKEN, b"a" * 32)
    assert re.fullmatch(r"[0-9a-f]{64}", token_hash)
    assert token_hash == keys.token_hash(TOKEN, b"a" * 32)
    assert token_hash != keys.token_hash(TOKEN, b"b" * 32)
    assert token_hash != keys.token_hash(TOKEN.lower(), b"a" * 32)
