"""What is asked: the conversation, its newest question, and a query that stands on its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from ragstream.answer.citations import without_markers
from ragstream.answer.kit import AnswerKit
from ragstream.answer.route import preferred
from ragstream.answer.turn import Turn
from ragstream.answer.words import carried_over
from ragstream.blueprint import step
from ragstream.errors import ProviderError
from ragstream.events import Message
from ragstream.llm.base import ChatRequest
from ragstream.llm.policy import check_budget
from ragstream.storage import base as storage
from ragstream.storage.replacing import before, standing

__all__ = ["extract_query", "rewrite_query"]

_LONGEST_QUERY = 1_000  # characters; what comes beyond tells a search nothing
_LONGEST_REWRITE = 300  # characters; a model that writes more is answering
_INSTRUCTING = ("system", "developer")
_LOOKED_BACK = 200  # turns that may have come after the one that is answered again
_RECENT = 6  # messages that a follow-up may lean on
_INSTRUCTION = (
    "Rewrite the last question of the conversation as one search query that can be understood without the "
    "conversation: replace every word that points back by what it stands for. Keep its language. Answer with "
    "the query alone."
)


@step("ExtractQuery")
async def extract_query(turn: Turn, kit: AnswerKit) -> None:
    """Put the conversation together and find the question in it.

    Instructions are the request's own: those of earlier ones are not recalled, and new ones stand first.
    """
    turn.conversation = turn.question.messages
    if turn.question.recalls:
        earlier = _recalled(await _rows(turn, kit), kit.settings.history_budget)
        told = [message for message in turn.question.messages if message.role in _INSTRUCTING]
        turn.conversation = (*told, *earlier, *_said(turn.question.messages))
    turn.query = turn.search = next(reversed(_questions(turn.conversation)), "")[:_LONGEST_QUERY]
    turn.note(messages=len(turn.conversation))


@step("RewriteQuery")
async def rewrite_query(turn: Turn, kit: AnswerKit) -> None:
    """Make a follow-up a query that finds what it means; a first question is one already."""
    questions = _questions(turn.conversation)
    if kit.retriever is None or kit.settings.follow_ups == "off" or len(questions) < 2:
        return
    rewritten = await _rewritten(turn, kit) if kit.settings.follow_ups == "model" else ""
    turn.search = (rewritten or carried_over(questions))[:_LONGEST_QUERY]
    turn.note(rewritten=turn.search != turn.query)


async def _rows(turn: Turn, kit: AnswerKit) -> list[storage.Turn]:
    """Return the newest earlier turns: of several versions one, of the present question none."""
    question, limit = turn.question, kit.settings.history_limit
    looked_back = max(limit, _LOOKED_BACK) if question.replaces else limit
    rows = await kit.turns.history(question.session_id, limit=looked_back)
    earlier = standing(before(rows, question.replaces) if question.replaces else rows)
    return earlier[max(0, len(earlier) - limit) :]


def _said(messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages if message.role not in _INSTRUCTING]


def _questions(conversation: Sequence[Message]) -> list[str]:
    return [message.text.strip() for message in conversation if message.role == "user"]


def _recalled(rows: Sequence[storage.Turn], budget: int) -> list[Message]:
    """Return the newest earlier turns within the budget.

    A question that got no answer is left out: many models accept a question only after an answer.
    """
    recalled: list[Message] = []
    for row in reversed(rows):
        if not row.text:
            continue
        budget -= len(row.text) + sum(len(message.text) for message in row.question)
        if budget < 0:
            break
        said = without_markers(row.text, row.citations)  # they cite passages that are not in this prompt
        recalled[:0] = [*_said(row.question), Message(role="assistant", content=said)]
    return recalled


async def _rewritten(turn: Turn, kit: AnswerKit) -> str:
    """Ask the model for the query; "" where it fails, hesitates, answers instead, or costs too much."""
    recent = [message for message in turn.conversation if message.role in ("user", "assistant")][-_RECENT:]
    told = "\n".join(f"{message.role}: {message.text}" for message in recent)
    request = ChatRequest(
        messages=(Message(role="system", content=_INSTRUCTION), Message(role="user", content=told)),
        model=turn.question.model,
        session_id=turn.question.session_id,
    )
    provider = preferred(kit.llm.providers, turn.question.model)
    if check_budget(kit.llm.estimate(provider, request), (), kit.llm.budget) == "no":
        return ""
    written = ""
    try:
        async with (
            asyncio.timeout(kit.settings.rewrite_seconds),
            aclosing(kit.llm.attempt(provider, request)) as events,
        ):
            async for event in events:
                if event.text_delta:
                    written += event.text_delta.content
                if event.usage:
                    turn.usages.append(event.usage)
                if len(written) > _LONGEST_REWRITE:
                    return ""
    except (ProviderError, TimeoutError) as error:
        turn.note(rewrite_failed=type(error).__name__)
        return ""
    return " ".join(written.split()).strip("\"' ")
