"""The knowledge base of one machine: documents in SQLite, a lexical index beside them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ragstream.errors import RagstreamError, StorageUnavailable
from ragstream.events import Passage
from ragstream.knowledge.analyzer import question_terms
from ragstream.knowledge.base import Document, KnowledgeSize, Origin, ParsedDocument
from ragstream.knowledge.blocking import Blocking
from ragstream.knowledge.projection import Projection
from ragstream.knowledge.sqlite import DocumentStore
from ragstream.telemetry import get_logger

__all__ = ["LocalKnowledge"]

_TICK = 1.0  # seconds between two looks at whether the index is behind
_PATIENCE = 30.0  # seconds that catch_up waits for another process that writes to the index
_CANDIDATES = 4  # times as many chunks are looked at as passages are asked for

_log = get_logger(__name__)


class LocalKnowledge:
    """A ``Library`` in a folder: ``knowledge.db`` and ``index``. Several processes may share the folder.

    What another process commits is found by the next question here once that process, or this one's ticking
    task, has brought the index in step.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store = DocumentStore(folder / "knowledge.db")
        self._projection = Projection(self._store, folder / "index")
        self._threads = Blocking()
        self._readers = ThreadPoolExecutor(2, "knowledge-read")
        self._writer = ThreadPoolExecutor(1, "knowledge-write")
        self._indexer = ThreadPoolExecutor(1, "knowledge-index")
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the files, making them where they are missing, and begin to keep the index in step.

        Raises:
            ConfigError: the files were written by another version.
            StorageUnavailable: the folder cannot be written.
        """
        await self._threads.run(self._writer, self._open)
        self._ticking = asyncio.create_task(self._tick(), name="knowledge-index")

    async def aclose(self) -> None:
        """Let what is being stored end, give up what is being indexed, and close the files. Idempotent."""
        self._projection.stop()
        if self._ticking is not None:
            self._ticking.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticking
        for executor in (self._readers, self._writer, self._indexer):
            await asyncio.to_thread(executor.shutdown)
        self._store.close()

    async def retrieve(self, query: str, *, limit: int) -> tuple[Passage, ...]:
        """Return at most ``limit`` passages, best first; none where no word of the query is known.

        A score is between 0 and 1: BM25 over the most that any passage could reach for this query, unknown
        words included. A passage of average length that says each word of the query once scores 0.45, one
        that says them often up to 0.8. Below 0.1 only a small or common part of the query is there: with
        such passages alone the documents hold nothing about it. Equal texts are returned once, and no
        document takes more than half of the places while others match too.

        Raises:
            RetrievalFailed: the index cannot be searched.
            StorageUnavailable: the database does not answer.
        """
        return await self._threads.run(self._readers, self._retrieve, query, limit)

    async def size(self) -> KnowledgeSize:
        """Return how much is known."""
        return await self._threads.run(self._readers, self._store.size)

    async def documents(self, *, limit: int = 1000) -> list[Document]:
        """Return documents by title."""
        return await self._threads.run(self._readers, self._store.documents, limit)

    async def document(self, document_id: str) -> Document | None:
        """Return one document."""
        return await self._threads.run(self._readers, self._store.document, document_id)

    async def text(self, document_id: str) -> str | None:
        """Return a document's whole text, to which the passages' offsets refer."""
        return await self._threads.run(self._readers, self._store.text, document_id)

    async def put(self, origin: Origin, parsed: ParsedDocument) -> Document:
        """Add a document, or replace the one from the same location. ``catch_up`` makes it found."""
        return await self._threads.run(self._writer, self._store.put, origin, parsed)

    async def origins(self) -> dict[str, Origin]:
        """Return where each document comes from, by location."""
        return await self._threads.run(self._readers, self._store.origins)

    async def touch(self, origins: Collection[Origin]) -> None:
        """Note new stamps of files whose content is the same."""
        await self._threads.run(self._writer, self._store.touch, origins)

    async def discard(self, locations: Collection[str]) -> int:
        """Remove the documents from these locations; return how many there were."""
        return await self._threads.run(self._writer, self._store.discard, locations)

    async def remove(self, document_id: str) -> bool:
        """Remove one document; False if there was none."""
        return await self._threads.run(self._writer, self._store.remove, document_id)

    async def catch_up(self) -> bool:
        """Make what was committed before this call visible to ``retrieve``.

        Returns:
            False if another process has kept the index's writer for half a minute: it will be, later.
        """
        deadline = time.monotonic() + _PATIENCE
        while not await self._threads.run(self._indexer, self._projection.catch_up):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    def _open(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageUnavailable(
                f"The folder {self._folder} cannot be made: {error.strerror}."
            ) from error
        self._store.open()

    async def _tick(self) -> None:
        """Bring the index in step each second, or less often where that takes long."""
        while True:
            began = time.monotonic()
            try:
                await self.catch_up()
            except RagstreamError as error:
                _log.warning("the index could not be brought in step", reason=str(error), code=error.code)
            await asyncio.sleep(max(_TICK, 2 * (time.monotonic() - began)))

    def _retrieve(self, query: str, limit: int) -> tuple[Passage, ...]:
        terms = question_terms(query)
        if not terms or limit < 1:
            return ()
        scores = list(self._projection.search(terms, _CANDIDATES * limit).items())
        chosen, over = _spread(self._store.passages(dict(scores[:limit])), limit)
        if len(chosen) < limit < len(scores):  # too much of the same: look further down
            chosen, over = _spread(self._store.passages(dict(scores)), limit)
        chosen = (chosen + over)[:limit]
        return tuple(sorted(chosen, key=lambda passage: -passage.score))


def _spread(found: list[Passage], limit: int) -> tuple[list[Passage], list[Passage]]:
    """Divide passages into those of equal right and those beyond a document's half of the places.

    Of equal texts only the first is there at all.
    """
    share = max(1, limit // 2)
    taken: Counter[str] = Counter()
    chosen: list[Passage] = []
    over: list[Passage] = []
    texts: set[str] = set()
    for passage in found:
        if passage.text not in texts:
            texts.add(passage.text)
            taken[passage.document_id] += 1
            (chosen if taken[passage.document_id] <= share else over).append(passage)
    return chosen, over
