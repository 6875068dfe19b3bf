"""The feeds lane: from a changed source to an advanced knowledge epoch."""

from ragstream.feeds import steps
from ragstream.feeds.base import FailedFile, FileOutcome, IngestStatus, Progress
from ragstream.feeds.board import Board
from ragstream.feeds.ingest import Ingest
from ragstream.feeds.kit import FeedsKit

__all__ = ["MODULES", "Board", "FailedFile", "FeedsKit", "FileOutcome", "Ingest", "IngestStatus", "Progress"]

MODULES = (steps,)
