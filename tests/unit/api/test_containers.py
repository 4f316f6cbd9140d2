import email.parser
import email.policy
import io
import zipfile

from photogram.api.containers import archive, multipart
from photogram.core.messages import EncodedImage


def picture(seed: int, data: bytes) -> EncodedImage:
    return EncodedImage(seed=seed, width=64, height=64, content_type="image/webp", data=data)


FILES = {
    "flux-dev-7.webp": picture(7, b"RIFF\r\n--\x00\xff\r\n"),
    "flux-dev-8.webp": picture(8, b""),
}


def test_a_mail_reader_finds_the_parts() -> None:
    body = multipart(FILES, "b0undary")
    head = b"Content-Type: multipart/mixed; boundary=b0undary\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    parts = list(message.iter_parts())
    assert message.defects == []
    assert [part.get_content() for part in parts] == [file.data for file in FILES.values()]
    assert [part["X-Seed-Value"] for part in parts] == ["7", "8"]
    assert [part.get_content_type() for part in parts] == ["image/webp", "image/webp"]
    assert [part.get_filename() for part in parts] == ["flux-dev-7.webp", "flux-dev-8.webp"]


def test_a_zip_holds_the_files_as_they_are() -> None:
    with zipfile.ZipFile(io.BytesIO(archive(FILES))) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == {
            name: file.data for name, file in FILES.items()
        }


def test_the_same_files_are_the_same_zip() -> None:
    assert archive(FILES) == archive(dict(FILES))
