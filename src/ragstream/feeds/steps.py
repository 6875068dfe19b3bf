"""The steps of the feeds lane."""

from __future__ import annotations

from ragstream.blueprint import step
from ragstream.feeds.kit import FeedsKit, SourceChange

__all__ = ["epoch_advanced", "index_document", "parse_document", "source_changed"]


@step("SourceChanged")
async def source_changed(change: SourceChange, _kit: FeedsKit) -> None:
    """Take note of what changed."""
    change.note(uri=change.origin.uri, bytes=len(change.data))


@step("ParseDocument")
async def parse_document(change: SourceChange, kit: FeedsKit) -> None:
    """Extract text and metadata, and where to cut it, in a process with limits."""
    change.parsed = await kit.parser.parse(change.name, change.data)
    change.note(media_type=change.parsed.media_type, characters=len(change.parsed.text))


@step("IndexDocument")
async def index_document(change: SourceChange, kit: FeedsKit) -> None:
    """Store the document and its chunks in one transaction; chunks that are the same stay as they are."""
    assert change.parsed is not None  # noqa: S101 - ParseDocument has set it
    change.document = await kit.library.put(change.origin, change.parsed)
    change.note(chunks=change.document.chunks)


@step("EpochAdvanced")
async def epoch_advanced(change: SourceChange, _kit: FeedsKit) -> None:
    """The index follows in its own time, many changes at once: see ``Library.catch_up``."""
    change.note(document_id=change.document.id if change.document else None)
