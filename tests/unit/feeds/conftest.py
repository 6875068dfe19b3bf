"""A reader of documents on real parts, and a folder to read."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ragstream.blueprint import Lane, bind, load_diagram
from ragstream.feeds import MODULES, FeedsKit, FileOutcome, Ingest, IngestStatus
from ragstream.knowledge import LocalKnowledge, ParsedDocument, SubprocessParser

Write = Callable[[str, str | bytes], Path]


class CountingParser:
    """The real parser, and what went through it."""

    def __init__(self) -> None:
        self._parser = SubprocessParser(workers=2)
        self.endings = self._parser.endings
        self.largest = self._parser.largest
        self.names: list[str] = []

    async def parse(self, name: str, data: bytes) -> ParsedDocument:
        self.names.append(name)
        return await self._parser.parse(name, data)

    async def aclose(self) -> None:
        await self._parser.aclose()


class Told:
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.files: list[FileOutcome] = []
        self.statuses: list[IngestStatus] = []

    def __call__(self, file: FileOutcome, status: IngestStatus) -> None:
        self.files.append(file)
        self.statuses.append(status)


@pytest.fixture(scope="session")
def lane() -> Lane:
    """The feeds lane alone, as the project's diagram draws it."""
    diagram = load_diagram()
    feeds = tuple(track for track in diagram.tracks if track.name == "feeds")
    return bind(replace(diagram, tracks=feeds), MODULES).lane("feeds")


@pytest.fixture
async def parser() -> AsyncIterator[CountingParser]:
    made = CountingParser()
    yield made
    await made.aclose()


@pytest.fixture
async def knowledge(tmp_path: Path) -> AsyncIterator[LocalKnowledge]:
    opened = LocalKnowledge(tmp_path / "data")
    await opened.start()
    yield opened
    await opened.aclose()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def ingest(lane: Lane, parser: CountingParser, knowledge: LocalKnowledge, told: Told) -> Ingest:
    return Ingest(lane, FeedsKit(parser=parser, library=knowledge), progress=told)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


@pytest.fixture
def write(docs: Path) -> Write:
    """Return what writes a file that was last changed a minute ago."""

    def make(name: str, content: str | bytes = "some text") -> Path:
        path = docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        earlier = time.time() - 60
        os.utime(path, (earlier, earlier))
        return path

    return make
