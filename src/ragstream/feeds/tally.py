"""Count what a run has done, and tell how far it has come."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from ragstream.feeds.base import FailedFile, FileOutcome, IngestStatus, Progress

__all__ = ["Tally"]


@dataclass(slots=True)
class Tally:
    """The counts of one run, from its begin on."""

    progress: Progress | None = None
    files_total: int = 0
    bytes_total: int = 0  # of the files that have to be read
    bytes_done: int = 0
    _files_done: int = 0
    _chunks: int = 0
    _outcomes: Counter[str] = field(default_factory=Counter)
    _failed: list[FailedFile] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _ended: float | None = None

    def note(self, file: FileOutcome, *, among_found: bool = True) -> None:
        """Count what came of a file; ``among_found`` if it is one of ``files_total``."""
        self._outcomes[file.outcome] += 1
        self._files_done += among_found
        self._chunks += file.chunks
        if file.outcome == "failed":
            self._failed.append(FailedFile(file.uri, file.reason))
        if self.progress is not None:
            self.progress(file, self.status())

    def end(self) -> None:
        """The run is over."""
        self._ended = time.monotonic()

    def status(self) -> IngestStatus:
        """Return how far it has come."""
        seconds = (self._ended or time.monotonic()) - self._began
        left = self.bytes_total - self.bytes_done
        return IngestStatus(
            running=self._ended is None,
            files_done=self._files_done,
            files_total=self.files_total,
            chunks=self._chunks,
            added=self._outcomes["added"],
            changed=self._outcomes["changed"],
            unchanged=self._outcomes["unchanged"],
            removed=self._outcomes["removed"],
            failed=tuple(self._failed),
            seconds=seconds,
            eta=seconds * left / self.bytes_done if self.bytes_done and self._ended is None else None,
        )
