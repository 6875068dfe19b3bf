"""Bring the knowledge base in step with files, or take in one that was uploaded.

What changed is found the cheap way first: a file with the size and time of before is unchanged; else its
content is hashed, and only where that differs too it goes through the feeds lane. A file that cannot be read
is reported and does not stop the rest; what the knowledge base holds of it from before stays. A run removes
what was below its roots and is there no more: never an upload, never what it could not look at.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from ragstream.blueprint import Lane, run
from ragstream.errors import BodyTooLarge, RequestError
from ragstream.feeds.base import FileOutcome, IngestStatus, Progress
from ragstream.feeds.kit import FeedsKit, SourceChange
from ragstream.feeds.tally import Tally
from ragstream.feeds.uploads import safe_name, upload_location
from ragstream.feeds.walker import Found, SourceFile, find_files
from ragstream.knowledge import Blocking
from ragstream.knowledge.base import Document, Library, Origin

__all__ = ["Ingest"]

_AT_ONCE = 3  # files under way: two being parsed, one being read or stored


class Ingest:
    """Reads documents into a library, one run at a time.

    Args:
        lane: what each file goes through.
        kit: what the lane uses.
        progress: is told of each file.
        told: how far another process has come that does the reading.
    """

    def __init__(
        self,
        lane: Lane,
        kit: FeedsKit,
        *,
        progress: Progress | None = None,
        told: Callable[[], IngestStatus] = IngestStatus,
    ) -> None:
        self._lane = lane
        self._kit = kit
        self._progress = progress
        self._told = told
        self._threads = Blocking()
        self._turn = asyncio.Lock()
        self._tally: Tally | None = None

    @property
    def knowledge(self) -> Library:
        """Where the documents go."""
        return self._kit.library

    def status(self) -> IngestStatus:
        """Return how far the run has come, or how the last one ended."""
        return self._tally.status() if self._tally else self._told()

    async def run(self, roots: Sequence[Path]) -> IngestStatus:
        """Read what is new or changed below the roots, and remove what is there no more.

        What was read stays if the run is cancelled.

        Raises:
            StoreError: the knowledge base cannot be written.
        """
        async with self._turn:
            tally = self._tally = Tally(self._progress)
            try:
                await self._bring_in_step(roots, tally)
            finally:
                tally.end()
        return tally.status()

    async def add(self, name: str, data: bytes) -> Document:
        """Take in an uploaded file; it is found by the next question. The same name again replaces it.

        Raises:
            BodyTooLarge, InvalidField: too large, or without a usable name.
            UnsupportedMediaType, TypeMismatch, DocumentRejected: it cannot be read.
            StoreError: the knowledge base cannot be written.
        """
        self._check_size(len(data))
        name = safe_name(name)
        location = upload_location(name)
        origin = Origin(location=location, uri=location, content_hash=hashlib.sha256(data).hexdigest())
        document = await self._change(origin, name, data)
        await self.knowledge.catch_up()
        return document

    async def _bring_in_step(self, roots: Sequence[Path], tally: Tally) -> None:
        found = await self._threads.run(None, find_files, roots, self._kit.parser.endings)
        known = await self.knowledge.origins()
        tally.files_total = len(found.files)
        for failed in found.failed:
            outcome = FileOutcome(uri=failed.uri, outcome="failed", reason=failed.reason)
            tally.note(outcome, among_found=False)
        to_read = []
        for file in found.files:
            before = known.get(file.location)
            if before and file.stamp and before.stamp == file.stamp:
                tally.note(FileOutcome(uri=file.uri, outcome="unchanged"))
            else:
                to_read.append(file)
        await self._read(to_read, known, tally)
        await self._remove(found, known, tally)
        await self.knowledge.catch_up()

    async def _read(self, files: Sequence[SourceFile], known: Mapping[str, Origin], tally: Tally) -> None:
        tally.bytes_total = sum(file.size for file in files)
        touched: list[Origin] = []
        queue = iter(files)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(self._work(queue, known, touched, tally))
        except ExceptionGroup as failures:  # the first one has ended the others
            raise failures.exceptions[0] from failures
        if touched:
            await self.knowledge.touch(touched)

    async def _work(
        self, queue: Iterator[SourceFile], known: Mapping[str, Origin], touched: list[Origin], tally: Tally
    ) -> None:
        """Take one file after the other from the queue, which others take from too."""
        for file in queue:
            before = known.get(file.location)
            try:
                outcome = await self._take(file, before, touched)
            except RequestError as error:
                outcome = FileOutcome(uri=file.uri, outcome="failed", reason=str(error))
            except OSError as error:
                reason = f"It cannot be read: {error.strerror or error}."
                outcome = FileOutcome(uri=file.uri, outcome="failed", reason=reason)
            tally.bytes_done += file.size
            tally.note(outcome)

    async def _take(self, file: SourceFile, before: Origin | None, touched: list[Origin]) -> FileOutcome:
        self._check_size(file.size)
        data, digest = await self._threads.run(None, _read_and_hash, file.path)
        origin = Origin(location=file.location, uri=file.uri, content_hash=digest, stamp=file.stamp)
        if before and before.content_hash == digest:
            touched.append(origin)
            return FileOutcome(uri=file.uri, outcome="unchanged")
        document = await self._change(origin, PurePath(file.uri).name, data)
        outcome: FileOutcome = FileOutcome(
            uri=file.uri, outcome="changed" if before else "added", chunks=document.chunks
        )
        return outcome

    async def _change(self, origin: Origin, name: str, data: bytes) -> Document:
        change = SourceChange(request_id=secrets.token_hex(8), origin=origin, name=name, data=data)
        await run(self._lane, change, self._kit)
        assert change.document is not None  # noqa: S101 - IndexDocument has set it
        return change.document

    async def _remove(self, found: Found, known: Mapping[str, Origin], tally: Tally) -> None:
        there = {file.location for file in found.files}
        gone = [location for location in known if location not in there and found.covers(location)]
        if gone:
            await self.knowledge.discard(gone)
        for location in gone:
            tally.note(FileOutcome(uri=known[location].uri, outcome="removed"), among_found=False)

    def _check_size(self, size: int) -> None:
        if size > self._kit.parser.largest:
            raise BodyTooLarge(f"The file is larger than the limit of {self._kit.parser.largest} bytes.")


def _read_and_hash(path: Path) -> tuple[bytes, str]:
    data = path.read_bytes()
    return data, hashlib.sha256(data).hexdigest()
