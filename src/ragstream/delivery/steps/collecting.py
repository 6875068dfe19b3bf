"""S101 and S030: the same answer, collected from its log and returned whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.responses import Response

from ragstream.blueprint import step
from ragstream.delivery.exchange import Exchange
from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.problem import problem_of_ending
from ragstream.delivery.reader import race, until_left
from ragstream.errors import ProgrammingError
from ragstream.events import Answer, Citation, EventType, Source, Usage
from ragstream.streamlog.base import Record

__all__ = ["ChatResponse", "collect_answer", "return_answer"]


class ChatResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer."""

    session_id: str
    stream_id: str
    message: dict[str, Any]  # role and content
    sources: tuple[Source, ...]
    citations: tuple[Citation, ...]
    finish_reason: str | None
    usage: Usage | None


@step("CollectAnswer")
async def collect_answer(exchange: Exchange, kit: DeliveryKit) -> None:
    """Read the log to its end; who leaves meanwhile leaves the answer running."""
    if exchange.records is None:
        if exchange.reply is None:
            raise ProgrammingError("only a claimed or found stream can be collected")
        return
    answer = Answer()
    with kit.supervisor.reading(exchange.stream_id):
        await race(_apply_all(exchange.records, answer), until_left(exchange.receive))
    exchange.collected = answer
    exchange.note(events=answer.seq, ending=answer.ending and answer.ending.type)


@step("ReturnComplete")
async def return_answer(exchange: Exchange, kit: DeliveryKit) -> None:  # noqa: ARG001
    """Return the answer as JSON, or its unhappy ending as a problem with what was said of it."""
    reply = exchange.reply or _reply(exchange)
    reply.headers["x-stream-id"] = exchange.stream_id
    reply.headers["x-session-id"] = exchange.session_id
    exchange.note(status=reply.status_code)
    await reply(exchange.scope, exchange.receive, exchange.send)


async def _apply_all(records: AsyncGenerator[tuple[Record, ...], None], answer: Answer) -> None:
    async with aclosing(records):
        async for batch in records:
            for record in batch:
                answer.apply(record.event)


def _reply(exchange: Exchange) -> Response:
    answer = exchange.collected
    if answer is None or answer.ending is None:
        raise ProgrammingError("only a collected answer can be returned")
    ids = {"stream_id": exchange.stream_id, "session_id": exchange.session_id}
    if answer.ending.type is not EventType.MESSAGE_COMPLETE:
        return problem_of_ending(answer.ending, request_id=exchange.request_id, text=answer.text, **ids)
    whole = ChatResponse(
        **ids,
        message={"role": "assistant", "content": answer.text},
        sources=answer.sources,
        citations=tuple(answer.citations),
        finish_reason=answer.finish_reason,
        usage=answer.usage,
    )
    return Response(
        msgspec.json.encode(whole),
        headers={"cache-control": "no-store"},
        media_type="application/json",
    )
