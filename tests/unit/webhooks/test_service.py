import pytest

from photogram.core.errors import InvalidRequestError, NotFoundError
from photogram.webhooks.addresses import AddressGuard
from photogram.webhooks.service import WebhookService
from tests.unit.storage.stocked import Stock
from tests.unit.webhooks.telling import announce

URL = "https://example.com/"


def _service(stock: Stock) -> WebhookService:
    return WebhookService(stock.database, AddressGuard(may_be_private=False), wake=lambda: None)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_requests_own_address_and_secret_are_checked_under_their_names(stock: Stock) -> None:
    service = _service(stock)
    assert service.check_address(URL) == URL
    assert service.check_secret("at least eight") == "at least eight"
    for check, field in (
        (service.check_address, "webhook_url"),
        (service.check_secret, "webhook_secret"),
    ):
        for wrong in (None, 7, "", b"bytes", ["list"]):
            with pytest.raises(InvalidRequestError) as refused:
                check(wrong)
            assert [detail.field for detail in refused.value.details] == [field]
            assert refused.value.message.startswith(f"{field} must be")


async def test_the_log_of_a_job_is_its_own_accounts(stock: Stock) -> None:
    job_id = announce(stock, URL)
    assert await _service(stock).log_of_job(stock.customer.account_id, job_id) == []
    with pytest.raises(NotFoundError):
        await _service(stock).log_of_job(stock.accounts.ensure_account("bob"), job_id)
