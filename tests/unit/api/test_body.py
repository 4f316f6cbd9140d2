import json

import pytest

from photogram.api.body import MAX_DEPTH, MAX_FIELDS, parse_json
from photogram.core.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "not valid JSON"),
        (b'{"a": 1,}', "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": 1} x', "not valid JSON"),
        (b'{"a": "\n"}', "not valid JSON"),
        (b"\xff{}", "not UTF-8"),
        ('{"prompt": "x"}'.encode("utf-16"), "not UTF-8"),
        (b"[]", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b"NaN", "must be a JSON object"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": {"b": 1, "b": 1}}', "twice"),
        (
            b"{" + b",".join(b'"%d": 1' % number for number in range(MAX_FIELDS + 1)) + b"}",
            "101 fields; it may have 100",
        ),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"a": ' + b"[" * 200_000, "deeper"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deeper"),
        (b'{"a": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "deeper"),
    ],
)
def test_bad_bodies_are_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        parse_json(body)


def test_objects_are_read() -> None:
    assert parse_json(b'{"a": 1, "b": [2.0, null, true], "c": "\xc3\xa9"}') == {
        "a": 1,
        "b": [2.0, None, True],
        "c": "é",
    }


def test_a_byte_order_mark_is_no_harm() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_the_limit_of_depth_is_still_allowed() -> None:
    inner = MAX_DEPTH - 1
    assert parse_json(b'{"a": ' + b"[" * inner + b"]" * inner + b"}")


def test_the_limit_of_fields_is_still_allowed() -> None:
    fields: dict[str, object] = {str(number): 1 for number in range(MAX_FIELDS)}
    assert parse_json(json.dumps(fields).encode()) == fields
