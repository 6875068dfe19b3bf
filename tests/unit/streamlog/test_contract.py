"""Both backends keep the promises of every stream log."""

from __future__ import annotations

from pathlib import Path

from ragstream.streamlog import StreamLog
from ragstream.streamlog.contract import StreamLogContract
from ragstream.streamlog.memory import MemoryLog
from ragstream.streamlog.sqlite import SQLiteLog


class TestMemoryLog(StreamLogContract):
    def make_log(self, place: Path, *, max_bytes: int = 8 * 1024**2) -> StreamLog:
        return MemoryLog(max_bytes=max_bytes)


class TestSQLiteLog(StreamLogContract):
    durable = True

    def make_log(self, place: Path, *, max_bytes: int = 8 * 1024**2) -> StreamLog:
        return SQLiteLog(place / "log.db", max_bytes=max_bytes)
