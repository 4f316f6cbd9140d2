import asyncio
from datetime import datetime, timedelta

from photogram.core import clock
from photogram.generation import lease as leases
from photogram.generation.lease import LEASE, ServerLease
from tests.unit.storage.stocked import Stock

_UNTIL = "SELECT lease_until FROM server WHERE id = '{}'"


def _until(stock: Stock, server: ServerLease) -> datetime:
    query = _UNTIL.format(server.server_id)
    value = stock.database.transact(lambda connection: connection.exec_driver_sql(query).scalar())
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.replace(tzinfo=clock.now().tzinfo) if found.tzinfo is None else found


def test_a_server_lives_for_its_lease(stock: Stock) -> None:
    server = ServerLease(stock.database, is_alone=False)
    left = _until(stock, server) - clock.now()
    assert LEASE - timedelta(seconds=10) < left <= LEASE


def test_who_is_alone_ends_all_others(stock: Stock) -> None:
    first = ServerLease(stock.database, is_alone=False)
    second = ServerLease(stock.database, is_alone=False)
    assert _until(stock, first) > clock.now()
    third = ServerLease(stock.database, is_alone=True)
    assert max(_until(stock, first), _until(stock, second)) <= clock.now()
    assert _until(stock, third) > clock.now()
    assert len({first.server_id, second.server_id, third.server_id}) == 3


def test_who_leaves_gives_up_what_is_left_of_it(stock: Stock) -> None:
    server = ServerLease(stock.database, is_alone=True)
    server.end()
    assert _until(stock, server) <= clock.now()


def test_a_database_that_is_gone_does_not_keep_a_server_from_leaving(stock: Stock) -> None:
    server = ServerLease(stock.database, is_alone=True)
    stock.database.transact(
        lambda connection: connection.exec_driver_sql("ALTER TABLE server RENAME TO gone")
    )
    server.end()
    stock.database.transact(
        lambda connection: connection.exec_driver_sql("ALTER TABLE gone RENAME TO server")
    )


async def test_it_is_renewed_long_before_it_ends(stock: Stock) -> None:
    assert LEASE.total_seconds() > 3 * leases._RENEWAL_S
    server = ServerLease(stock.database, is_alone=True)
    before = _until(stock, server)
    keeping = asyncio.create_task(server.keep())
    async with asyncio.timeout(30):
        while await asyncio.to_thread(_until, stock, server) == before:
            await asyncio.sleep(0.1)
    keeping.cancel()
    assert _until(stock, server) > before
