"""What every test stands on: an environment that holds no setting of whoever runs it."""

import os

import pytest

pytest_plugins = ["tests.browser", "tests.databases", "tests.npm", "tests.sites"]


@pytest.fixture(autouse=True)
def _clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PHOTOGRAM_"):
            monkeypatch.delenv(name)
