"""The writes that wait for SQLite's writer: they share a transaction, but not each other's faults."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError

from ragstream.errors import NotFound
from ragstream.storage.database import Database

PATIENCE = 20.0  # seconds for anything that a test waits for

Write = Callable[[Connection], Any]


class Bench:
    """A database with a table, and a writer that can be held up."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.statements: list[str] = []  # what SQLite was told, from the first write on
        self.commits = 0
        engine: Any = database._engine
        event.listen(engine._engine, "commit", self._count)

    async def together(self, *writes: Write, cancel: int | None = None) -> list[Any]:
        """Hold the writer up in one write until all others wait; return what became of each of them."""
        held, go_on = threading.Event(), threading.Event()

        def hold(connection: Connection) -> None:
            insert("first")(connection)
            driver: Any = connection.connection.dbapi_connection
            driver.set_trace_callback(self.statements.append)
            held.set()
            assert go_on.wait(PATIENCE)

        first = asyncio.create_task(self.database.write(hold))
        await asyncio.to_thread(held.wait, PATIENCE)
        tasks = [asyncio.create_task(self.database.write(write)) for write in writes]
        await asyncio.sleep(0)
        if cancel is not None:
            tasks[cancel].cancel()
        await asyncio.sleep(0)
        go_on.set()
        outcomes = await asyncio.gather(first, *tasks, return_exceptions=True)
        return outcomes[1:] if outcomes[0] is None else outcomes

    async def names(self) -> list[str]:
        rows = text("SELECT name FROM names ORDER BY rowid")
        return await self.database.read(lambda connection: list(connection.execute(rows).scalars()))

    def _count(self, _: Connection) -> None:
        self.commits += 1


def insert(name: str) -> Write:
    def work(connection: Connection) -> str:
        connection.execute(text("INSERT INTO names VALUES (:name)"), {"name": name})
        return name

    return work


def refuse(connection: Connection) -> None:
    insert("refused")(connection)
    raise NotFound("There is no such session.")


@pytest.fixture
async def bench(sqlite_url: str) -> AsyncIterator[Bench]:
    database = Database(sqlite_url, patience=PATIENCE)
    create = text("CREATE TABLE names (name TEXT UNIQUE)")
    await database.write(lambda connection: connection.execute(create).close())
    yield Bench(database)
    await database.aclose()


async def test_writes_that_wait_are_one_transaction_in_their_order(bench: Bench) -> None:
    wanted = [f"name{number}" for number in range(50)]
    assert await bench.together(*map(insert, wanted)) == wanted
    assert await bench.names() == ["first", *wanted]
    assert bench.commits == 1
    assert sum(said.startswith("SAVEPOINT") for said in bench.statements) == 50


async def test_one_that_fails_takes_no_other_with_it(bench: Bench) -> None:
    one, refused, twice, two = await bench.together(insert("a"), refuse, insert("a"), insert("b"))
    assert (one, two) == ("a", "b")
    assert isinstance(refused, NotFound)
    assert isinstance(twice, IntegrityError)
    assert await bench.names() == ["first", "a", "b"]
    assert bench.commits == 1


async def test_a_commit_that_fails_fails_all_of_them(bench: Bench) -> None:
    def refer(connection: Connection) -> None:
        insert("lost")(connection)
        connection.execute(text("INSERT INTO referring VALUES ('nobody')"))  # noticed at the commit

    def prepare(connection: Connection) -> None:
        connection.execute(
            text("CREATE TABLE referring (name REFERENCES names (name) DEFERRABLE INITIALLY DEFERRED)")
        )
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")

    await bench.database.write(prepare)
    outcomes = await bench.together(insert("a"), refer, refuse, insert("b"))
    assert [type(outcome) for outcome in outcomes] == [
        IntegrityError,  # the first, which held the writer up
        IntegrityError,
        IntegrityError,
        NotFound,
        IntegrityError,
    ]
    assert await bench.names() == []
    assert await bench.database.write(insert("afterwards")) == "afterwards"


async def test_who_fails_first_is_rolled_back_alone(bench: Bench) -> None:
    outcomes = await asyncio.gather(
        *(bench.database.write(write) for write in (refuse, insert("a"), refuse, insert("b"))),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [NotFound, str, NotFound, str]
    assert await bench.names() == ["a", "b"]


async def test_a_write_that_was_cancelled_while_it_waited_is_not_done(bench: Bench) -> None:
    outcomes = await bench.together(insert("a"), insert("b"), insert("c"), cancel=1)
    assert [type(outcome) for outcome in outcomes] == [str, asyncio.CancelledError, str]
    assert await bench.names() == ["first", "a", "c"]


async def test_a_write_whose_statement_undid_the_transaction_fails_all_of_it(bench: Bench) -> None:
    def undo(connection: Connection) -> None:
        connection.execute(text("INSERT OR ROLLBACK INTO names VALUES ('first')"))  # as a full disk may

    outcomes = await bench.together(insert("a"), undo, insert("b"))
    assert [type(outcome) for outcome in outcomes[:3]] == [IntegrityError] * 3
    assert outcomes[3] == "b"
    assert await bench.names() == ["b"]


async def test_a_write_alone_needs_no_savepoint(bench: Bench) -> None:
    await bench.together()
    bench.statements.clear()
    await bench.database.write(insert("alone"))
    said = [statement.split()[0] for statement in bench.statements]
    assert [word for word in said if word != "PRAGMA"] == ["BEGIN", "INSERT", "COMMIT"]
