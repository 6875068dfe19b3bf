"""The stream log: every event of every answer, numbered, before any reader sees it."""

from ragstream.streamlog.base import LogStatus, Record, StreamLog, Writer

__all__ = ["LogStatus", "Record", "StreamLog", "Writer"]
