"""A database that others hold: calls end in time, nothing is lost, and it goes on without a restart."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ragstream.errors import IdempotencyMismatch, StorageUnavailable
from ragstream.events import EventType, Message, StreamEvent
from ragstream.storage.base import Session, Turn
from ragstream.storage.database import Database
from ragstream.storage.idempotency import SQLIdempotency
from ragstream.storage.migrations import migrate
from ragstream.storage.sessions import SQLSessions
from ragstream.storage.turns import SQLTurns

PROMISED = 5.0  # seconds within which every call ends
PATIENCE = 0.5  # the same for the tests that need not wait so long


def turn(number: int, text: str = "") -> Turn:
    ending = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop") if text else None
    return Turn(
        stream_id=f"stream{number}",
        message_id=f"message{number}",
        session_id="s1",
        owner="ann",
        question=(Message(role="user", content="Why?"),),
        created=float(number),
        status="complete" if text else "streaming",
        text=text,
        ending=ending,
    )


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    await migrate(tmp_path / "app.db")
    return tmp_path / "app.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    database = Database(path, patience=PATIENCE)
    await database.start()
    yield database
    await database.aclose()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the writer's lock, as a backup or a shell in a terminal does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


async def test_a_write_gives_up_within_the_promised_time(path: Path) -> None:
    database = Database(path)
    with locked(path):
        async with asyncio.timeout(PROMISED + 1):  # a lock that is held for 10 seconds
            with pytest.raises(StorageUnavailable, match="locked by another program"):
                await SQLTurns(database).open(turn(1))
    await database.aclose()


async def test_readers_do_not_wait_for_a_writer(path: Path, database: Database) -> None:
    turns = SQLTurns(database)
    await turns.open(turn(1))
    with locked(path):
        assert [found.stream_id for found in await turns.history("s1")] == ["stream1"]


async def test_all_that_queue_for_the_lock_give_up_in_time_and_leave_nothing(
    path: Path, database: Database
) -> None:
    turns = SQLTurns(database)
    with locked(path):
        async with asyncio.timeout(PATIENCE + 1):
            outcomes = await asyncio.gather(
                *(turns.open(turn(number)) for number in range(50)), return_exceptions=True
            )
        assert not await database.healthy()
    assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
    assert await database.healthy()
    await turns.open(turn(50))  # comes after whatever might still be on its way
    assert [found.stream_id for found in await turns.history("s1")] == ["stream50"]


async def test_a_short_lock_is_waited_for(path: Path, database: Database) -> None:
    turns = SQLTurns(database)
    with locked(path):
        opening = asyncio.create_task(turns.open(turn(1)))
        await asyncio.wait({opening}, timeout=PATIENCE / 5)
        assert not opening.done()
    async with asyncio.timeout(PATIENCE):
        await opening
    assert await turns.get("stream1") == turn(1)


CLAIM = """
import asyncio, sys
from ragstream.storage.database import Database
from ragstream.storage.idempotency import SQLIdempotency
from ragstream.storage.turns import SQLTurns

async def main(path, worker):
    database = Database("sqlite:///" + path)
    keys = SQLIdempotency(database)
    sys.stdin.readline()  # all at once
    claims = (keys.claim("ann", "key", "hash", f"{worker}-{number}") for number in range(25))
    print(*await asyncio.gather(*claims))
    await database.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_key_that_four_processes_claim_a_hundred_times_gives_one_stream(
    path: Path, database: Database
) -> None:
    workers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", CLAIM, str(path), str(number)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for number in range(4)
    ]
    async with asyncio.timeout(60):
        said = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
    streams = b" ".join(out for out, _ in said).split()
    assert len(streams) == 100
    assert len(set(streams)) == 1
    with pytest.raises(IdempotencyMismatch):
        await SQLIdempotency(database).claim("ann", "key", "another", "x")


async def test_the_first_of_two_processes_to_close_a_turn_has_said_its_ending(
    path: Path, database: Database
) -> None:
    other = Database(path)
    ours, theirs = SQLTurns(database), SQLTurns(other)
    for number in range(20):
        await ours.open(turn(number))
        await asyncio.gather(ours.close(turn(number, "ours")), theirs.close(turn(number, "theirs")))
        first = await ours.get(f"stream{number}")
        assert first is not None
        assert first.text in ("ours", "theirs")
        await asyncio.gather(ours.close(turn(number, "later")), theirs.close(turn(number, "later")))
        assert await theirs.get(f"stream{number}") == first
    await other.aclose()


async def test_random_cancels_leave_every_turn_whole_or_absent(database: Database) -> None:
    turns, sessions = SQLTurns(database), SQLSessions(database)

    async def life(number: int) -> None:
        await turns.open(turn(number))
        await turns.close(turn(number, "whole"))
        await sessions.rename("s1", "ann", f"name {number}")

    async def stopped_life(number: int) -> None:
        task = asyncio.create_task(life(number))
        for _ in range(number % 40):
            await asyncio.sleep(0)  # a step of the loop further each time, to hit every await
        task.cancel()
        await asyncio.wait({task})

    for start in range(0, 400, 20):
        await asyncio.gather(*(stopped_life(number) for number in range(start, start + 20)))
    for number in range(400):
        stored = await turns.get(f"stream{number}")
        assert stored in (None, turn(number), turn(number, "whole"))
        await turns.close(turn(number, "whole"))  # as the rescue lane does
        assert await turns.get(f"stream{number}") == turn(number, "whole")
    assert len(await turns.history("s1", limit=1000)) == 400
    assert isinstance(await sessions.get("s1", "ann"), Session)
    engine: Any = database._engine
    assert engine._engine.pool.checkedout() == 0
