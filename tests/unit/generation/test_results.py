import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from photogram.core import clock
from photogram.core.errors import NotFoundError, StorageError
from photogram.core.messages import EncodedImage
from photogram.generation.results import Results
from photogram.storage.blobs import BlobFolder


def _image(seed: int, data: bytes, content_type: str = "image/png") -> EncodedImage:
    return EncodedImage(seed=seed, width=64, height=48, content_type=content_type, data=data)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(BlobFolder(tmp_path), timedelta(hours=24))


async def test_pictures_come_back_as_they_went(results: Results) -> None:
    images = (_image(7, b"seven"), _image(8, b"", "image/webp"))
    stored = await results.store(images)
    assert await results.load(stored) == images
    assert [each.number for each in stored] == [0, 1]
    assert stored[0].sha256 == hashlib.sha256(b"seven").hexdigest()
    assert stored[0].size_bytes == 5
    assert stored[0].file_name.endswith(".png")
    assert stored[1].file_name.endswith(".webp")


async def test_they_are_kept_for_their_life(results: Results) -> None:
    (stored,) = await results.store([_image(1, b"x")])
    left = stored.expires_at - clock.now()
    assert timedelta(hours=23) < left <= timedelta(hours=24)


async def test_what_is_discarded_is_gone_and_may_be_discarded_again(results: Results) -> None:
    stored = await results.store([_image(1, b"x"), _image(2, b"y")])
    await results.discard(stored[:1])
    await results.discard(stored[:1])
    with pytest.raises(NotFoundError):
        await results.load(stored)
    assert (await results.load(stored[1:]))[0].data == b"y"


async def test_a_folder_that_is_gone_is_told_in_words(tmp_path: Path) -> None:
    results = Results(BlobFolder(tmp_path / "none"), timedelta(hours=24))
    with pytest.raises(StorageError, match="disk refused") as refused:
        await results.store([_image(1, b"x")])
    assert str(tmp_path) not in refused.value.message
    with pytest.raises(StorageError):
        results.check_space()
