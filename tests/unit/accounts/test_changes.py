"""Changes of keys by operators and by holders of keys, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from photogram.accounts.changes import MAX_WORKING_KEYS
from photogram.accounts.models import KeyInfo, NewKey, Principal, Rights, RightsChange, Scope
from photogram.accounts.operators import OperatorService
from photogram.accounts.service import AccountService
from photogram.core import clock
from photogram.core.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
)
from photogram.storage.journal import Entry
from tests.unit.storage.stocked import PEPPER, Stock

LIMITED = Rights(requests_per_minute=60, jobs_at_once=4, spend_cap_micro=1_000)


def _journal(stock: Stock) -> list[Entry]:
    return OperatorService(stock.database, PEPPER).journal(1000)


def _info(stock: Stock, key_id: str) -> KeyInfo:
    return next(info for info in stock.accounts.list_keys() if info.key_id == key_id)


async def _holder(stock: Stock, rights: Rights | None = None) -> tuple[NewKey, Principal]:
    key = stock.accounts.create_key("ann", rights=rights)
    return key, await stock.accounts.authenticate(key.token)


async def test_a_key_carries_its_rights(stock: Stock) -> None:
    until = clock.now() + timedelta(days=1)
    rights = Rights(scopes=frozenset({Scope.READ}), jobs_at_once=2, expires_at=until)
    key = stock.accounts.create_key("ann", name="ci", rights=rights, actor="cli")
    principal = await stock.accounts.authenticate(key.token)
    assert principal.rights == rights
    assert (key.info.name, key.info.rights, key.info.counts_as) == ("ci", rights, None)


async def test_an_expired_key_is_as_good_as_none(stock: Stock) -> None:
    key = stock.accounts.create_key("ann", rights=Rights(expires_at=clock.now()))
    with pytest.raises(AuthenticationError) as refused:
        await stock.accounts.authenticate(key.token)
    with pytest.raises(AuthenticationError) as unknown:
        await stock.accounts.authenticate("phg_live_typo")
    assert refused.value.message == unknown.value.message
    assert _info(stock, key.key_id).state(clock.now()) == "expired"


async def test_an_operator_changes_what_is_named_and_nothing_else(stock: Stock) -> None:
    key, _ = await _holder(stock, LIMITED)
    change: RightsChange = {"requests_per_minute": None, "scopes": frozenset({Scope.READ})}
    stock.accounts.change_key(key.key_id, change, name="new", actor="cli")
    now = await stock.accounts.authenticate(key.token)
    assert now.rights == Rights(
        scopes=frozenset({Scope.READ}), jobs_at_once=4, spend_cap_micro=1_000
    )
    assert _info(stock, key.key_id).name == "new"
    assert (
        _journal(stock)[0].details
        == '{"name": "new", "requests_per_minute": "none", "scopes": "read"}'
    )
    with pytest.raises(InvalidRequestError, match="jobs_at_once"):
        stock.accounts.change_key(key.key_id, {"jobs_at_once": 0}, actor="cli")
    with pytest.raises(NotFoundError, match="no key 'nokey'"):
        stock.accounts.change_key("nokey", {}, actor="cli")


class TestRotation:
    async def test_both_keys_work_until_the_overlap_ends(self, stock: Stock) -> None:
        old, holder = await _holder(stock, LIMITED)
        new = stock.accounts.rotate_key(old.key_id, 3600, actor="cli")
        principal = await stock.accounts.authenticate(new.token)
        assert principal.rights == LIMITED
        assert principal.counted_id == holder.counted_id
        left = _info(stock, old.key_id).expires_at
        assert left is not None
        assert timedelta(minutes=59) < left - clock.now() <= timedelta(hours=1)
        assert await stock.accounts.authenticate(old.token)

    async def test_without_an_overlap_the_old_key_ends_at_once(self, stock: Stock) -> None:
        old, _ = await _holder(stock)
        new = stock.accounts.rotate_key(old.key_id, 0, actor="cli")
        with pytest.raises(AuthenticationError):
            await stock.accounts.authenticate(old.token)
        assert await stock.accounts.authenticate(new.token)

    async def test_an_old_key_begets_no_key_that_outlives_it(self, stock: Stock) -> None:
        """A stolen key that was replaced must not be able to replace itself."""
        old, holder = await _holder(stock)
        stock.accounts.rotate_key(old.key_id, 3600, actor="cli")
        ends_at = _info(stock, old.key_id).expires_at
        again = stock.accounts.rotate_key(old.key_id, 86_400, actor="x", holder=holder)
        child = stock.accounts.make_key(holder, None, {})
        assert again.info.expires_at == child.info.expires_at == ends_at
        assert _info(stock, old.key_id).expires_at == ends_at
        later = clock.now() + timedelta(days=1)
        with pytest.raises(PermissionDeniedError, match="expires_at"):
            stock.accounts.make_key(holder, None, {"expires_at": later})

    async def test_a_key_that_does_not_work_is_not_replaced(self, stock: Stock) -> None:
        key, _ = await _holder(stock)
        stock.accounts.revoke_key(key.key_id)
        with pytest.raises(ConflictError, match="does not work any more"):
            stock.accounts.rotate_key(key.key_id, actor="cli")
        with pytest.raises(NotFoundError):
            stock.accounts.rotate_key("nokey", actor="cli")

    async def test_a_weak_key_gets_no_strong_ones_token(self, stock: Stock) -> None:
        strong, _ = await _holder(stock)
        _, weak = await _holder(stock, Rights(scopes=frozenset({Scope.KEYS})))
        with pytest.raises(PermissionDeniedError, match="scope generate, read, webhooks"):
            stock.accounts.rotate_key(strong.key_id, actor="x", holder=weak)


class TestMaking:
    async def test_a_key_is_made_in_its_makers_image(self, stock: Stock) -> None:
        maker, holder = await _holder(stock, LIMITED)
        made = stock.accounts.make_key(holder, "ci", {"requests_per_minute": 5})
        assert made.info.requests_per_minute == 5
        assert (made.info.jobs_at_once, made.info.spend_cap_micro) == (4, 1_000)
        assert (made.info.account_name, made.info.counts_as) == ("ann", maker.key_id)
        grandchild = stock.accounts.make_key(
            await stock.accounts.authenticate(made.token), None, {}
        )
        assert grandchild.info.counts_as == maker.key_id

    async def test_an_unlimited_keys_children_have_counts_of_their_own(self, stock: Stock) -> None:
        _, holder = await _holder(stock)
        made = stock.accounts.make_key(holder, None, {"spend_cap_micro": 5})
        assert made.info.counts_as is None

    async def test_under_a_servers_rate_all_children_count_with_their_maker(
        self, stock: Stock
    ) -> None:
        maker, holder = await _holder(stock)
        made = stock.accounts.make_key(holder, None, {}, server_rate=60)
        assert made.info.counts_as == maker.key_id

    async def test_a_holder_has_the_rights_that_its_key_has_now(self, stock: Stock) -> None:
        key, holder = await _holder(stock)
        stock.accounts.change_key(key.key_id, {"scopes": frozenset({Scope.KEYS})}, actor="cli")
        with pytest.raises(PermissionDeniedError):
            stock.accounts.make_key(holder, None, {"scopes": frozenset({Scope.GENERATE})})
        stock.accounts.revoke_key(key.key_id)
        for _ in range(2):
            with pytest.raises(AuthenticationError):
                stock.accounts.make_key(holder, None, {})
            with pytest.raises(AuthenticationError):
                stock.accounts.rotate_key(stock.customer.key_id, actor="x", holder=holder)

    async def test_of_many_at_once_no_more_are_made_than_may_be(self, stock: Stock) -> None:
        _, holder = await _holder(stock)
        for _ in range(MAX_WORKING_KEYS - 5):
            stock.accounts.make_key(holder, None, {})
        barrier = threading.Barrier(8)

        def make(_: int) -> bool:
            barrier.wait()
            try:
                stock.accounts.make_key(holder, None, {})
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(make, range(8))) == 3  # ann has two from the start
        with pytest.raises(ConflictError, match="100 keys that work"):
            stock.accounts.rotate_key(holder.key_id, actor="x", holder=holder)


async def test_another_accounts_key_is_none(stock: Stock) -> None:
    _, holder = await _holder(stock)
    other = stock.accounts.create_key("bob")
    with pytest.raises(NotFoundError) as foreign:
        stock.accounts.revoke_key(other.key_id, account_id=holder.account_id)
    with pytest.raises(NotFoundError) as unknown:
        stock.accounts.revoke_key("X" * 8, account_id=holder.account_id)
    told = foreign.value.message.replace(other.key_id, "X" * 8)
    assert told == unknown.value.message
    for key_id in (other.key_id, "\x00", "", "a b"):
        with pytest.raises(NotFoundError):
            stock.accounts.rotate_key(key_id, actor="x", holder=holder)
    assert [info.account_name for info in stock.accounts.keys_of(holder.account_id)] == ["ann"] * 2
    assert await stock.accounts.authenticate(other.token)


async def test_every_change_is_journaled_once_and_without_tokens(stock: Stock) -> None:
    key = stock.accounts.create_key("bob", name="ci", rights=LIMITED, actor="cli")
    new = stock.accounts.rotate_key(key.key_id, actor="admin:k")
    for _ in range(2):
        stock.accounts.revoke_key(new.key_id, actor="cli")
    with pytest.raises(NotFoundError):
        stock.accounts.revoke_key("nokey", actor="cli")
    entries = _journal(stock)
    assert [(entry.actor, entry.action, entry.subject) for entry in entries[:4]] == [
        ("cli", "key.revoke", new.key_id),
        ("admin:k", "key.rotate", new.key_id),
        ("cli", "key.create", key.key_id),
        ("cli", "account.create", key.info.account_id),
    ]
    for token in (key.token, new.token):
        assert token.rsplit("_", 1)[1] not in repr(entries)
    pasted = stock.accounts.create_key("bob", name=key.token).info
    assert pasted.name == key.token
    assert key.token[:17] in _journal(stock)[0].details
    assert key.token not in _journal(stock)[0].details
    assert '"spend_cap_micro": 1000' in entries[2].details
    assert f'"replaces": "{key.key_id}"' in entries[1].details
    older = OperatorService(stock.database, PEPPER).journal(1, before=entries[1].id)
    assert older == [entries[2]]


class TestOperators:
    async def test_an_operators_key_is_no_customers_and_the_other_way_round(
        self, stock: Stock
    ) -> None:
        operators = OperatorService(stock.database, PEPPER)
        key = operators.create_key("eve", actor="cli")
        assert key.token.startswith(f"phg_adm_{key.key_id}_")
        assert await operators.authenticate(key.token) == key.key_id
        customer = stock.accounts.create_key("ann")
        with pytest.raises(AuthenticationError):
            await stock.accounts.authenticate(key.token)
        for token in (customer.token, customer.token.replace("live", "adm"), "", None):
            with pytest.raises(AuthenticationError):
                await operators.authenticate(token)

    async def test_a_revoked_one_opens_nothing(self, stock: Stock) -> None:
        operators = OperatorService(stock.database, PEPPER)
        key = operators.create_key("eve", actor="cli")
        for _ in range(2):
            operators.revoke_key(key.key_id, actor="cli")
        with pytest.raises(AuthenticationError):
            await operators.authenticate(key.token)
        (info,) = operators.list_keys()
        assert (info.key_id, info.name) == (key.key_id, "eve")
        assert info.revoked_at is not None
        actions = [entry.action for entry in operators.journal(2)]
        assert actions == ["admin_key.revoke", "admin_key.create"]
        with pytest.raises(NotFoundError, match="nokey"):
            operators.revoke_key("nokey", actor="cli")


def test_a_pepper_that_is_another_databases_is_refused(stock: Stock) -> None:
    for _ in range(2):
        stock.accounts.prove_pepper()
    with pytest.raises(ConfigurationError, match="does not belong to this database"):
        AccountService(stock.database, b"q" * 32).prove_pepper()
    stock.accounts.prove_pepper()
