"""Sessions as cookies: read from requests of the server's own pages alone, set, and taken back.

Whose session it is, and whether it still is one, `accounts.sessions` knows.
"""

from starlette.requests import Request
from starlette.responses import Response

from photogram.accounts.browsers import cookie_name, is_own_page, is_secure
from photogram.accounts.sessions import LIFE, NewSession, SessionService


def session_secret(request: Request, kind: str, public_url: str | None) -> str | None:
    """What the session's cookie holds; a request of anybody else's page has no session.

    Args:
        request: Any.
        kind: `browsers.CUSTOMER` or `browsers.OPERATOR`.
        public_url: What clients reach this listener under, where that is set.
    """
    if not is_own_page(request.headers, public_url):
        return None
    return request.cookies.get(_name(request, kind, public_url))


def set_session(
    request: Request, response: Response, kind: str, public_url: str | None, new: NewSession
) -> None:
    """Have the browser keep a session, out of reach of scripts and of other sites."""
    response.set_cookie(
        _name(request, kind, public_url),
        new.secret,
        max_age=int(LIFE.total_seconds()),
        secure=is_secure(request.url.scheme, public_url),
        httponly=True,
        samesite="strict",
    )


async def end_session(
    request: Request, sessions: SessionService, kind: str, public_url: str | None
) -> Response:
    """End the session that a request belongs to, and have the browser forget it."""
    secret = session_secret(request, kind, public_url)
    if secret is not None:
        await sessions.end(secret)
    response = Response(status_code=204)
    response.delete_cookie(
        _name(request, kind, public_url),
        secure=is_secure(request.url.scheme, public_url),
        httponly=True,
        samesite="strict",
    )
    return response


def _name(request: Request, kind: str, public_url: str | None) -> str:
    return cookie_name(kind, secure=is_secure(request.url.scheme, public_url))
