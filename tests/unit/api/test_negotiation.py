import pytest

from photogram.api.negotiation import Preferences, choose_envelope, read_preferences
from photogram.core.errors import InvalidRequestError

AXIOS = "application/json, text/plain, */*"
BROWSER = "image/avif,image/webp,image/apng,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "one", "several"),
    [
        ([], "image", "json"),
        (["*/*"], "image", "json"),
        ([AXIOS], "image", "json"),
        ([BROWSER], "image", "json"),
        (["image/*"], "image", None),
        (["image/webp"], "image", None),
        (["image/png, image/*;q=0.5"], "image", None),
        (["image/*", "application/json"], "image", "json"),
        (["application/json"], "json", "json"),
        (["application/json; charset=utf-8"], "json", "json"),
        (["Application/JSON"], "json", "json"),
        (["application/*"], "json", "json"),
        (["application/json, text/plain"], "json", "json"),
        (["application/json, */*;q=0"], "json", "json"),
        (["application/json, image/*; q=0.0"], "json", "json"),
        (["application/json;q=0.1, */*"], "image", "json"),
        (["text/html"], "image", "json"),
        (["nonsense;;=,,"], "image", "json"),
        (["image/*;q=0"], "image", "json"),
        (["multipart/mixed"], "multipart", "multipart"),
        (["application/zip"], "zip", "zip"),
        (["text/event-stream"], "events", "events"),
        (["text/event-stream, application/json"], "events", "events"),
        (["application/json, text/event-stream"], "json", "json"),
        (["application/json;q=0.5, text/event-stream"], "events", "events"),
        (["application/zip, */*"], "zip", "zip"),
        (["application/zip;q=0.5, */*"], "image", "json"),
        (["application/zip;q=0, */*"], "image", "json"),
        (["image/*, application/zip;q=0.1"], "image", "zip"),
        (["application/zip;q=x, image/*"], "zip", "zip"),
        (["image/*, application/zip;q=1.5"], "image", "zip"),
        (["application/json, text/event-stream, */*"], "image", "json"),
        (["application/json, application/zip;q=0.5, */*;q=0.1"], "image", "json"),
    ],
)
def test_accept_chooses_the_envelope(accept: list[str], one: str, several: str | None) -> None:
    assert choose_envelope(accept, num_samples=1, wants_base64=False) == one
    if several is None:
        with pytest.raises(InvalidRequestError) as refused:
            choose_envelope(accept, num_samples=2, wants_base64=False)
        assert refused.value.error_code == "multi_sample_needs_container"
    else:
        assert choose_envelope(accept, num_samples=2, wants_base64=False) == several
    assert choose_envelope(accept, num_samples=2, wants_base64=True) == "json"


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ([], Preferences()),
        (["handling=strict"], Preferences(is_strict=True)),
        (["handling=lenient"], Preferences()),
        (["Handling=Strict"], Preferences(is_strict=True)),
        (["wait=10"], Preferences(wait_s=10)),
        (['wait="10"'], Preferences(wait_s=10)),
        (["wait=86400"], Preferences(wait_s=86_400)),
        (["handling=strict, wait=10"], Preferences(is_strict=True, wait_s=10)),
        (["handling=strict", "wait=10; a=b"], Preferences(is_strict=True, wait_s=10)),
        (["respond-async, foo=bar, ,"], Preferences()),
    ],
)
def test_preferences(prefer: list[str], expected: Preferences) -> None:
    assert read_preferences(prefer) == expected


@pytest.mark.parametrize("wait", ["", "0", "-1", "1.5", "soon", "86401", "9" * 5000, "٣"])
def test_a_deadline_that_is_none_is_refused(wait: str) -> None:
    with pytest.raises(InvalidRequestError, match="from 1 to 86400"):
        read_preferences([f"wait={wait}"])
