"""S101 and S030: the same answer, collected from its log and returned whole."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from starlette.responses import Response

from ragstream.blueprint import step
from ragstream.delivery.beside import race
from ragstream.delivery.exchange import Exchange
from ragstream.delivery.fault import fault_of_ending
from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.protocols.base import Whole
from ragstream.delivery.reader import until_left
from ragstream.errors import ProgrammingError
from ragstream.events import EventType
from ragstream.streamlog.base import Record

__all__ = ["collect_answer", "return_answer"]


@step("CollectAnswer")
async def collect_answer(exchange: Exchange, kit: DeliveryKit) -> None:
    """Read the log to its end, or as far as it goes now; who leaves meanwhile leaves the answer running."""
    if exchange.records is None or exchange.asked is None:
        if exchange.reply is None:
            raise ProgrammingError("only a claimed or found stream can be collected")
        return
    whole = exchange.asked.dialect.whole()
    until = None if exchange.asked.wait else await _so_far(exchange, kit)
    with kit.supervisor.reading(exchange.stream_id, asked=exchange.began):
        kit.metrics.streams.labels(exchange.asked.dialect.name, "whole").inc()
        await race(_apply_all(exchange.records, whole, until), until_left(exchange.receive))
    exchange.collected, answer = whole, whole.answer
    exchange.note(events=answer.seq, ending=answer.ending and answer.ending.type)


@step("ReturnComplete")
async def return_answer(exchange: Exchange, kit: DeliveryKit) -> None:  # noqa: ARG001
    """Return the answer as JSON, or its unhappy ending as a problem with what was said of it."""
    reply = exchange.reply or _reply(exchange)
    reply.headers.update(exchange.ids)
    exchange.note(status=reply.status_code)
    await reply(exchange.scope, exchange.receive, exchange.send)


async def _so_far(exchange: Exchange, kit: DeliveryKit) -> int:
    """Return the seq up to which the log goes; its start is always worth waiting for."""
    status = await kit.log.status(exchange.stream_id)
    return max(1, status.last_seq) if status else 0


async def _apply_all(
    records: AsyncGenerator[tuple[Record, ...], None], whole: Whole, until: int | None
) -> None:
    async with aclosing(records):
        async for batch in records:
            for record in batch:
                whole.apply(record.event)
            if until and batch[-1].seq >= until:
                return


def _reply(exchange: Exchange) -> Response:
    whole, asked = exchange.collected, exchange.asked
    if whole is None or asked is None:
        raise ProgrammingError("only a collected answer can be returned")
    dialect, answer = asked.dialect, whole.answer
    if not dialect.tells_endings:
        if answer.ending is None:
            raise ProgrammingError("an answer that has not ended cannot be told whole")
        if answer.ending.type is not EventType.MESSAGE_COMPLETE:
            ids = {"stream_id": exchange.stream_id, "session_id": exchange.session_id}
            fault = fault_of_ending(answer.ending, text=answer.text, **ids)
            return dialect.problem(fault, request_id=exchange.request_id)
    return Response(
        msgspec.json.encode(whole.body()),
        headers={"cache-control": "no-store"},
        media_type="application/json",
    )
