"""The guide as files, as `make docs` writes it."""

import re
from pathlib import Path

from tools.guide import main


def test_every_address_in_the_files_is_a_file_and_the_reference_is_one(tmp_path: Path) -> None:
    main(tmp_path / "guide")
    pages = sorted((tmp_path / "guide").glob("*.html"))
    assert len(pages) >= 10
    for page in pages:
        for address in re.findall(r'(?:href|src)="([^"#]+)', page.read_text()):
            if not address.startswith("https://"):
                assert (page.parent / address).exists(), f"{page.name}: {address}"

    assert "POST /v1/flux-dev" in (tmp_path / "guide" / "reference.html").read_text()
