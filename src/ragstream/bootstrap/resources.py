"""What is open while a service runs, each as a context that closes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

from ragstream.errors import ConfigError, RagstreamError, StoreError
from ragstream.feeds import Board, Ingest, IngestStatus
from ragstream.knowledge.local import LocalKnowledge
from ragstream.knowledge.parsing import SubprocessParser
from ragstream.llm import Provider
from ragstream.storage.database import Database
from ragstream.storage.migrations import migrate
from ragstream.streamlog._lock import FolderLock
from ragstream.telemetry import get_logger

__all__ = ["connected", "locked", "migrated", "opened", "posting", "reading", "started", "talking"]

_log = get_logger(__name__)
_POST_EVERY = 0.3  # seconds


class _Startable(Protocol):
    async def start(self) -> None: ...
    async def aclose(self) -> None: ...


@asynccontextmanager
async def started(part: _Startable) -> AsyncIterator[None]:
    """Start the part, and close it at the end."""
    await part.start()
    try:
        yield
    finally:
        await part.aclose()


@asynccontextmanager
async def connected(log: _Startable) -> AsyncIterator[None]:
    """Keep a log open that is elsewhere.

    Raises:
        ConfigError: it cannot be reached.
    """
    try:
        await log.start()
    except StoreError as fault:
        raise ConfigError(f"{str(fault).rstrip('.')}. Start it there, or set RAGSTREAM_REDIS_URL.") from fault
    try:
        yield
    finally:
        await log.aclose()


@asynccontextmanager
async def locked(folder: Path) -> AsyncIterator[None]:
    """Keep other servers out of the data folder."""
    lock = FolderLock(folder)
    try:
        yield
    finally:
        lock.release()


@asynccontextmanager
async def posting(ingest: Ingest, board: Board, *, expected: bool) -> AsyncIterator[None]:
    """Post how far the reading of documents has come; ``expected``: there is some to do."""
    board.post(IngestStatus(running=expected))
    task = asyncio.create_task(_post(ingest, board))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _post(ingest: Ingest, board: Board) -> None:
    posted = None
    while True:
        await asyncio.sleep(_POST_EVERY)
        if (status := ingest.status()) != posted:
            board.post(status)
            posted = status


@asynccontextmanager
async def migrated(database: Database, address: str | Path) -> AsyncIterator[None]:
    """Bring the tables up to date, then keep the database open."""
    await migrate(address)
    async with started(database):
        yield


@asynccontextmanager
async def opened(knowledge: LocalKnowledge, parser: SubprocessParser) -> AsyncIterator[None]:
    """Keep the knowledge base and its parser open."""
    async with started(knowledge):
        try:
            yield
        finally:
            await parser.aclose()


@asynccontextmanager
async def talking(providers: Sequence[Provider]) -> AsyncIterator[None]:
    """Close the providers' connections at the end."""
    try:
        yield
    finally:
        for provider in providers:
            await provider.aclose()


@asynccontextmanager
async def reading(ingest: Ingest, paths: Sequence[Path]) -> AsyncIterator[None]:
    """Read the documents beside everything else; what fails is logged, and shown by ``ingest.status()``."""
    task = asyncio.create_task(_read(ingest, paths), name="ingest") if paths else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _read(ingest: Ingest, paths: Sequence[Path]) -> None:
    try:
        status = await ingest.run(paths)
    except RagstreamError as error:
        _log.error("documents not read", code=str(error.code), reason=str(error))
        return
    for failed in status.failed:
        _log.warning("document not read", uri=failed.uri, reason=failed.reason)
    _log.info(
        "documents read",
        added=status.added,
        changed=status.changed,
        unchanged=status.unchanged,
        removed=status.removed,
        failed=len(status.failed),
        seconds=round(status.seconds, 2),
    )
