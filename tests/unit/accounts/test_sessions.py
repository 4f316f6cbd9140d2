"""Sessions on both databases: whose they are, and everything that ends them."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection, select, update

from photogram.accounts.models import NewKey
from photogram.accounts.operators import OperatorService
from photogram.accounts.sessions import SessionService
from photogram.core import clock
from photogram.core.errors import AuthenticationError
from photogram.storage.tables.keys import api_key, session
from tests.unit.storage.stocked import PEPPER, Stock


@pytest.fixture
def sessions(stock: Stock) -> SessionService:
    return SessionService(stock.database, PEPPER)


@pytest.fixture
def key(stock: Stock) -> NewKey:
    return stock.accounts.create_key("ann")


async def test_a_session_is_its_keys_holder(
    stock: Stock, sessions: SessionService, key: NewKey
) -> None:
    new = await sessions.begin(key_id=key.key_id)
    assert await sessions.resume(new.secret) == await stock.accounts.authenticate(key.token)
    assert new.expires_at > clock.now()
    assert new.secret not in repr(new)


async def test_rights_are_those_that_the_key_has_now(
    stock: Stock, sessions: SessionService, key: NewKey
) -> None:
    secret = (await sessions.begin(key_id=key.key_id)).secret
    stock.accounts.change_key(key.key_id, {"scopes": frozenset()}, actor="test")
    assert (await sessions.resume(secret)).scopes == frozenset()


async def test_it_ends_with_its_key(stock: Stock, sessions: SessionService, key: NewKey) -> None:
    revoked = (await sessions.begin(key_id=key.key_id)).secret
    stock.accounts.revoke_key(key.key_id)
    short = stock.accounts.create_key("ann")
    expired = (await sessions.begin(key_id=short.key_id)).secret
    past = update(api_key).where(api_key.c.id == short.key_id).values(expires_at=clock.now())
    stock.database.transact(lambda connection: connection.execute(past).close())
    for secret in (revoked, expired):
        with pytest.raises(AuthenticationError, match="sign in again"):
            await sessions.resume(secret)


async def test_signing_out_ends_that_one_alone(sessions: SessionService, key: NewKey) -> None:
    left, stays = [(await sessions.begin(key_id=key.key_id)).secret for _ in range(2)]
    await sessions.end(left)
    await sessions.end(left)
    with pytest.raises(AuthenticationError):
        await sessions.resume(left)
    assert (await sessions.resume(stays)).key_id == key.key_id


async def test_it_ends_by_itself_and_is_forgotten(
    stock: Stock, sessions: SessionService, key: NewKey
) -> None:
    old = await sessions.begin(key_id=key.key_id)
    past = update(session).values(expires_at=clock.now() - timedelta(seconds=1))
    stock.database.transact(lambda connection: connection.execute(past).close())
    with pytest.raises(AuthenticationError):
        await sessions.resume(old.secret)
    await sessions.begin(key_id=key.key_id)
    assert len(stock.database.transact(_hashes)) == 1


async def test_the_secret_itself_is_not_stored(
    stock: Stock, sessions: SessionService, key: NewKey
) -> None:
    secret = (await sessions.begin(key_id=key.key_id)).secret
    (stored,) = stock.database.transact(_hashes)
    assert secret not in stored
    with pytest.raises(AuthenticationError):
        await sessions.resume(stored)
    with pytest.raises(AuthenticationError):
        await SessionService(stock.database, b"q" * 32).resume(secret)


async def test_customers_and_operators_do_not_share_sessions(
    stock: Stock, sessions: SessionService, key: NewKey
) -> None:
    operators = OperatorService(stock.database, PEPPER)
    operator = operators.create_key("eve", actor="cli")
    theirs = (await sessions.begin(operator_key_id=operator.key_id)).secret
    ours = (await sessions.begin(key_id=key.key_id)).secret
    assert await sessions.resume_operator(theirs) == operator.key_id
    with pytest.raises(AuthenticationError):
        await sessions.resume(theirs)
    with pytest.raises(AuthenticationError):
        await sessions.resume_operator(ours)
    operators.revoke_key(operator.key_id, actor="cli")
    with pytest.raises(AuthenticationError):
        await sessions.resume_operator(theirs)


def _hashes(connection: Connection) -> list[str]:
    return list(connection.execute(select(session.c.token_hash)).scalars())
