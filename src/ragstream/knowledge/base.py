"""The knowledge base as its users see it: documents in, passages out."""

from __future__ import annotations

from typing import Protocol

import msgspec

from ragstream.events import Passage

__all__ = ["Document", "KnowledgeBase", "KnowledgeSize", "Retriever"]


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


class Retriever(Protocol):
    """Anything that finds passages for a query."""

    async def retrieve(self, query: str, *, limit: int) -> tuple[Passage, ...]:
        """Return at most ``limit`` passages, best first; none where nothing matches."""
        ...


class KnowledgeBase(Retriever, Protocol):
    """A retriever whose documents can be listed and opened."""

    async def size(self) -> KnowledgeSize: ...
    async def documents(self, *, limit: int = 1000) -> list[Document]: ...
    async def document(self, document_id: str) -> Document | None: ...
    async def text(self, document_id: str) -> str | None: ...
    async def remove(self, document_id: str) -> bool: ...
