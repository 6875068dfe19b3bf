"""S115 and S116: a reader finds an answer that has begun, and chooses how to read."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal

import msgspec
from starlette.responses import Response

from ragstream.blueprint import step
from ragstream.delivery.base import Follow
from ragstream.delivery.exchange import Exchange
from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.protocols.counted import Counted
from ragstream.delivery.setup import prepare
from ragstream.errors import CursorAhead, CursorExpired, NotFound, ProgrammingError
from ragstream.events import EventType, MessageStart, Reset, StreamEvent, encode
from ragstream.storage.base import Turn
from ragstream.streamlog.base import LogStatus, Record
from ragstream.streamlog.tap import Tap

__all__ = ["find_stream", "look_up", "read_as", "records_of", "session_in_log"]

Records = AsyncGenerator[tuple[Record, ...], None]


@step("FollowStream")
async def find_stream(exchange: Exchange, kit: DeliveryKit) -> None:
    """Find the log at the reader's cursor; somebody else's stream is as absent as a missing one.

    A log that is gone is told from the stored turn: a reset with the whole text, then its ending.
    """
    asked, principal = exchange.asked, exchange.principal
    if not isinstance(asked, Follow) or principal is None:
        raise ProgrammingError("only a reader who comes back follows a stream")
    stream_id = asked.stream_id or await _under_way(kit, asked.session_id, principal.name)
    if stream_id is None:
        exchange.reply = _nothing_more()
        return
    status, turn, session_id = await look_up(kit, stream_id, asked.after)
    owner = status.owner if status else turn.owner if turn else None
    if owner != principal.name:
        raise NotFound("There is no such stream.")
    kit.metrics.resumes.inc()
    exchange.stream_id = stream_id
    exchange.session_id = session_id or (await session_in_log(kit, stream_id) if status else "")
    exchange.setup = prepare(
        exchange.request,
        kit.settings,
        principal=principal,
        session=None,
        request_id=exchange.request_id,
        dialect=asked.dialect,
        after=asked.after,
    )
    try:
        if status is not None and await _is_read(kit, status, turn, asked):
            exchange.reply = _nothing_more()
        else:
            asked = msgspec.structs.replace(asked, stream_id=stream_id)
            exchange.records = records_of(kit, status, turn, asked, exchange.tap)
    except (CursorAhead, CursorExpired) as refusal:
        kit.metrics.gaps.labels(refusal.code).inc()
        raise
    if status is None and asked.streaming:
        kit.metrics.gaps.labels("reset").inc()
    exchange.note(stream_id=stream_id, after=asked.after, from_log=status is not None)


@step("ReadAs")
def read_as(exchange: Exchange) -> Literal["stream", "whole"]:
    """Give a stream to who wants events, the collected answer to who wants it whole."""
    return "stream" if exchange.streaming else "whole"


async def look_up(
    kit: DeliveryKit, stream_id: str, after: int = 0
) -> tuple[LogStatus | None, Turn | None, str]:
    """Return what is known of a stream: its log, its turn and, if it is known without the log, its session.

    The database is asked only where the log cannot say all: it is gone, or the reader has all of it and it
    was interrupted. It would hold up thousands who come back at once; and if it fails, it fails no reader.
    """
    status, session_id = await kit.log.status(stream_id), kit.supervisor.session_of(stream_id) or ""
    if status is not None and (session_id or status.last_seq) and not _is_retold(status, after):
        return status, None, session_id
    turn = await kit.turns.get(stream_id)
    if status is None and turn is not None and turn.ending is None:
        status = await kit.log.status(stream_id)  # a turn is stored after its log was begun: perhaps just now
    return status, turn, turn.session_id if turn else ""


def _is_retold(status: LogStatus, after: int) -> bool:
    """Return whether the stored turn may say more than the log to a reader at this cursor."""
    return status.last_type == EventType.INTERRUPTED and after == status.last_seq


def _nothing_more() -> Response:
    return Response(status_code=204, headers={"cache-control": "no-store"})


async def _under_way(kit: DeliveryKit, session_id: str, owner: str) -> str | None:
    """Return the stream of the session's newest answer, if it is the owner's and has not ended.

    One that this process writes is known from its log's beginning on, others once their turn is stored.
    """
    writing = kit.supervisor.newest_of(session_id)
    if writing is not None and await kit.log.status(writing.stream_id) is not None:
        return writing.stream_id if writing.owner == owner else None
    newest = next(iter(await kit.turns.history(session_id, limit=1)), None)
    return newest.stream_id if newest and newest.owner == owner and newest.ending is None else None


async def _is_read(kit: DeliveryKit, status: LogStatus, turn: Turn | None, asked: Follow) -> bool:
    """Return whether the reader has all; an interrupted answer is said again, if it has been stored.

    Raises:
        CursorAhead: the cursor counts the events of its dialect, and there are fewer.
    """
    after = asked.after
    if asked.dialect.counts:
        events = await _count(kit, status, asked) if after else 0
        if after > events:
            raise CursorAhead(f"The cursor is {after}, but the stream has {events} events so far.")
        return bool(after) and after == events and status.state == "ended"
    if status.state != "ended" or after != status.last_seq:
        return False
    return status.last_type != EventType.INTERRUPTED or turn is None or turn.ending is None


async def _count(kit: DeliveryKit, status: LogStatus, asked: Follow) -> int:
    """Return how many events the dialect has made of what the log holds now."""
    projection = asked.dialect.projection()
    if not isinstance(projection, Counted):
        raise ProgrammingError(f"the projection of {asked.dialect.name} does not count")
    if status.last_seq:
        async with aclosing(kit.log.read(status.stream_id)) as records:
            async for batch in records:
                for record in batch:
                    projection.frame(record)
                if batch[-1].seq >= status.last_seq:
                    break
    return projection.count


def records_of(
    kit: DeliveryKit, status: LogStatus | None, turn: Turn | None, asked: Follow, tap: Tap
) -> Records:
    """Return what is beyond the reader's cursor, from the log or, where that is gone, from the stored turn.

    Raises:
        CursorAhead: the log does not reach so far.
        CursorExpired: the log is gone and the turn has no ending.
    """
    ending, counts = turn.ending if turn else None, asked.dialect.counts
    if status is None:
        if turn is None or ending is None:
            raise CursorExpired("The events of this answer are gone and its end was not stored; ask again.")
        return _retell(turn, ending, whole=counts or not asked.streaming)
    if counts:
        return kit.log.read(asked.stream_id, tap=tap)
    if asked.after > status.last_seq:
        raise CursorAhead(f"The cursor is {asked.after}, but the log ends at {status.last_seq}.")
    if status.state == "ended" and asked.after == status.last_seq and turn is not None and ending is not None:
        return _retell(turn, ending, whole=not asked.streaming)
    return kit.log.read(asked.stream_id, asked.after, tap=tap)


async def session_in_log(kit: DeliveryKit, stream_id: str) -> str:
    """Return the session of an answer that is not stored yet: its first event names it, and comes at once.

    Raises:
        NotFound: there is no such log (any more).
        StoreError: the log failed.
    """
    async with aclosing(kit.log.read(stream_id)) as records:
        start = (await anext(records))[0].event.message_start
    return start.session_id if start else ""


async def _retell(turn: Turn, ending: StreamEvent, *, whole: bool) -> Records:
    """Yield a stored turn as a reset and its ending, without seqs: neither moves a cursor.

    A reader has the answer's start, whoever collects the whole has not.
    """
    reset = StreamEvent(
        type=EventType.RESET,
        reset=Reset(text=turn.text, sources=turn.sources, citations=turn.citations),
    )
    said = (_start_of(turn), reset, ending) if whole else (reset, ending)
    yield tuple(Record(0, event.type, encode(event)) for event in said)


def _start_of(turn: Turn) -> StreamEvent:
    start = MessageStart(
        stream_id=turn.stream_id,
        message_id=turn.message_id,
        session_id=turn.session_id,
        model=turn.model,
        created=int(turn.created),
        metadata=turn.metadata,
    )
    return StreamEvent(type=EventType.MESSAGE_START, message_start=start)
