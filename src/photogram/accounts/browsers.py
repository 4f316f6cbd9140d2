"""What tells a browser's session apart: the name of its cookie, and whether one of our pages asks.

Headers and hosts go in, plain words and decisions come out. Pure: no session is looked up here, and
no framework is known.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

CUSTOMER: Final = "photogram_session"
OPERATOR: Final = "photogram_operator"
"""Another name, because a cookie reaches every port of its host."""


def is_secure(scheme: str, public_url: str | None) -> bool:
    """Whether browsers reach the server over https, perhaps through a proxy that ends it."""
    return "https" in (scheme, urlsplit(public_url or "").scheme)


def cookie_name(kind: str, *, secure: bool) -> str:
    """The cookie of a session; over https it is bound to this very host.

    Source: RFC 6265bis, section 4.1.3.2 (`__Host-`: Secure, Path=/, no Domain).
    """
    return f"__Host-{kind}" if secure else kind


def is_own_page(headers: Mapping[str, str], public_url: str | None) -> bool:
    """Whether a request comes from a page that this server itself has sent.

    The browser has to say so, for requests that only read as well: in `Sec-Fetch-Site`; where it
    sends none (over plain http to another machine), in `Origin`, or else in `Referer`. Another port
    of the same host is another origin, though cookies reach it.

    Args:
        headers: Of the request, by lower-case name.
        public_url: What clients reach the server under, where that is set.

    Source: https://www.w3.org/TR/fetch-metadata/, section 2.4; the order is that of Go's
    net/http.CrossOriginProtection, which lets more through.
    """
    if (site := headers.get("sec-fetch-site")) is not None:
        return site == "same-origin"
    page = urlsplit(headers.get("origin") or headers.get("referer") or "").netloc
    return bool(page) and page in (headers.get("host"), urlsplit(public_url or "").netloc)
