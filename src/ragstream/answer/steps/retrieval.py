"""What the answer may rest on: passages found, fitted into the prompt, and told to the reader."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from ragstream.answer.citations import CitationWriter
from ragstream.answer.kit import AnswerKit
from ragstream.answer.passages import found, sources_event, within
from ragstream.answer.turn import Turn
from ragstream.blueprint import step
from ragstream.events import StreamEvent

__all__ = ["build_context", "retrieve"]


@step("Retrieve")
async def retrieve(turn: Turn, kit: AnswerKit) -> None:
    """Search for the query."""
    turn.searched.append(turn.search)
    turn.passages = await found(turn.search, kit)
    turn.note(passages=len(turn.passages))


@step("BuildContext")
async def build_context(turn: Turn, kit: AnswerKit) -> AsyncGenerator[StreamEvent, None]:
    """Choose what the model sees, and say so before its first word."""
    if kit.retriever is None:
        return
    chosen = within(turn.passages, kit.settings.context_budget)
    event = sources_event(chosen, turn.searched)
    sources = event.sources or ()
    turn.context.extend(chosen[: len(sources)])
    turn.citations = CitationWriter([source.id for source in sources])
    turn.note(sources=len(sources))
    if sources:
        yield event
