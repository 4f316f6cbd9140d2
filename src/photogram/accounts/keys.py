"""The form of an API key, and what is stored of it. Pure: no table, no clock, no I/O.

A token is ``phg_live_<key id: 8>_<secret: 43><checksum: 6>``, letters and digits; an operator's
begins with ``phg_adm_``, so that neither is ever looked up as the other. The key id is public; the secret holds 256 random bits; the checksum is the CRC-32 of all that stands before it.
It tells typos and scanners' false finds from keys without a database, and protects nothing. Of a
secret of 256 random bits a keyed hash is enough: a slow one would only slow down requests.

Source: the form of GitHub's tokens, https://github.blog/2021-04-05-behind-githubs-new-
authentication-token-formats/
"""

import hmac
import re
import secrets
import string
import zlib
from typing import Final

CUSTOMER: Final = "live"
OPERATOR: Final = "adm"

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_KEY_ID_LENGTH = 8
_SECRET_BITS = 256
_SECRET_LENGTH = 43  # 62**43 > 2**256
_CHECKSUM_LENGTH = 6  # 62**6 > 2**32
_SHAPE = re.compile(
    rf"phg_(live|adm)_([0-9A-Za-z]{{{_KEY_ID_LENGTH}}})_[0-9A-Za-z]{{{_SECRET_LENGTH}}}"
    rf"([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})"
)
_FINGERPRINTED = b"fingerprint of the pepper"


def new_token(kind: str = CUSTOMER) -> tuple[str, str]:
    """A new key: its key id and its token."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(_KEY_ID_LENGTH))
    secret = _base62(secrets.randbits(_SECRET_BITS), _SECRET_LENGTH)
    body = f"phg_{kind}_{key_id}_{secret}"
    return key_id, body + _checksum(body)


def key_id_of(token: str, kind: str = CUSTOMER) -> str | None:
    """The key id in a token; None if its shape, its kind or its checksum is wrong."""
    match = _SHAPE.fullmatch(token)
    if match is None or match[1] != kind:
        return None
    return match[2] if _checksum(token[:-_CHECKSUM_LENGTH]) == match[3] else None


def token_hash(token: str, pepper: bytes) -> str:
    """HMAC-SHA-256 of the whole token, in hex: a stolen table alone opens nothing."""
    return hmac.digest(pepper, token.encode(), "sha256").hex()


def fingerprint(pepper: bytes) -> str:
    """What tells one pepper from another, and nothing else of it."""
    return hmac.digest(pepper, _FINGERPRINTED, "sha256").hex()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
