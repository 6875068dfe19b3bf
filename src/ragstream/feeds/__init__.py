"""The feeds lane: from a changed source to an advanced knowledge epoch."""

from ragstream.feeds import steps
from ragstream.feeds.base import FailedFile, FileOutcome, IngestStatus, Progress
from ragstream.feeds.ingest import Ingest
from ragstream.feeds.kit import FeedsKit

__all__ = ["MODULES", "FailedFile", "FeedsKit", "FileOutcome", "Ingest", "IngestStatus", "Progress"]

MODULES = (steps,)
