"""Where sessions and their turns are kept: in memory, or in a database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ragstream.bootstrap.resources import migrated, started
from ragstream.storage.base import Idempotency, Sessions, Turns
from ragstream.storage.memory import MemoryIdempotency, MemorySessions, MemoryTurns

__all__ = ["Stores", "database_stores", "memory_stores"]


async def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The relational stores, and what keeps them open."""

    sessions: Sessions
    turns: Turns
    idempotency: Idempotency
    opened: AbstractAsyncContextManager[None]
    healthy: Callable[[], Awaitable[bool]] = _always


def memory_stores() -> Stores:
    """Return stores that forget at the end of the process."""
    sessions = MemorySessions()
    return Stores(
        sessions=sessions,
        turns=MemoryTurns(sessions),
        idempotency=MemoryIdempotency(),
        opened=nullcontext(),
    )


def database_stores(
    address: str | Path,
    *,
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
    keep_keys: float = 24 * 3600.0,
    migrating: bool = True,
) -> Stores:
    """Return stores in the database at a URL or a file's path.

    Its tables are migrated when it is opened, except by a process whose parent has done that. Idempotency
    keys are remembered for ``keep_keys`` seconds.
    """
    from ragstream.storage.database import Database
    from ragstream.storage.idempotency import SQLIdempotency
    from ragstream.storage.sessions import SQLSessions
    from ragstream.storage.turns import SQLTurns

    database = Database(address, synchronous=synchronous)
    return Stores(
        sessions=SQLSessions(database),
        turns=SQLTurns(database),
        idempotency=SQLIdempotency(database, keep=keep_keys),
        opened=migrated(database, address) if migrating else started(database),
        healthy=database.healthy,
    )
