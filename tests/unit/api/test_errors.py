import pytest

from photogram.api.errors import STATUSES, error_body, status_of
from photogram.core import errors
from photogram.core.errors import ErrorDetail, InvalidRequestError, PhotogramError


def _families() -> list[type[PhotogramError]]:
    found = [PhotogramError]
    for family in found:
        found += family.__subclasses__()
    return found


@pytest.mark.parametrize("family", _families(), ids=lambda family: family.__name__)
def test_every_family_has_a_status_and_words(family: type[PhotogramError]) -> None:
    error = family()
    assert 400 <= status_of(error) <= 504
    assert error.message
    assert "\n" not in error.message


@pytest.mark.parametrize(
    ("family", "status"),
    [
        (errors.InvalidRequestError, 400),
        (errors.AuthenticationError, 401),
        (errors.PermissionDeniedError, 403),
        (errors.NotFoundError, 404),
        (errors.MethodNotAllowedError, 405),
        (errors.InsufficientCreditsError, 406),
        (errors.ConflictError, 409),
        (errors.PayloadTooLargeError, 413),
        (errors.UnsupportedMediaTypeError, 415),
        (errors.RateLimitedError, 429),
        (errors.EngineFailedError, 500),
        (errors.CheckpointError, 500),
        (errors.EngineOverloadedError, 503),
        (errors.StorageError, 503),
        (errors.DeadlineExceededError, 504),
    ],
)
def test_statuses_are_those_of_the_contract(family: type[PhotogramError], status: int) -> None:
    assert status_of(family()) == status


def test_only_missing_credits_are_a_406() -> None:
    assert [family for family, status in STATUSES.items() if status == 406] == [
        errors.InsufficientCreditsError
    ]


def test_details_leave_out_the_limits_that_there_are_not() -> None:
    error = InvalidRequestError("no", details=[ErrorDetail("steps", "too many", min=0, max=50)])
    assert error_body(error, "r1") == {
        "error": "no",
        "code": "invalid_request",
        "request_id": "r1",
        "details": [{"field": "steps", "message": "too many", "min": 0, "max": 50}],
    }
