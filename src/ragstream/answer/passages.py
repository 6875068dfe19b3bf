"""Passages as the model sees them and as readers are told of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from ragstream.answer.kit import AnswerKit
from ragstream.answer.sentences import sentences
from ragstream.errors import RagstreamError, RetrievalFailed
from ragstream.events import EventType, Passage, Source, StreamEvent, encode

__all__ = ["fenced", "found", "source_id", "sources_event", "within"]

_EVENT_LIMIT = 16 * 1024  # bytes of the event that names the sources
_QUOTE_LIMITS = (240, 80, 0)  # characters; the next one where the event would be too large
_QUOTES_KEPT = 1024  # about a megabyte
_NAME_LIMIT = 200  # characters of a title or heading
_FENCE = re.compile(r"<(?=/?\s*passage)", re.IGNORECASE)


async def found(query: str, kit: AnswerKit) -> tuple[Passage, ...]:
    """Search for the query; what hardly matches is left out.

    Raises:
        RetrievalFailed: the retriever did; or whatever error of ours it raised.
    """
    if kit.retriever is None or not query:
        return ()
    try:
        passages = await kit.retriever.retrieve(query, limit=kit.settings.retrieval_limit)
    except RagstreamError:
        raise
    except Exception as error:  # the seam to anybody's retriever
        raise RetrievalFailed("The documents could not be searched; try again later.") from error
    return tuple(passage for passage in passages if passage.score >= kit.settings.least_score)


def within(passages: Sequence[Passage], budget: int) -> tuple[Passage, ...]:
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


def fenced(number: int, passage: Passage) -> str:
    """Return the passage as the model reads it, unable to be mistaken for anything else."""
    place = [passage.title, passage.heading or "", f"page {passage.page}" if passage.page else ""]
    head = " / ".join(" ".join(part.split()) for part in place if part)
    return f"<passage number={number}>\n{_inert(head)}\n\n{_inert(passage.text)}\n</passage>"


def source_id(number: int) -> str:
    """Return the id of the passage that the model knows as ``[number]``."""
    return f"s{number}"


def sources_event(passages: Sequence[Passage], queries: Sequence[str] = ()) -> StreamEvent:
    """Return the event that names as many of the passages as it can hold, with quotes as long as it can.

    What they were searched for is said where there is room left: it never costs a passage.
    """
    event = _sources_event(passages)
    told = msgspec.structs.replace(event, queries=tuple(queries) or None)
    return told if len(encode(told)) <= _EVENT_LIMIT else event


def _sources_event(passages: Sequence[Passage]) -> StreamEvent:
    for count in range(len(passages), 0, -1):
        for limit in _QUOTE_LIMITS:
            sources = [_source(number, passage, limit) for number, passage in enumerate(passages[:count], 1)]
            event = StreamEvent(type=EventType.SOURCES, sources=tuple(sources))
            if len(encode(event)) <= _EVENT_LIMIT:
                return event
    return StreamEvent(type=EventType.SOURCES, sources=())


def _inert(text: str) -> str:
    """Return the text unable to end its passage, or to begin another one."""
    return _FENCE.sub("&lt;", text)


def _source(number: int, passage: Passage, limit: int) -> Source:
    return Source(
        id=source_id(number),
        title=_shortened(passage.title, _NAME_LIMIT),
        uri=passage.uri,
        page=passage.page,
        heading=_shortened(passage.heading, _NAME_LIMIT) if passage.heading else None,
        quote=_quote(passage.text[: 2 * limit], limit),
        score=round(passage.score, 4),
        document_id=passage.document_id,
        start=passage.start,
        end=passage.end,
    )


@lru_cache(_QUOTES_KEPT)  # a team's questions find the same passages again
def _quote(beginning: str, limit: int) -> str:
    readable = " ".join(sentence.text for sentence in sentences(beginning))
    return _shortened(readable or beginning, limit)


def _shortened(text: str, limit: int) -> str:
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    return text[:limit].rpartition(" ")[0].rstrip(" ,;:") + "…" if limit else ""
