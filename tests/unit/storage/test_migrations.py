"""The tables: made by migrations, equal to the schema, once, whoever comes first."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from ragstream.errors import ConfigError, StorageUnavailable
from ragstream.storage.database import Database
from ragstream.storage.migrations import migrate
from ragstream.storage.schema import metadata

MIGRATE = (
    "import asyncio, sys; from ragstream.storage.migrations import migrate; asyncio.run(migrate(sys.argv[1]))"
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'app.db'}"
    return str(request.getfixturevalue("empty_postgres_url"))


async def _tables(url: str) -> list[str]:
    database = Database(url)
    found = await database.read(lambda connection: sorted(inspect(connection).get_table_names()))
    await database.aclose()
    return found


async def test_the_migrated_tables_are_those_of_the_schema(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await database.read(differences) == []


async def test_a_second_migration_changes_nothing(database_url: str) -> None:
    before = await _tables(database_url)
    await migrate(database_url)
    assert await _tables(database_url) == before == ["alembic_version", "idempotency", "sessions", "turns"]


async def test_processes_that_migrate_at_once_all_succeed(empty_url: str) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-c", MIGRATE, empty_url, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    async with asyncio.timeout(60):
        said = [(await process.communicate())[1].decode() for process in processes]
    assert said == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4
    assert "turns" in await _tables(empty_url)


async def test_a_database_of_a_newer_version_is_left_alone(database_url: str) -> None:
    database = Database(database_url)
    await database.write(
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9'"))
    )
    await database.aclose()
    with pytest.raises(ConfigError, match="newer version of Ragstream"):
        await migrate(database_url)


async def test_a_migration_that_fails_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LookupError

    monkeypatch.setattr("alembic.op.create_index", fail)
    with pytest.raises(LookupError):
        await migrate(empty_url)
    assert await _tables(empty_url) == []


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="check that its folder exists"):
        await migrate(f"sqlite:///{tmp_path / 'no' / '100% app.db'}")


async def test_a_path_may_have_any_characters(tmp_path: Path) -> None:
    folder = tmp_path / "100%41 mine, é & ü? #1"
    folder.mkdir()
    await migrate(folder / "app.db")
    assert (folder / "app.db").is_file()
