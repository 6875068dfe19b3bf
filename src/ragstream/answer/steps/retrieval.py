"""What the answer may rest on: passages found, fitted into the prompt, and told to the reader."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import msgspec

from ragstream.answer.citations import CitationWriter
from ragstream.answer.kit import AnswerKit
from ragstream.answer.sentences import sentences
from ragstream.answer.turn import Turn
from ragstream.blueprint import step
from ragstream.errors import RagstreamError, RetrievalFailed
from ragstream.events import EventType, Passage, Source, StreamEvent, encode

__all__ = ["build_context", "retrieve", "source_id"]

_EVENT_LIMIT = 16 * 1024  # bytes of the event that names the sources
_QUOTE_LIMITS = (240, 80, 0)  # characters; the next one where the event would be too large
_NAME_LIMIT = 200  # characters of a title or heading


@step("Retrieve")
async def retrieve(turn: Turn, kit: AnswerKit) -> None:
    """Search for the query."""
    if kit.retriever is None or not turn.search:
        return
    try:
        found = await kit.retriever.retrieve(turn.search, limit=kit.settings.retrieval_limit)
    except RagstreamError:
        raise
    except Exception as error:  # the seam to anybody's retriever
        raise RetrievalFailed("The documents could not be searched; try again later.") from error
    turn.passages = tuple(passage for passage in found if passage.score >= kit.settings.least_score)
    turn.note(found=len(found), passages=len(turn.passages))


@step("BuildContext")
async def build_context(turn: Turn, kit: AnswerKit) -> AsyncGenerator[StreamEvent, None]:
    """Choose what the model sees, and say so before its first word."""
    if kit.retriever is None:
        return
    chosen = _within(turn.passages, kit.settings.context_budget)
    event = _sources_event(chosen)
    turn.context = chosen[: len(event.sources or ())]
    turn.citations = CitationWriter([source.id for source in event.sources or ()])
    turn.note(sources=len(turn.context))
    if turn.context:
        yield event


def source_id(number: int) -> str:
    """Return the id of the passage that the model knows as ``[number]``."""
    return f"s{number}"


def _within(passages: Sequence[Passage], budget: int) -> tuple[Passage, ...]:
    """Return the best passages that fit; a text that two documents share is taken once."""
    chosen: dict[str, Passage] = {}
    for passage in passages:
        if passage.text not in chosen and len(passage.text) <= budget:
            chosen[passage.text] = passage
            budget -= len(passage.text)
    if passages and not chosen:  # each is larger than the whole budget
        best = passages[0]
        return (msgspec.structs.replace(best, text=best.text[:budget], end=best.start + budget),)
    return tuple(chosen.values())


def _sources_event(passages: Sequence[Passage]) -> StreamEvent:
    """Return the event that names as many of the passages as it can hold, with quotes as long as it can."""
    for count in range(len(passages), 0, -1):
        for limit in _QUOTE_LIMITS:
            sources = [_source(number, passage, limit) for number, passage in enumerate(passages[:count], 1)]
            event = StreamEvent(type=EventType.SOURCES, sources=tuple(sources))
            if len(encode(event)) <= _EVENT_LIMIT:
                return event
    return StreamEvent(type=EventType.SOURCES, sources=())


def _source(number: int, passage: Passage, limit: int) -> Source:
    return Source(
        id=source_id(number),
        title=_shortened(passage.title, _NAME_LIMIT),
        uri=passage.uri,
        page=passage.page,
        heading=_shortened(passage.heading, _NAME_LIMIT) if passage.heading else None,
        quote=_quote(passage, limit),
        score=round(passage.score, 4),
        document_id=passage.document_id,
        start=passage.start,
        end=passage.end,
    )


def _quote(passage: Passage, limit: int) -> str:
    beginning = passage.text[: 2 * limit]
    readable = " ".join(sentence.text for sentence in sentences(beginning))
    return _shortened(readable or beginning, limit)


def _shortened(text: str, limit: int) -> str:
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    return text[:limit].rpartition(" ")[0].rstrip(" ,;:") + "…" if limit else ""
