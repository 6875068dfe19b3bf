"""The database: one schema on two engines, reached through ``read`` and ``write``.

What is to be done is a plain function of a connection, one transaction each; where and how it waits is the
engine's matter. Every call ends within ``patience`` seconds, and every failure is a StoreError.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from ragstream.errors import ConfigError, StoreError
from ragstream.storage.failures import store_error
from ragstream.storage.postgres import Postgres
from ragstream.storage.sqlite import SQLite

__all__ = ["Database"]

_T = TypeVar("_T")
_FORMS = "sqlite:///path/to/file or postgresql://user:password@host/name"
_READ_PROBE = text("SELECT 1")
# As bulky as a question may be: a disk that takes a page more is full all the same.
_WRITE_PROBE = text(
    "INSERT INTO idempotency VALUES ('', 'probe', :bulk, '', 0) "
    "ON CONFLICT (owner, key) DO UPDATE SET body_hash = excluded.body_hash"
).bindparams(bulk="x" * 65_536)
_REMOVE_PROBE = text("DELETE FROM idempotency WHERE owner = '' AND key = 'probe'")


class _Engine(Protocol):
    async def read(self, work: Callable[[Connection], _T]) -> _T: ...
    async def write(self, work: Callable[[Connection], _T]) -> _T: ...
    async def aclose(self) -> None: ...


class Database:
    """A database, by its URL.

    Args:
        url: the path of an SQLite file, ``sqlite:///path/to/file`` or ``postgresql://user:password@host/name``.
        synchronous: for SQLite, NORMAL or FULL (safe against a power failure, slower).
        patience: seconds that a call may take, all waiting included.
        connections: for PostgreSQL, how many connections are held at most.

    Raises:
        ConfigError: the URL is of neither kind, or the driver is not installed.
    """

    def __init__(
        self,
        url: str | Path,
        *,
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
        patience: float = 5.0,
        connections: int = 10,
    ) -> None:
        parsed = _parse(url)
        self.name = parsed.database or ""  # without user and password: it stands in messages
        self._engine: _Engine
        if parsed.get_backend_name() == "sqlite":
            self._engine = SQLite(parsed, synchronous=synchronous, patience=patience)
        else:
            self._engine = Postgres(parsed, patience=patience, connections=connections)
        self._write_failed = False

    async def start(self) -> None:
        """Connect once, so that a wrong address is known at the start.

        Raises:
            StoreError: the database cannot be reached.
        """
        await self.read(lambda connection: connection.execute(_READ_PROBE).close())

    async def aclose(self) -> None:
        """Let go of every connection. Idempotent."""
        await self._engine.aclose()

    async def healthy(self) -> bool:
        """Return whether the database answers, and takes writes again if it last refused one."""
        try:
            if self._write_failed:
                await self.write(lambda connection: connection.execute(_WRITE_PROBE).close())
                await self.write(lambda connection: connection.execute(_REMOVE_PROBE).close())
            else:
                await self.start()
        except (StoreError, SQLAlchemyError):  # the latter where the tables have not been made
            return False
        return True

    async def read(self, work: Callable[[Connection], _T]) -> _T:
        """Return what ``work`` reads.

        Raises:
            StoreError: the database did not do it.
        """
        return await self._translated(self._engine.read(work))

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """Do ``work`` in one transaction, which is committed unless it raises.

        Raises:
            StoreError: the database did not do it; where it did not answer in time, it may have.
        """
        try:
            result = await self._translated(self._engine.write(work))
        except StoreError:
            self._write_failed = True
            raise
        self._write_failed = False
        return result

    async def _translated(self, call: Awaitable[_T]) -> _T:
        try:
            return await call
        except Exception as error:
            ours = store_error(error, self.name)
            if ours is None:
                raise
            raise ours from error


def _parse(url: str | Path) -> URL:
    if isinstance(url, Path):
        return URL.create("sqlite", database=str(url))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError(f"The database's URL cannot be read: write {_FORMS}.") from None
    backend = parsed.drivername.partition("+")[0]
    if backend == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed.set(drivername="sqlite")
    if backend in ("postgres", "postgresql"):
        if find_spec("asyncpg") is None:
            raise ConfigError("PostgreSQL needs its driver: pip install 'ragstream[postgres]'.")
        if mode := parsed.query.get("sslmode"):  # libpq's word for what asyncpg calls ssl
            parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
        return parsed.set(drivername="postgresql+asyncpg")
    raise ConfigError(f"The database's URL is of another kind: write {_FORMS}.")
