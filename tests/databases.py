"""Fixtures for whatever must be the same on SQLite and on PostgreSQL."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from photogram.storage.database import Database
from tests.postgres import Cluster
from tests.unit.storage.stocked import Stock, open_stock


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server."""
    with Cluster.running() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with tables and nothing in them."""
    folder = tmp_path_factory.mktemp("template")
    Database.open(sqlite_url(folder)).close()
    return folder / "test.sqlite3"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path: Path
) -> Iterator[str]:
    """A database with tables and nothing in them; each test runs once for each kind."""
    if request.param == "sqlite":
        shutil.copyfile(sqlite_template, tmp_path / "test.sqlite3")
        yield sqlite_url(tmp_path)
        return
    with request.getfixturevalue("postgres").database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(
    request: pytest.FixtureRequest, sqlite_template: Path, tmp_path: Path
) -> Callable[[], AbstractContextManager[str]]:
    """Makes such databases, for a test that needs many."""
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgres")
        return cluster.database

    @contextlib.contextmanager
    def new_file() -> Iterator[str]:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            shutil.copyfile(sqlite_template, Path(folder) / "test.sqlite3")
            yield sqlite_url(Path(folder))

    return new_file


@pytest.fixture
def stock(database_url: str) -> Iterator[Stock]:
    """A customer with a key and a credit, in either kind of database."""
    with open_stock(database_url, amount_micro=1_000_000) as opened:
        yield opened


@pytest.fixture
def breakable_stock(database_url: str) -> Iterator[Stock]:
    """The same, for who leaves the ledger broken."""
    with open_stock(database_url, amount_micro=1_000_000, is_whole=False) as opened:
        yield opened


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'test.sqlite3'}"
