"""What one request carries through the layers of the API: its id, its caller and its outcome.

Made by the outermost middleware, filled on the way in, read for headers and the log on the way
out. It travels in the ASGI scope, because middleware, dependencies and routes all see that.
"""

from dataclasses import dataclass
from typing import cast

from starlette.types import Scope

from photogram.accounts.models import Principal
from photogram.api.ratelimit import Allowance

_KEY = "photogram"


@dataclass(slots=True)
class RequestContext:
    """The state of one request.

    Attributes:
        principal: Who asks; None until the key was checked, and on public routes.
        remaining_micro: What the account holds after this request, where that is known already.
        error_code: The code of the error that was answered.
        allowance: What the key may still do, where its requests are counted.
    """

    request_id: str
    principal: Principal | None = None
    remaining_micro: int | None = None
    error_code: str | None = None
    allowance: Allowance | None = None


def open_context(scope: Scope, request_id: str) -> RequestContext:
    """Begin a request."""
    context = RequestContext(request_id)
    scope[_KEY] = context
    return context


def context_of(scope: Scope) -> RequestContext:
    """The request's context."""
    return cast(RequestContext, scope[_KEY])
