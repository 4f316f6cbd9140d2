"""Which part of a list is answered: how much at once, and from where."""

from starlette.requests import Request

from photogram.core.errors import ErrorDetail, InvalidRequestError

_DEFAULT = 100
_MAX = 1000
_MAX_CHARACTERS = 200


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


def read_name(request: Request, parameter: str) -> str | None:
    """A name or an id that the query gives; None where it gives none.

    Raises:
        InvalidRequestError: It can be neither: not every database can be asked for everything.
    """
    name = request.query_params.get(parameter)
    if name is None or (len(name) <= _MAX_CHARACTERS and name.isprintable()):
        return name
    message = f"{parameter} must be printable text of at most {_MAX_CHARACTERS} characters"
    raise InvalidRequestError(message, details=[ErrorDetail(parameter, message)])
