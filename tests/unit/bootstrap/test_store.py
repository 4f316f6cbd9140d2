import contextlib
from pathlib import Path

import pytest
from pydantic import SecretStr
from pysqlite3 import dbapi2

from photogram.bootstrap.store import open_store
from photogram.core.errors import ConfigurationError, StorageError
from photogram.core.settings import Settings
from photogram.storage.blobs import new_blob_name
from photogram.storage.folder import DataFolder
from tests.postgres import Cluster
from tests.unit.storage.stocked import execute, open_stock

FIRST = Path(__file__).parents[1] / "storage" / "first_schema.sql"


def test_a_server_brings_an_older_sqlite_file_up_to_date(tmp_path: Path) -> None:
    with contextlib.closing(dbapi2.connect(DataFolder(tmp_path).database_path)) as connection:
        connection.executescript(FIRST.read_text())
    settings = Settings(data=tmp_path)
    with pytest.raises(StorageError, match="photogram db upgrade"), open_store(settings):
        pass
    with open_store(settings, is_alone=True) as store:
        assert store.ledger.check().num_open_holds == 2


def test_a_server_refuses_an_older_postgresql(postgres: Cluster, tmp_path: Path) -> None:
    with postgres.database() as url, open_stock(url) as stock:
        stock.database.transact(execute, "UPDATE alembic_version SET version_num = '0001'")
        settings = Settings(data=tmp_path, database_url=SecretStr(url))
        with (
            pytest.raises(StorageError, match="photogram db upgrade"),
            open_store(settings, is_alone=True),
        ):
            pass
        stock.database.transact(execute, "UPDATE alembic_version SET version_num = '0004'")


def test_another_database_does_not_get_the_pictures(postgres: Cluster, tmp_path: Path) -> None:
    """Its first sweep would remove them: it does not know them."""
    name = new_blob_name("png")
    settings = Settings(data=tmp_path / "data")
    with open_store(settings, is_alone=True) as store:
        store.blobs.write({name: b"x"})
    with postgres.database() as url:
        others = (
            Settings(data=tmp_path / "data", database_url=SecretStr(url)),
            Settings(data=tmp_path / "other", results=tmp_path / "data" / "results"),
        )
        for other in others:
            with (
                pytest.raises(ConfigurationError, match=r"/results belongs to the database"),
                open_store(other, is_alone=True),
            ):
                pass
            apart = other.model_copy(update={"results": other.data / "apart"})
            with open_store(apart, is_alone=True) as store:
                assert list(store.blobs.names()) == []
    with open_store(settings, is_alone=True) as store:
        assert store.blobs.read(name) == b"x"
