import pytest

from photogram.accounts.browsers import CUSTOMER, cookie_name, is_own_page, is_secure

HOST = "pictures.example:8000"
PUBLIC = "https://pictures.example"


@pytest.mark.parametrize(
    ("headers", "public_url", "is_own"),
    [
        ({"sec-fetch-site": "same-origin"}, None, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://other.example"}, None, True),
        ({"sec-fetch-site": "same-site", "origin": f"http://{HOST}"}, None, False),
        ({"sec-fetch-site": "cross-site", "origin": f"http://{HOST}"}, None, False),
        ({"sec-fetch-site": "none"}, None, False),
        ({"origin": f"http://{HOST}"}, None, True),
        ({"origin": "http://pictures.example:8001"}, None, False),
        ({"origin": "null"}, None, False),
        ({"origin": PUBLIC}, None, False),
        ({"origin": PUBLIC}, PUBLIC, True),
        ({"referer": f"http://{HOST}/account"}, None, True),
        ({"referer": f"http://other.example/?{HOST}"}, None, False),
        ({"origin": "null", "referer": f"http://{HOST}/account"}, None, False),
        ({}, None, False),
        ({}, PUBLIC, False),
    ],
)
def test_only_pages_of_the_server_itself_are_its_own(
    headers: dict[str, str], public_url: str | None, is_own: bool
) -> None:
    assert is_own_page({"host": HOST, **headers}, public_url) is is_own


def test_a_request_without_a_host_is_nobodys() -> None:
    assert not is_own_page({"origin": "null"}, None)
    assert not is_own_page({}, None)


@pytest.mark.parametrize(
    ("scheme", "public_url", "secure"),
    [
        ("http", None, False),
        ("http", "http://pictures.example", False),
        ("http", PUBLIC, True),
        ("https", None, True),
    ],
)
def test_over_https_the_cookie_is_bound_to_the_host(
    scheme: str, public_url: str | None, secure: bool
) -> None:
    assert is_secure(scheme, public_url) is secure
    name = cookie_name(CUSTOMER, secure=secure)
    assert name.startswith("__Host-") is secure
