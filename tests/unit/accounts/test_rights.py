from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from photogram.accounts.models import Principal, Rights, Scope
from photogram.accounts.rights import (
    MAX_LIFE_S,
    MAX_NAME_LENGTH,
    MAX_OVERLAP_S,
    check_gift,
    check_name,
    check_rights,
    check_takeover,
    expiry,
    overlap_end,
    read_scopes,
)
from photogram.core.errors import InvalidRequestError, PermissionDeniedError

NOW = datetime(2026, 11, 30, tzinfo=UTC)
OWN = Rights(
    scopes=frozenset({Scope.READ, Scope.KEYS}),
    requests_per_minute=60,
    jobs_at_once=4,
    spend_cap_micro=1_000,
    expires_at=NOW,
)


def test_a_principal_of_two_words_may_do_everything() -> None:
    principal = Principal("ann", "k1")
    assert principal.rights == Rights()
    assert principal.scopes == set(Scope)
    assert not principal.is_limited
    assert principal.counted_id == "k1"
    assert Principal("ann", "k2", "k1").counted_id == "k1"


@pytest.mark.parametrize(
    "given",
    [
        OWN,
        replace(OWN, scopes=frozenset()),
        replace(OWN, requests_per_minute=1, jobs_at_once=1, spend_cap_micro=1),
        replace(OWN, expires_at=NOW - timedelta(days=1)),
    ],
)
def test_a_key_may_give_what_it_has_and_less(given: Rights) -> None:
    check_gift(OWN, given, server_rate=1)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (replace(OWN, scopes=OWN.scopes | {Scope.GENERATE}), "scope generate"),
        (replace(OWN, requests_per_minute=61), "requests_per_minute"),
        (replace(OWN, requests_per_minute=None), "requests_per_minute"),
        (replace(OWN, jobs_at_once=5), "jobs_at_once"),
        (replace(OWN, jobs_at_once=None), "jobs_at_once"),
        (replace(OWN, spend_cap_micro=1_001), "spend_cap cannot"),
        (replace(OWN, spend_cap_micro=None), "spend_cap cannot"),
        (replace(OWN, expires_at=NOW + timedelta(seconds=1)), "expires_at"),
        (replace(OWN, expires_at=None), "expires_at"),
    ],
)
def test_a_key_cannot_give_more_than_it_has(given: Rights, named: str) -> None:
    with pytest.raises(PermissionDeniedError, match=named):
        check_gift(OWN, given, server_rate=None)


def test_a_key_without_a_rate_of_its_own_has_the_servers() -> None:
    own = replace(OWN, requests_per_minute=None)
    check_gift(own, replace(own, requests_per_minute=30), server_rate=30)
    check_gift(own, replace(own, requests_per_minute=10**6), server_rate=None)
    with pytest.raises(PermissionDeniedError, match="the server's 30"):
        check_gift(own, replace(own, requests_per_minute=31), server_rate=30)


def test_a_key_takes_over_only_what_it_could_do_itself() -> None:
    plain = Principal("ann", "plain")
    limited = Principal("ann", "limited", spend_cap_micro=5)
    child = Principal("ann", "child", "limited", spend_cap_micro=3)
    other = Principal("ann", "other", spend_cap_micro=3)
    for own, taken in ((plain, other), (limited, limited), (limited, child), (child, child)):
        check_takeover(own, taken)
    for own, taken in ((limited, plain), (limited, other), (child, limited)):
        with pytest.raises(PermissionDeniedError):
            check_takeover(own, taken)


def test_scopes_are_read_by_name() -> None:
    assert read_scopes(["read", "read"]) == {Scope.READ}
    assert read_scopes([]) == frozenset()
    with pytest.raises(InvalidRequestError, match="'admin' is none of generate, read") as refused:
        read_scopes(["read", "admin"])
    assert refused.value.details[0].allowed == ("generate", "read", "webhooks", "keys")


@pytest.mark.parametrize(
    "rights",
    [
        Rights(requests_per_minute=0),
        Rights(requests_per_minute=10**6 + 1),
        Rights(jobs_at_once=0),
        Rights(jobs_at_once=-1),
        Rights(spend_cap_micro=0),
        Rights(spend_cap_micro=2**62),
    ],
)
def test_limits_out_of_range_are_named(rights: Rights) -> None:
    with pytest.raises(InvalidRequestError, match="must be from 1 to"):
        check_rights(rights)
    check_rights(OWN)


def test_times_out_of_range_are_named() -> None:
    assert expiry(NOW, None) is None
    assert expiry(NOW, 60) == NOW + timedelta(minutes=1)
    for seconds in (0, -1, MAX_LIFE_S + 1, float("nan"), float("inf")):
        with pytest.raises(InvalidRequestError, match="expires_in_s"):
            expiry(NOW, seconds)
    assert overlap_end(NOW, 0) == NOW
    for seconds in (-1, MAX_OVERLAP_S + 1, float("nan")):
        with pytest.raises(InvalidRequestError, match="overlap_s"):
            overlap_end(NOW, seconds)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[31m", "x" * (MAX_NAME_LENGTH + 1)])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="name must be"):
        check_name(name)


@pytest.mark.parametrize("name", [None, "ci", "Ännes Laptop 7", "x" * MAX_NAME_LENGTH])
def test_other_names_are_taken(name: str | None) -> None:
    check_name(name)
