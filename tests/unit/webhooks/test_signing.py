import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from photogram.webhooks.signing import headers_of, key_of, new_secret

BODY = '{"type": "job.completed", "data": "ü"}'


def test_the_vector_of_the_specification() -> None:
    headers = dict(
        headers_of(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            datetime.fromtimestamp(1614265330, UTC),
            b'{"test": 2432232314}',
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        )
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    ("secret", "verifies_with"),
    [
        (f"whsec_{base64.b64encode(bytes(range(24))).decode()}", bytes(range(24))),
        (f"whsec_{base64.b64encode(bytes(64)).decode().rstrip('=')}", bytes(64)),
        ("correct horse battery", b"correct horse battery"),
        ("größer als acht", "größer als acht".encode()),
    ],
)
def test_receivers_verify_with_the_public_package(secret: str, verifies_with: bytes) -> None:
    headers = dict(headers_of("id", datetime.now(UTC), BODY.encode(), secret))
    assert Webhook(verifies_with).verify(BODY, headers)["data"] == "ü"
    with pytest.raises(WebhookVerificationError):
        Webhook(verifies_with).verify(BODY + " ", headers)


def test_a_new_secret_is_the_packages_own_form() -> None:
    secret = new_secret()
    headers = dict(headers_of("id", datetime.now(UTC), BODY.encode(), secret))
    Webhook(secret).verify(BODY, headers)
    assert len(key_of(secret)) == 32
    assert new_secret() != secret


def test_an_old_copy_does_not_verify() -> None:
    secret = new_secret()
    old = datetime.now(UTC) - timedelta(minutes=6)
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret).verify(BODY, dict(headers_of("id", old, BODY.encode(), secret)))


def test_without_a_secret_there_is_no_signature() -> None:
    headers = dict(headers_of("id", datetime.now(UTC), b"", None))
    assert set(headers) == {"webhook-id", "webhook-timestamp"}


@pytest.mark.parametrize(
    "secret",
    [
        *("", "seven77", "x" * 257, "line\nbreak", "nul\x00nul\x00", "\ud800surrogate"),
        *("whsec_", "whsec_not base64 at all, really!", f"whsec_{'A' * 31}", f"whsec_{'A' * 88}"),
        "whsec_ÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄ",
    ],
)
def test_what_is_no_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match=r"^must be"):
        key_of(secret)
