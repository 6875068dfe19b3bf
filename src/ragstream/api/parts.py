"""What the HTTP edge is handed by the composition root."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from ragstream.blueprint import Lane
from ragstream.delivery.kit import DeliveryKit
from ragstream.knowledge.base import Document, KnowledgeBase

__all__ = ["About", "ApiParts", "ApiSettings", "FailedFile", "IngestStatus", "Library"]


class FailedFile(msgspec.Struct, frozen=True):
    """A file that could not be read, and why."""

    uri: str
    reason: str


class IngestStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far the reading of documents has come."""

    running: bool = False
    files_done: int = 0
    files_total: int = 0
    chunks: int = 0
    failed: tuple[FailedFile, ...] = ()


class Library(Protocol):
    """The documents behind the answers."""

    knowledge: KnowledgeBase

    def status(self) -> IngestStatus:
        """Return how far the reading of documents has come."""
        ...

    async def add(self, name: str, content: bytes) -> Document:
        """Read and index one uploaded file.

        Raises:
            BodyTooLarge, TypeMismatch, DocumentRejected: it cannot be taken.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the page needs to know before anything is asked."""

    name: str = "Ragstream"
    version: str
    model: str
    samples: tuple[str, ...] = ()
    auth_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Settings of the HTTP edge."""

    allowed_hosts: tuple[str, ...]
    cors_origins: tuple[str, ...] = ()
    upload_max: int = 50 << 20  # bytes of one uploaded file
    web: Path | None = None  # the folder of the page; None serves no page


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """Everything that the routes use."""

    lane: Lane  # the request lane
    kit: DeliveryKit
    about: About
    settings: ApiSettings
    library: Library | None = None  # None: somebody else's pipeline answers, without documents of ours
    ready: Callable[[], Awaitable[str | None]]  # None when a question can be taken, else what is missing
    metrics: Callable[[], tuple[bytes, str]]  # the exposition and its media type
