"""Settling: an answer whose process died is ended, so that no reader waits and the history is true."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from time import monotonic

import msgspec

from ragstream.delivery.base import Answerer
from ragstream.delivery.supervisor import Supervisor
from ragstream.errors import LeaseLost, NotFound, ProducerDied, StoreError
from ragstream.events import Answer, EventType, Interrupted, MessageStart, StreamEvent
from ragstream.storage.base import Turn, Turns
from ragstream.streamlog.base import StreamLog, Writer
from ragstream.telemetry import get_logger

__all__ = ["Settler"]

_log = get_logger(__name__)
_EVERY = 2.0  # seconds between two looks
_INTERRUPTED = StreamEvent(type=EventType.INTERRUPTED, interrupted=Interrupted(seq=0))


class Settler:
    """Ends every answer that has no ending and no producer.

    Such are the answers of a process that died, and those whose log failed in their middle.

    Args:
        log: where orphans are found.
        turns: where answers without an ending are found.
        answerer: ends them.
        supervisor: pulls what the answerer says.
        lost_after: seconds for which a log must have been missing before its answer is ended: where the
            store of a living process forgets it, that process makes it anew.
    """

    def __init__(
        self,
        log: StreamLog,
        turns: Turns,
        answerer: Answerer,
        supervisor: Supervisor,
        *,
        lost_after: float = 0.0,
    ) -> None:
        self._log = log
        self._turns = turns
        self._answerer = answerer
        self._supervisor = supervisor
        self._lost_after = lost_after
        self._missing: dict[str, float] = {}  # answers whose log is not there, since when

    async def settle(self) -> None:
        """End what an earlier process left.

        If the stored turn has an ending, the log gets it; else the turn runs from its lane's rescue node,
        which says ``interrupted``. A question that died before it was stored is only ended.

        Raises:
            StoreError: a store does not do it.
        """
        settled = await self._settle_logs() + await self._settle_rows()
        if settled:
            _log.warning("answers settled", count=settled)

    async def watch(self) -> None:
        """End what a failing store leaves behind, once it works again; for ever."""
        while True:
            await asyncio.sleep(_EVERY)
            try:
                if settled := await self._settle_logs() + await self._settle_rows():
                    _log.warning("answers settled", count=settled)
            except StoreError as fault:
                _log.warning("answers not settled yet", code=fault.code, error=str(fault))
            except Exception:  # noqa: BLE001 - the boundary of a task that must go on
                _log.exception("answers not settled")

    async def _settle_logs(self) -> int:
        settled = 0
        for stream_id in await self._log.orphans():
            try:
                writer = await self._log.adopt(stream_id)
            except (LeaseLost, NotFound):  # somebody else was faster, or deleted it
                continue
            try:
                await self._end(stream_id, writer)
            finally:
                await writer.close()
            settled += 1
        return settled

    async def _end(self, stream_id: str, writer: Writer) -> None:
        said = await self._said(stream_id)
        turn = await self._turns.get(stream_id)
        if turn is not None:
            await self._supervisor.settle(self._answerer.revive(turn, said), writer)
            return
        if said.start is None:
            writer.append(_nameless_start(stream_id, self._answerer.model))
        interrupted = Interrupted(seq=said.seq)
        writer.append(StreamEvent(type=EventType.INTERRUPTED, interrupted=interrupted))
        await writer.flush()

    async def _said(self, stream_id: str) -> Answer:
        """Return what the log holds, without waiting for more."""
        answer, status = Answer(), await self._log.status(stream_id)
        if status is None or not status.last_seq:
            return answer
        async with aclosing(self._log.read(stream_id)) as records:
            async for batch in records:
                for record in batch:
                    answer.apply(record.event)
                if batch[-1].seq >= status.last_seq:
                    break
        return answer

    async def _settle_rows(self) -> int:
        """End the turns whose log went with its process, or ended while the database did not answer."""
        settled = 0
        missing, self._missing = self._missing, {}
        for turn in await self._turns.unfinished():
            status = await self._log.status(turn.stream_id)
            if status is None:
                since = self._missing[turn.stream_id] = missing.get(turn.stream_id, monotonic())
                if monotonic() - since < self._lost_after:
                    continue
                await self._store(turn, Answer(), _INTERRUPTED)
            elif status.state == "ended":
                said = await self._said(turn.stream_id)
                await self._store(turn, said, said.ending)
            else:
                continue
            settled += 1
        return settled

    async def _store(self, turn: Turn, said: Answer, ending: StreamEvent | None) -> None:
        """Store a turn with an ending that its readers were told, or will never be."""
        run = self._answerer.revive(msgspec.structs.replace(turn, ending=ending), said)
        async with aclosing(run.rescue(ProducerDied("The turn was not stored in time."))) as events:
            async for _ in events:
                pass


def _nameless_start(stream_id: str, model: str) -> StreamEvent:
    """Return the start of an answer of which nothing but its id was ever written down."""
    start = MessageStart(
        stream_id=stream_id, message_id="", session_id="", model=model, created=int(time.time())
    )
    return StreamEvent(type=EventType.MESSAGE_START, message_start=start)
