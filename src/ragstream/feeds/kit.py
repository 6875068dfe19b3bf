"""What the feeds lane uses, and what it shares along its way."""

from __future__ import annotations

from dataclasses import dataclass

from ragstream.blueprint import State
from ragstream.knowledge.base import Document, DocumentParser, Library, Origin, ParsedDocument

__all__ = ["FeedsKit", "SourceChange"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedsKit:
    """The parts behind the lane's steps."""

    parser: DocumentParser
    library: Library


@dataclass(slots=True, kw_only=True)
class SourceChange(State):
    """One file that is new or has changed."""

    origin: Origin
    name: str  # its ending says what it claims to be
    data: bytes
    parsed: ParsedDocument | None = None
    document: Document | None = None
