from datetime import UTC, datetime, timedelta

import pytest

from photogram.webhooks.courier import DELAYS_S, retry_after_s

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("0", 0),
        ("120", 120),
        ("Mon, 23 Nov 2026 12:01:00 GMT", 60),
        ("Mon, 23 Nov 2026 12:01:00 -0000", 60),
        ("Mon, 23 Nov 2026 11:59:00 GMT", -60),
        ("soon", 0),
        ("", 0),
        ("-5", 0),
        ("1.5", 0),
        ("9" * 5000, 0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999999999", 0),
        ("Mon, 99 Nov 99999999 12:01:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 -1200", None),
    ],
)
def test_a_wish_for_time_is_read_or_means_nothing(value: str | None, seconds: float | None) -> None:
    found = retry_after_s(value, NOW)
    assert found == seconds if seconds is not None else found >= 0


def test_the_attempts_span_three_days() -> None:
    assert timedelta(days=3) < timedelta(seconds=sum(DELAYS_S)) < timedelta(days=4)
    assert list(DELAYS_S) == sorted(DELAYS_S)
