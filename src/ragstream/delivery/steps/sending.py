"""S108 to S110 and S112: from the log's records to the last byte on the wire."""

from __future__ import annotations

from time import perf_counter

from ragstream.blueprint import step
from ragstream.delivery.exchange import Exchange
from ragstream.delivery.fault import fault_of_ending
from ragstream.delivery.frames import write_sse
from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.reader import Reader
from ragstream.delivery.readers import Place
from ragstream.errors import NotFound, ProgrammingError, StoreError
from ragstream.events import EventError, EventType, StreamEvent, encode
from ragstream.streamlog.base import Record

__all__ = ["format_chunks", "return_response", "send_chunks", "send_done"]


@step("WriteSSE")
async def format_chunks(exchange: Exchange, kit: DeliveryKit) -> None:  # noqa: ARG001
    """Make the iterator of frames: each batch of the log's records as Server-Sent Events, unpulled."""
    if exchange.records is not None:
        if exchange.setup is None:
            raise ProgrammingError("chunks are formatted only for a stream that was set up")
        exchange.frames = write_sse(exchange.records, exchange.setup.projection)


@step("StreamResponse")
async def send_chunks(exchange: Exchange, kit: DeliveryKit) -> None:
    """Drive the frames to the client: held head, heartbeats, write deadline, disconnect.

    A failure before the first token of a new answer keeps its status: it is answered as a problem.
    """
    if exchange.reply is None:
        resumable = exchange.setup is not None and exchange.setup.projection.resumable
        reading = kit.supervisor.reading(exchange.stream_id, resumable=resumable, asked=exchange.began)
        with reading as place:
            await _stream(exchange, kit, place)
    if exchange.reply is not None:
        exchange.reply.headers.update(exchange.ids)
        exchange.note(status=exchange.reply.status_code)
        await exchange.reply(exchange.scope, exchange.receive, exchange.send)


@step("SendDone")
async def send_done(exchange: Exchange, kit: DeliveryKit) -> None:  # noqa: ARG001
    """Send the DONE frame and end the response: only after a terminal event was sent."""
    if exchange.reader is not None and exchange.reader.terminal is not None and exchange.setup is not None:
        await exchange.reader.tell(exchange.setup.projection.done(), more=False)
        exchange.note(done_sent=True)


@step("End")
async def return_response(exchange: Exchange, kit: DeliveryKit) -> None:  # noqa: ARG001
    """Take note of what was returned."""
    exchange.note(bytes_sent=exchange.reader.bytes_sent if exchange.reader else None)


async def _stream(exchange: Exchange, kit: DeliveryKit, place: Place) -> None:
    if exchange.asked is None or exchange.setup is None or exchange.frames is None:
        raise ProgrammingError("only formatted chunks can be sent")
    kit.metrics.streams.labels(exchange.asked.dialect.name, "stream").inc()
    ids = (exchange.stream_id, exchange.session_id)
    is_new = exchange.run is not None

    def measure() -> None:
        kit.metrics.first_byte.observe(perf_counter() - exchange.arrived)

    reader = Reader(
        exchange.setup,
        exchange.receive,
        exchange.send,
        ids,
        on_first=measure if is_new else None,
        notice=place.notice,
        line=exchange.scope.get("state", {}).get("line"),
        tap=exchange.tap,
    )
    try:
        await reader.deliver(exchange.frames, may_refuse=is_new)
    except (StoreError, NotFound) as fault:
        if isinstance(fault, NotFound) and not reader.started:
            raise
        await _tell_failure(exchange, reader, fault)
    if reader.sent_away is not None:
        kit.metrics.departures.labels(reader.sent_away.reason).inc()
        exchange.note(sent_away=reader.sent_away.reason)
    if reader.started:
        exchange.reader = reader
        exchange.note(bytes_sent=reader.bytes_sent, ending=reader.terminal and reader.terminal.type)
    elif reader.terminal is not None:
        members = {"stream_id": exchange.stream_id, "session_id": exchange.session_id}
        exchange.reply = exchange.asked.dialect.problem(
            fault_of_ending(reader.terminal.event, **members), request_id=exchange.request_id
        )


async def _tell_failure(exchange: Exchange, reader: Reader, fault: StoreError | NotFound) -> None:
    """End a stream whose log failed or was deleted with an event that is not in the log, so without an id."""
    error = EventError(code=str(fault.code), message=str(fault), retryable=fault.retryable)
    event = StreamEvent(type=EventType.ERROR, error=error)
    reader.terminal = Record(0, event.type, encode(event))
    if reader.started and exchange.setup and (data := exchange.setup.projection.frame(reader.terminal)):
        await reader.tell(data)
