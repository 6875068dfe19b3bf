"""PostgreSQL over asyncpg: a transaction holds one connection of the pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

__all__ = ["Postgres"]

_T = TypeVar("_T")


class Postgres:
    """An engine over a server.

    Args:
        url: of driver ``postgresql+asyncpg``.
        patience: seconds after which a call gives up, waiting for a connection or a lock included.
        connections: how many connections this process holds at most.
    """

    def __init__(self, url: URL, *, patience: float, connections: int) -> None:
        self._engine = create_async_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=patience,
            pool_pre_ping=True,  # after a restart of the server nobody gets a dead connection
            hide_parameters=True,
        )
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._patience = patience

    async def read(self, work: Callable[[Connection], _T]) -> _T:
        """Run ``work`` outside of a transaction."""
        async with asyncio.timeout(self._patience), self._reading.connect() as connection:
            return await connection.run_sync(work)

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """Run ``work`` in a transaction."""
        async with asyncio.timeout(self._patience), self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._engine.dispose()
