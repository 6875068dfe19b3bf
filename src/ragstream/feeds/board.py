"""A board: how far the reading of documents has come, told to other processes through a file."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ragstream.feeds.base import IngestStatus

__all__ = ["Board"]


class Board:
    """A file that one process writes and others read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def post(self, status: IngestStatus) -> None:
        """Replace what stands there; a disk that does not take it is no reason to stop reading."""
        new = self._path.with_suffix(".new")
        try:
            new.write_bytes(msgspec.json.encode(status))
            new.replace(self._path)
        except OSError:
            return

    def read(self) -> IngestStatus:
        """Return what was posted last."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=IngestStatus)
        except (OSError, msgspec.MsgspecError):
            return IngestStatus()
