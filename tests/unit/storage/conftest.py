"""The stores, in memory and in both databases, for tests of what all of them promise."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ragstream.events import EventType, Message, StreamEvent
from ragstream.storage.base import Idempotency, Sessions, Turn, Turns
from ragstream.storage.database import Database
from ragstream.storage.idempotency import SQLIdempotency
from ragstream.storage.memory import MemoryIdempotency, MemorySessions, MemoryTurns
from ragstream.storage.migrations import migrate
from ragstream.storage.sessions import SQLSessions
from ragstream.storage.turns import SQLTurns


@dataclass
class Stores:
    sessions: Sessions
    turns: Turns
    idempotency: Idempotency


MakeTurn = Callable[..., Turn]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def make_turn() -> MakeTurn:
    """Return a function that makes turns, each of another stream."""

    def make(session_id: str = "s1", *, owner: str = "ann", question: str = "Why?", **more: Any) -> Turn:
        number = next(_numbers)
        asked: dict[str, Any] = {
            "stream_id": f"stream{number}",
            "message_id": f"message{number}",
            "question": (Message(role="user", content=question),),
            "created": 1000.0 + number,
        }
        return Turn(session_id=session_id, owner=owner, **(asked | more))

    return make


@pytest.fixture(scope="session")
def ended() -> Callable[..., Turn]:
    """Return a function that gives a turn its answer and ending."""

    def end(turn: Turn, text: str = "Because.") -> Turn:
        ending = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop")
        fields = {name: getattr(turn, name) for name in turn.__struct_fields__}
        return Turn(**(fields | {"status": "complete", "text": text, "ending": ending}))

    return end


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "app.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture
def sqlite_url(_template: Path, tmp_path: Path) -> str:
    """The URL of an SQLite database with all tables."""
    return f"sqlite:///{shutil.copy(_template, tmp_path / 'app.db')}"


@pytest.fixture
def empty_postgres_url(postgres: Any) -> str:
    """The URL of a PostgreSQL database without tables."""
    name = f"test{next(_numbers)}"

    async def create() -> None:
        admin = Database(postgres.url())
        await admin.read(lambda connection: connection.exec_driver_sql(f"CREATE DATABASE {name}").close())
        await admin.aclose()

    asyncio.run(create())
    return str(postgres.url(name))


@pytest.fixture
def postgres_url(empty_postgres_url: str) -> str:
    """The URL of a PostgreSQL database with all tables."""
    asyncio.run(migrate(empty_postgres_url))
    return empty_postgres_url


ENGINES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with all tables, of each kind in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with all tables, of each kind in turn."""
    database = Database(database_url)
    await database.start()
    yield database
    await database.aclose()


@pytest.fixture(params=["memory", *ENGINES])
def _kind(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "memory" else str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def stores(_kind: str | None) -> AsyncIterator[Stores]:
    """The stores, in memory and in a database of each kind in turn."""
    if _kind is None:
        sessions = MemorySessions()
        yield Stores(sessions, MemoryTurns(sessions), MemoryIdempotency())
        return
    database = Database(_kind)
    await database.start()
    yield Stores(SQLSessions(database), SQLTurns(database), SQLIdempotency(database))
    await database.aclose()
