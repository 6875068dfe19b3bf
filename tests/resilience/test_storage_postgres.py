"""PostgreSQL that dies, comes back, or is all in use."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, text

from ragstream.errors import StorageUnavailable
from ragstream.events import Message
from ragstream.storage.base import Turn
from ragstream.storage.database import Database
from ragstream.storage.migrations import migrate
from ragstream.storage.turns import SQLTurns

pytestmark = pytest.mark.postgres

PROMISED = 5.0  # seconds within which every call ends
CONNECTIONS = 4


def turn(number: int) -> Turn:
    return Turn(
        stream_id=f"stream{number}",
        message_id=f"message{number}",
        session_id="s1",
        owner="ann",
        question=(Message(role="user", content="Why?"),),
        created=float(number),
    )


@pytest.fixture
async def url(postgres: Any) -> str:
    name = f"test_{uuid.uuid4().hex}"
    admin = Database(postgres.url())
    await admin.read(lambda connection: connection.exec_driver_sql(f"CREATE DATABASE {name}").close())
    await admin.aclose()
    await migrate(postgres.url(name))
    return str(postgres.url(name))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url, connections=CONNECTIONS, patience=1.0)
    await database.start()
    yield database
    await database.aclose()


async def test_what_was_committed_outlives_the_death_of_the_server(postgres: Any, database: Database) -> None:
    turns, committed, failed = SQLTurns(database), [], []
    dying = asyncio.Event()

    async def ask(first: int) -> None:
        for number in range(first, first + 400):
            try:
                await turns.open(turn(number))
                committed.append(f"stream{number}")
            except StorageUnavailable:
                failed.append(number)
                return
            if len(committed) > 40:
                dying.set()

    asking = [asyncio.create_task(ask(first)) for first in range(0, 8 * 400, 400)]
    async with asyncio.timeout(30):
        await dying.wait()
        await asyncio.to_thread(postgres.stop, "immediate")
        try:
            await asyncio.gather(*asking)
            assert failed
            assert not await database.healthy()
        finally:
            await asyncio.to_thread(postgres.start)
    assert await database.healthy(), "it goes on without a restart of ours"
    stored = [found.stream_id for found in await turns.history("s1", limit=10_000)]
    assert set(committed) <= set(stored)
    assert len(stored) == len(set(stored))
    for number in failed:  # whoever was told that it failed tries again
        await turns.open(turn(number))


async def test_a_restart_between_two_questions_is_not_noticed(postgres: Any, database: Database) -> None:
    turns = SQLTurns(database)
    await asyncio.gather(*(turns.open(turn(number)) for number in range(20)))
    await asyncio.to_thread(postgres.stop, "fast")
    await asyncio.to_thread(postgres.start)
    await asyncio.gather(*(turns.open(turn(number)) for number in range(20, 40)))
    assert len(await turns.history("s1")) == 40


async def test_a_call_waits_for_a_connection_no_longer_than_promised(url: str) -> None:
    database = Database(url, connections=1)
    async with database._engine._engine.connect(), asyncio.timeout(PROMISED + 1):  # type: ignore[attr-defined]
        with pytest.raises(StorageUnavailable):
            await SQLTurns(database).open(turn(1))
    await SQLTurns(database).open(turn(2))
    await database.aclose()


async def test_a_call_that_takes_too_long_gives_up(database: Database) -> None:
    def sleep(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(30)"))

    async with asyncio.timeout(PROMISED + 1):
        with pytest.raises(StorageUnavailable, match="did not answer in time"):
            await database.read(sleep)
    await SQLTurns(database).open(turn(2))


async def test_every_connection_comes_back_after_calls_that_gave_up(database: Database, url: str) -> None:
    turns, other = SQLTurns(database), Database(url)
    locked, done = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with other._engine._engine.begin() as connection:  # type: ignore[attr-defined]
            await connection.execute(text("LOCK TABLE turns"))
            locked.set()
            await done.wait()

    holding = asyncio.create_task(hold())
    await locked.wait()
    async with asyncio.timeout(PROMISED + 1):
        calls = (turns.open(turn(number)) for number in range(3 * CONNECTIONS))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
    done.set()
    await holding
    await asyncio.gather(*(turns.open(turn(number)) for number in range(100, 140)))
    assert [found.stream_id for found in await turns.history("s1")] == [
        found.stream_id for found in await turns.unfinished()
    ]
    assert {f"stream{number}" for number in range(100, 140)} == {
        found.stream_id for found in await turns.history("s1")
    }
    pool = database._engine._engine.pool  # type: ignore[attr-defined]
    assert pool.checkedout() == 0
    assert pool.size() == CONNECTIONS
    await other.aclose()


async def test_random_cancels_mix_nothing_up(database: Database) -> None:
    """Each caller reads what is its own, whatever became of the calls before it on the same connection."""

    def read(number: int) -> Any:
        return database.read(
            lambda connection: connection.scalar(text("SELECT CAST(:n AS integer)"), {"n": number})
        )

    calls = [asyncio.create_task(read(number)) for number in range(300)]
    for number, call in enumerate(calls):
        if number % 3:
            for _ in range(number % 11):
                await asyncio.sleep(0)
            call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    values = [(number, value) for number, value in enumerate(outcomes) if isinstance(value, int)]
    assert len(values) >= 100
    assert all(number == value for number, value in values)
    assert await asyncio.gather(*(read(number) for number in range(50))) == list(range(50))
    assert database._engine._engine.pool.checkedout() == 0  # type: ignore[attr-defined]
