"""What is told about the reading of documents while it runs and when it is over."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

__all__ = ["FailedFile", "FileOutcome", "IngestStatus", "Progress"]


class FailedFile(msgspec.Struct, frozen=True):
    """A file or folder that could not be read, and why."""

    uri: str
    reason: str


class FileOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one file."""

    uri: str
    outcome: Literal["added", "changed", "unchanged", "removed", "failed"]
    chunks: int = 0
    reason: str = ""


class IngestStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far it has come. At the end it is the report."""

    running: bool = False
    files_done: int = 0
    files_total: int = 0
    chunks: int = 0  # of the files that were read
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: tuple[FailedFile, ...] = ()
    seconds: float = 0.0  # since it began
    eta: float | None = None  # seconds to go, by the bytes still to read; None while that is unknown

    @property
    def rate(self) -> float:
        """Chunks per second so far."""
        return self.chunks / self.seconds if self.seconds else 0.0


class Progress(Protocol):
    """Is told of each file once it is done with, in the event loop: it must not block."""

    def __call__(self, file: FileOutcome, status: IngestStatus) -> None: ...
