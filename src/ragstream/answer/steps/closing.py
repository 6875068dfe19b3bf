"""After the answer is stored: it is counted and told to operators."""

from __future__ import annotations

from ragstream.answer.kit import AnswerKit
from ragstream.answer.steps.ending import status
from ragstream.answer.turn import Turn
from ragstream.blueprint import step

__all__ = ["answer_end", "collect_metrics", "log_complete"]


@step("CollectMetrics")
async def collect_metrics(turn: Turn, kit: AnswerKit) -> None:
    """Count the answer and its tokens."""
    if turn.ending is not None:
        kit.meter.answered(
            model=turn.ending.model or turn.question.model or kit.llm.model,
            status=status(turn.ending),
            usage=turn.ending.usage,
            attempts=len(turn.attempts),
        )


@step("LogComplete")
async def log_complete(turn: Turn, _kit: AnswerKit) -> None:
    """Tell operators how it went; never what was said."""
    ending = turn.ending
    turn.note(
        stream_id=turn.question.stream_id,
        status=status(ending) if ending else None,
        finish_reason=ending.finish_reason if ending else None,
        code=ending.error.code if ending and ending.error else None,
        characters=len(turn.answer.text),
        total_tokens=ending.usage.total_tokens if ending and ending.usage else None,
    )


@step("AnswerEnd")
async def answer_end(_turn: Turn, _kit: AnswerKit) -> None:
    """The engine says the ending next, and nothing after it."""
