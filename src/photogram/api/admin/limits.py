"""How much a list answers at once."""

from starlette.requests import Request

from photogram.core.errors import ErrorDetail, InvalidRequestError

_DEFAULT = 100
_MAX = 1000


def read_limit(request: Request) -> int:
    """The query's `limit`.

    Raises:
        InvalidRequestError: It is no number in its range.
    """
    words = request.query_params.get("limit", str(_DEFAULT))
    if words.isascii() and words.isdecimal() and len(words) <= len(str(_MAX)):
        limit = int(words)
        if 1 <= limit <= _MAX:
            return limit
    message = f"limit must be a whole number from 1 to {_MAX}"
    raise InvalidRequestError(message, details=[ErrorDetail("limit", message, 1, _MAX)])
