"""Signatures that prove to a receiver who has sent a message, when, and that nobody changed it.

Source: Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks), with its symmetric
scheme ``v1``. A secret and a body come in, headers go out.
"""

import base64
import hashlib
import hmac
import os
from datetime import datetime

PREFIX = "whsec_"
MIN_KEY_BYTES = 24
MAX_KEY_BYTES = 64
MIN_WORD_CHARACTERS = 8
MAX_WORD_CHARACTERS = 256
_NEW_KEY_BYTES = 32


def new_secret() -> str:
    """A secret of 32 random bytes."""
    return PREFIX + base64.b64encode(os.urandom(_NEW_KEY_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The key that a secret stands for.

    Args:
        secret: ``whsec_`` and the base64 of 24 to 64 bytes, which are the key; or any other text of
            8 to 256 printable characters, whose UTF-8 bytes are the key.

    Raises:
        ValueError: It is neither; the text says what it must be.
    """
    if not secret.startswith(PREFIX):
        if (
            not MIN_WORD_CHARACTERS <= len(secret) <= MAX_WORD_CHARACTERS
            or not secret.isprintable()
        ):
            raise ValueError(
                f"must be {MIN_WORD_CHARACTERS} to {MAX_WORD_CHARACTERS} printable characters"
            )
        return secret.encode()
    try:
        digits = secret.removeprefix(PREFIX).rstrip("=")
        key = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        key = b""
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(
            f"must be {PREFIX} and the base64 of {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes,"
            f" or not begin with {PREFIX}"
        )
    return key


def headers_of(
    message_id: str, at: datetime, body: bytes, secret: str | None
) -> list[tuple[str, str]]:
    """The headers of one attempt to deliver a message.

    Args:
        message_id: The same in every attempt, so that a receiver knows a repetition.
        at: The instant of this attempt, which is signed too: old copies are worth nothing.
        body: Exactly what is sent.
        secret: None leaves the message unsigned.
    """
    timestamp = str(int(at.timestamp()))
    headers = [("webhook-id", message_id), ("webhook-timestamp", timestamp)]
    if secret is not None:
        signed = b".".join([message_id.encode(), timestamp.encode(), body])
        digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
        headers.append(("webhook-signature", f"v1,{base64.b64encode(digest).decode()}"))
    return headers
