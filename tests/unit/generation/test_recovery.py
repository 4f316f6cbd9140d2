from photogram.generation import repository
from photogram.generation.recovery import recover
from tests.unit.storage.stocked import Stock


def test_open_jobs_fail_and_their_holds_are_released(stock: Stock) -> None:
    queued, running, done = (stock.admit(300_000) for _ in range(3))
    stock.database.transact(repository.start, running)
    stock.database.transact(repository.succeed, done, 300_000)
    assert recover(stock.database) == 2
    assert stock.job(queued) == ("failed", "server_restarted")
    assert stock.job(running) == ("failed", "server_restarted")
    assert stock.job(done) == ("succeeded", None)
    assert stock.balance() == 700_000
    assert stock.ledger.check().is_ok
    assert recover(stock.database) == 0
