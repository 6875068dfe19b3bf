"""The database as such: its address, its health, its bounds, and what its failures are called."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ragstream.errors import ConfigError, StorageFull, StorageUnavailable
from ragstream.storage.database import Database
from ragstream.storage.failures import store_error
from ragstream.storage.turns import SQLTurns


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://u:secret@h/d", "postgresql://h:port/d"],
)
def test_an_address_of_another_kind_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match=r"write sqlite:///path/to/file or postgresql://") as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragstream.storage.database.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'ragstream\[postgres\]'"):
        Database("postgresql://localhost/app")


@pytest.mark.parametrize("query", ["sslmode=require", "ssl=require"])
async def test_both_words_for_encryption_are_understood(query: str) -> None:
    database = Database(f"postgresql://ann:secret@localhost:1/app?{query}")
    with pytest.raises(StorageUnavailable) as caught:
        await database.start()
    assert str(caught.value) == "The database app cannot be reached."
    await database.aclose()


async def test_its_health_is_what_it_last_did(database: Database) -> None:
    assert await database.healthy()

    def fail(_: Connection) -> None:
        raise OSError

    with pytest.raises(StorageUnavailable):
        await database.write(fail)
    assert await database.healthy(), "a probe that writes has succeeded"
    await database.aclose()


async def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    def fail(connection: Connection) -> None:
        connection.execute(text("INSERT INTO sessions VALUES ('s', 'o', 'n', 1, 1)"))
        raise LookupError("ours")

    with pytest.raises(LookupError):
        await database.write(fail)
    assert (
        await database.read(lambda connection: connection.scalar(text("SELECT count(*) FROM sessions"))) == 0
    )


async def test_a_fault_of_ours_is_not_called_the_databases(database: Database) -> None:
    with pytest.raises(DBAPIError):
        await database.write(lambda connection: connection.execute(text("INSERT INTO nowhere VALUES (1)")))


async def test_a_cancelled_call_harms_nobody(database: Database, make_turn: Any) -> None:
    turns = SQLTurns(database)
    wanted = [make_turn() for _ in range(60)]
    calls = [asyncio.create_task(turns.open(turn)) for turn in wanted]
    for number, call in enumerate(calls):
        if number % 3:
            call.cancel()
        if number % 7 == 0:
            await asyncio.sleep(0)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {type(None), asyncio.CancelledError}
    stored = {turn.stream_id for turn in await turns.history("s1")}
    assert {
        turn.stream_id for turn, outcome in zip(wanted, outcomes, strict=True) if outcome is None
    } <= stored
    for turn in wanted:  # whoever was cancelled tries again
        await turns.open(turn)
    assert {turn.stream_id for turn in await turns.history("s1")} == {turn.stream_id for turn in wanted}
    assert await database.healthy()


async def test_history_is_one_query_that_uses_an_index(sqlite_url: str, make_turn: Any, ended: Any) -> None:
    database = Database(sqlite_url)
    turns, said = SQLTurns(database), []
    for _ in range(3):
        await turns.close(ended(make_turn()))
    engine: Any = database._engine
    event.listen(engine._engine, "before_cursor_execute", lambda *call: said.append(call[2]))
    assert len(await turns.history("s1")) == 3
    (query,) = said
    plan = await database.read(
        lambda connection: [
            row[3]
            for statement in (query, "SELECT * FROM turns WHERE status = 'streaming'")
            for row in connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {statement}", ("s1", 10, 0)[: statement.count("?")]
            )
        ]
    )
    assert plan[0].startswith("SEARCH turns USING INDEX turns_of_session")
    assert "turns_streaming" in plan[-1]
    await database.aclose()


async def test_synchronous_is_what_was_asked_for(sqlite_url: str) -> None:
    for name, number in (("NORMAL", 1), ("FULL", 2)):
        database = Database(sqlite_url, synchronous=name)  # type: ignore[arg-type]
        for call in (database.read, database.write):
            found = await call(lambda connection: connection.exec_driver_sql("PRAGMA synchronous").scalar())
            assert found == number
        assert await database.read(
            lambda connection: connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        ) == ("wal")
        await database.aclose()


class TestFilesThatCannotServe:
    @staticmethod
    async def _words(path: Path) -> str:
        database = Database(f"sqlite:///{path}")
        with pytest.raises(StorageUnavailable) as caught:
            await database.write(lambda connection: connection.exec_driver_sql("CREATE TABLE t (a)"))
        assert not await database.healthy()
        await database.aclose()
        return str(caught.value)

    async def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        assert "cannot be opened: check that its folder exists" in await self._words(
            tmp_path / "no" / "app.db"
        )

    async def test_a_file_of_another_kind(self, tmp_path: Path) -> None:
        path = tmp_path / "app.db"
        path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
        assert "is not an SQLite database" in await self._words(path)

    async def test_a_damaged_file(self, sqlite_url: str, tmp_path: Path) -> None:
        path = tmp_path / "app.db"
        content = bytearray(path.read_bytes())
        content[100:4096] = b"\xff" * 3996
        path.write_bytes(content)
        assert "is damaged" in await self._words(path)


def _sqlite(code: int) -> OperationalError:
    original = sqlite3.OperationalError("words of SQLite")
    original.sqlite_errorcode = code
    return OperationalError("INSERT secret", {"a": "secret"}, original)


def _postgres(state: str) -> Exception:
    error = Exception("words of PostgreSQL")
    error.sqlstate = state  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (_sqlite(sqlite3.SQLITE_FULL), StorageFull, "is full"),
        (_sqlite(sqlite3.SQLITE_IOERR_WRITE), StorageFull, "is full"),
        (_sqlite(sqlite3.SQLITE_IOERR_SHMSIZE), StorageFull, "is full"),
        (_sqlite(sqlite3.SQLITE_IOERR_READ), StorageUnavailable, "the disk fails"),
        (_sqlite(sqlite3.SQLITE_BUSY), StorageUnavailable, "locked by another program"),
        (_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), StorageUnavailable, "locked by another program"),
        (_sqlite(sqlite3.SQLITE_READONLY_DIRECTORY), StorageUnavailable, "read-only"),
        (_postgres("53100"), StorageFull, "is full"),
        (_postgres("57P01"), StorageUnavailable, "not available"),
        (_postgres("53300"), StorageUnavailable, "not available"),
        (_postgres("28P01"), StorageUnavailable, "user and password"),
        (_postgres("3D000"), StorageUnavailable, "createdb"),
        (_postgres("25006"), StorageUnavailable, "read-only"),
        (PoolTimeout("QueuePool limit"), StorageUnavailable, "every connection is in use"),
        (TimeoutError(), StorageUnavailable, "in time"),
        (ConnectionRefusedError(), StorageUnavailable, "cannot be reached"),
    ],
    ids=str,
)
def test_each_failure_has_its_name_and_says_nothing_of_the_statement(
    error: Exception, kind: type, words: str
) -> None:
    ours = store_error(error, "app.db")
    assert type(ours) is kind
    assert words in str(ours)
    assert "app.db" in str(ours)
    assert "secret" not in str(ours)


@pytest.mark.parametrize("error", [_sqlite(sqlite3.SQLITE_ERROR), _postgres("42P01"), ValueError()], ids=str)
def test_a_fault_of_ours_has_no_other_name(error: Exception) -> None:
    assert store_error(error, "app.db") is None
