"""Settling: an answer whose process died is ended, so that no reader waits and the history is true."""

from __future__ import annotations

from contextlib import aclosing

import msgspec

from ragstream.delivery.base import Answerer
from ragstream.delivery.supervisor import Supervisor
from ragstream.errors import LeaseLost
from ragstream.events import Answer, EventType, Interrupted, StreamEvent
from ragstream.storage.base import Turns
from ragstream.streamlog.base import LogStatus, StreamLog
from ragstream.telemetry import get_logger

__all__ = ["settle"]

_log = get_logger(__name__)


async def settle(log: StreamLog, turns: Turns, answerer: Answerer, supervisor: Supervisor) -> int:
    """End every answer that has no ending and no producer; return how many there were.

    If the stored turn has an ending, the log gets it; else the turn runs from its lane's rescue node, which
    says ``interrupted``. A question that died before it was stored is only ended.
    """
    settled = 0
    for stream_id in await log.orphans():
        try:
            await _settle_log(stream_id, log, turns, answerer, supervisor)
            settled += 1
        except LeaseLost:  # somebody else was faster
            continue
    settled += await _settle_rows(log, turns)
    if settled:
        _log.warning("answers settled", count=settled)
    return settled


async def _settle_log(
    stream_id: str, log: StreamLog, turns: Turns, answerer: Answerer, supervisor: Supervisor
) -> None:
    status = await log.status(stream_id)
    if status is None:
        return
    turn = await turns.get(stream_id)
    if turn is None:
        await _end_unstored(status, log)
    else:
        await supervisor.settle(answerer.revive(turn, await _said(status, log)))


async def _said(status: LogStatus, log: StreamLog) -> Answer:
    """Return what the log holds, without waiting for more."""
    answer = Answer()
    if status.last_seq:
        async with aclosing(log.read(status.stream_id)) as records:
            async for batch in records:
                for record in batch:
                    answer.apply(record.event)
                if batch[-1].seq >= status.last_seq:
                    break
    return answer


async def _end_unstored(status: LogStatus, log: StreamLog) -> None:
    writer = await log.adopt(status.stream_id)
    interrupted = Interrupted(seq=status.last_seq)
    writer.append(StreamEvent(type=EventType.INTERRUPTED, interrupted=interrupted))
    await writer.flush()
    await writer.close()


async def _settle_rows(log: StreamLog, turns: Turns) -> int:
    """End the turns whose log went with its process, as the memory log does."""
    lost = [turn for turn in await turns.unfinished() if await log.status(turn.stream_id) is None]
    for turn in lost:
        ending = StreamEvent(type=EventType.INTERRUPTED, interrupted=Interrupted(seq=0))
        await turns.close(msgspec.structs.replace(turn, status="interrupted", ending=ending))
    return len(lost)
