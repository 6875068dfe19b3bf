"""The stream log: every event of every answer, numbered, before any reader sees it."""

from ragstream.streamlog.base import LogStatus, Record, StreamLog, Writer
from ragstream.streamlog.tap import Tap

__all__ = ["LogStatus", "Record", "StreamLog", "Tap", "Writer"]
