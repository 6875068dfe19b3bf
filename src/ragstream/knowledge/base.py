"""The knowledge base as its users see it: documents in, passages out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import msgspec

from ragstream.events import Passage

__all__ = [
    "Chunk",
    "Document",
    "DocumentParser",
    "KnowledgeBase",
    "KnowledgeSize",
    "Library",
    "Origin",
    "ParsedDocument",
    "Retriever",
]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document that was read and indexed."""

    id: str
    title: str
    uri: str  # a file's path as it was given, or the name under which it was added
    media_type: str
    content_hash: str  # SHA-256 of the file's bytes, hexadecimal
    characters: int
    chunks: int
    updated: float  # seconds since the epoch


class KnowledgeSize(msgspec.Struct, frozen=True, kw_only=True):
    """How much is known."""

    documents: int
    chunks: int
    epoch: int  # the change number of the last committed change


class Chunk(msgspec.Struct, frozen=True):
    """The piece ``text[start:end]`` of a document; a document's chunks, joined, are its whole text."""

    start: int
    end: int
    page: int | None = None  # counted from 1
    heading: str | None = None  # the headings above it, outermost first, joined by " > "


class ParsedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says."""

    title: str
    media_type: str
    text: str
    chunks: tuple[Chunk, ...]


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a document comes from, and which state of it was read."""

    location: str  # absolute path, or "upload:<name>"; one document each
    uri: str  # what readers are shown
    content_hash: str
    stamp: str = ""  # size and time of the file; "" where it must be read to know whether it changed


class DocumentParser(Protocol):
    """Reads files."""

    endings: frozenset[str]  # of the files that it reads: ".md", ...
    largest: int  # bytes of a file; larger ones are rejected

    async def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Extract the text of a file and cut it; the name's ending says what it claims to be.

        Raises:
            UnsupportedMediaType, TypeMismatch: not read here, or the bytes are not what the ending says.
            DocumentRejected: broken, encrypted, empty or too large.
        """
        ...


class Retriever(Protocol):
    """Anything that finds passages for a query."""

    async def retrieve(self, query: str, *, limit: int) -> tuple[Passage, ...]:
        """Return at most ``limit`` passages, best first; none where nothing matches.

        A passage's score lies between 0 and 1 and can be compared between queries: it is the share of the
        query's weight that the passage carries. See ``LocalKnowledge.retrieve``.
        """
        ...


class KnowledgeBase(Retriever, Protocol):
    """A retriever whose documents can be listed and opened."""

    async def size(self) -> KnowledgeSize: ...
    async def documents(self, *, limit: int = 1000) -> list[Document]: ...
    async def document(self, document_id: str) -> Document | None: ...
    async def text(self, document_id: str) -> str | None: ...
    async def remove(self, document_id: str) -> bool: ...


class Library(KnowledgeBase, Protocol):
    """A knowledge base that takes documents in. Each call that changes something is one transaction."""

    async def put(self, origin: Origin, parsed: ParsedDocument) -> Document: ...  # adds, or replaces
    async def origins(self) -> Mapping[str, Origin]: ...  # by location
    async def touch(self, origins: Collection[Origin]) -> None: ...  # new stamps for the same content
    async def discard(self, locations: Collection[str]) -> int: ...  # how many there were

    async def catch_up(self) -> bool:
        """Make all that was committed before this call visible to ``retrieve``; False: it will be, later."""
        ...
