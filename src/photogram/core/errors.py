"""Every error that a caller may see: one base, a stable code, a message that is safe to show.

The tree (the API maps each family to one HTTP status, the CLI to one exit code)::

    PhotogramError
    ├── InvalidRequestError           the words of the request are wrong
    │   ├── PayloadTooLargeError
    │   └── UnsupportedMediaTypeError
    ├── AuthenticationError           no key, or not a valid one
    ├── PermissionDeniedError         a valid key without the right
    ├── NotFoundError
    ├── MethodNotAllowedError
    ├── ConflictError
    ├── InsufficientCreditsError
    ├── RateLimitedError              this caller's own limit
    ├── EngineOverloadedError         the server is full, loading or draining
    ├── DeadlineExceededError
    ├── EngineFailedError             the model failed on this request
    ├── StorageError                  the database or the disk refused
    ├── CheckpointError               a model folder that cannot be served
    └── ConfigurationError            a setting that cannot be used
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """One field of a request that is wrong, with its limits."""

    field: str
    message: str
    min: float | None = None
    max: float | None = None
    allowed: tuple[Any, ...] | None = None


class PhotogramError(Exception):
    """The base of all errors that are told to a caller."""

    code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        details: Sequence[ErrorDetail] = (),
        retry_after_s: float | None = None,
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.error_code = code or type(self).code
        self.details = tuple(details)
        self.retry_after_s = retry_after_s
        super().__init__(self.message)


class InvalidRequestError(PhotogramError):
    """The request is not valid."""

    code = "invalid_request"


class PayloadTooLargeError(InvalidRequestError):
    """The request's body is too large."""

    code = "payload_too_large"


class UnsupportedMediaTypeError(InvalidRequestError):
    """The request's body is of a type that cannot be read."""

    code = "unsupported_media_type"


class AuthenticationError(PhotogramError):
    """The API key is not valid."""

    code = "invalid_api_key"


class PermissionDeniedError(PhotogramError):
    """The API key does not have this right."""

    code = "forbidden"


class NotFoundError(PhotogramError):
    """There is nothing here."""

    code = "not_found"


class MethodNotAllowedError(PhotogramError):
    """This path does not answer to that method."""

    code = "method_not_allowed"


class ConflictError(PhotogramError):
    """Something with that name exists already."""

    code = "conflict"


class InsufficientCreditsError(PhotogramError):
    """The account does not hold enough credits."""

    code = "insufficient_credits"


class RateLimitedError(PhotogramError):
    """Too many requests at once with this account."""

    code = "rate_limited"


class EngineOverloadedError(PhotogramError):
    """The queue is full; try again later."""

    code = "queue_full"


class ModelUnavailableError(PhotogramError):
    """The model could not be loaded; nothing was billed."""

    code = "model_unavailable"


class DeadlineExceededError(PhotogramError):
    """The request's deadline passed before its picture was ready; it was not billed."""

    code = "timeout"


class EngineFailedError(PhotogramError):
    """The model failed on this request; it was not billed."""

    code = "inference_failed"


class StorageError(PhotogramError):
    """The server's storage refused the request; nothing was billed."""

    code = "storage_unavailable"


class CheckpointError(PhotogramError):
    """The model folder cannot be served."""

    code = "invalid_checkpoint"


class ConfigurationError(PhotogramError):
    """A setting cannot be used."""

    code = "invalid_configuration"
