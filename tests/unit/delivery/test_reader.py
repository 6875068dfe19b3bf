"""One streamed response against a raw ASGI client: head, heartbeat, deadline, disconnect."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from typing import Any

import pytest
from starlette.requests import Request

from ragstream.delivery.frames import Frame
from ragstream.delivery.reader import Reader
from ragstream.delivery.readers import Notice
from ragstream.delivery.settings import DeliverySettings
from ragstream.delivery.setup import StreamSetup, prepare
from ragstream.errors import ReaderEvicted, ReaderLeft
from ragstream.identity.base import Principal
from ragstream.streamlog.base import Record
from ragstream.streamlog.tap import Tap

END = Record(3, "message_complete", b"{}")
DELTA = Record(2, "text_delta", b'{"a":1}')
FAILED = Record(1, "failed", b"{}")


class Client:
    """An ASGI client: keeps what was sent, leaves or stops reading when told."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.arrived = asyncio.Condition()
        self.left = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.reading.wait()
        async with self.arrived:
            self.messages.append(message)
            self.arrived.notify_all()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    async def got(self, count: int) -> None:
        async with asyncio.timeout(5), self.arrived:
            await self.arrived.wait_for(lambda: len(self.messages) >= count)


def setup(**changes: Any) -> StreamSetup:
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    prepared = prepare(
        Request(scope), DeliverySettings(), principal=Principal("ann"), session=None, request_id="r"
    )
    return replace(prepared, **changes)


class AtOnce:
    """Writes past ``send``, while the client reads."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.taken: list[bytes] = []

    def is_free(self) -> bool:
        return self.client.reading.is_set()

    def write(self, data: bytes) -> None:
        assert self.is_free()
        self.taken.append(data)
        self.client.messages.append({"type": "http.response.body", "body": data})


def reader(client: Client, *, line: AtOnce | None = None, tap: Tap | None = None, **changes: Any) -> Reader:
    ids = ("s" * 32, "t" * 32)
    return Reader(setup(**changes), client.receive, client.send, ids, line=line, tap=tap)


async def frames(items: Iterable[object], closed: list[bool]) -> AsyncGenerator[Frame, None]:
    try:
        for item in items:
            if isinstance(item, asyncio.Event):
                await item.wait()
            elif isinstance(item, Frame):
                yield item
    finally:
        closed.append(True)


def frame(data: bytes, *, held: bool = False, terminal: Record | None = None) -> Frame:
    return Frame(data, held, terminal)


async def test_head_waits_for_the_first_token_and_goes_out_with_it() -> None:
    client, closed, gate = Client(), list[bool](), asyncio.Event()
    subject = reader(client, head_hold=60.0)
    items = [frame(b"start", held=True), gate, frame(b"text"), frame(b"end", terminal=END)]
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=True))
    for _ in range(20):
        await asyncio.sleep(0)
    assert client.messages == []
    gate.set()
    async with asyncio.timeout(5):
        await task
    assert [message["type"] for message in client.messages][:2] == [
        "http.response.start",
        "http.response.body",
    ]
    assert client.messages[1]["body"] == b"starttext"
    assert dict(client.messages[0]["headers"])[b"x-stream-id"] == b"s" * 32
    assert subject.terminal is END
    assert closed == [True]


async def test_head_goes_out_when_the_hold_is_over() -> None:
    client, closed, gate = Client(), list[bool](), asyncio.Event()
    subject = reader(client, head_hold=0.0)
    items = [frame(b"start", held=True), gate, frame(b"end", terminal=END)]
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=True))
    await client.got(2)
    assert client.messages[0]["status"] == 200
    gate.set()
    async with asyncio.timeout(5):
        await task
    assert client.body.endswith(b"end")


async def test_what_was_held_goes_out_before_what_came_while_the_head_was_sent() -> None:
    client, closed, gate = Client(), list[bool](), asyncio.Event()
    client.reading.clear()  # a server, or a middleware, that takes its time over the head
    subject = reader(client, head_hold=0.0)
    items = [frame(b"start ", held=True), gate, frame(b"text "), frame(b"end", terminal=END)]
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=True))
    for _ in range(20):
        await asyncio.sleep(0)
    assert subject.started
    gate.set()
    for _ in range(20):
        await asyncio.sleep(0)
    client.reading.set()
    async with asyncio.timeout(5):
        await task
    assert client.body == b"start text end"


async def test_an_early_failure_sends_nothing_so_that_its_status_is_honest() -> None:
    client, closed = Client(), list[bool]()
    subject = reader(client, head_hold=60.0)
    items = [frame(b"start", held=True), frame(b"failed", held=True, terminal=FAILED)]
    await subject.deliver(frames(items, closed), may_refuse=True)
    assert client.messages == []
    assert not subject.started
    assert subject.terminal is FAILED


async def test_a_failure_together_with_the_first_words_is_streamed() -> None:
    client, closed = Client(), list[bool]()
    subject = reader(client, head_hold=60.0)
    await subject.deliver(frames([frame(b"text and failed", terminal=FAILED)], closed), may_refuse=True)
    assert client.body == b"text and failed"


async def test_the_first_event_sent_is_told_once_and_a_heartbeat_is_none() -> None:
    client, closed, gate, told = Client(), list[bool](), asyncio.Event(), list[int]()
    subject = Reader(
        setup(head_hold=0.0), client.receive, client.send, ("", ""), on_first=lambda: told.append(1)
    )
    items = [gate, frame(b"text"), frame(b"end", terminal=END)]
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=True))
    await client.got(2)
    assert told == []
    gate.set()
    async with asyncio.timeout(5):
        await task
    assert told == [1]


async def test_who_takes_nothing_at_the_end_is_evicted_too() -> None:
    client = Client()
    subject = reader(client, write_deadline=0.05)
    client.reading.clear()
    async with asyncio.timeout(5):
        with pytest.raises(ReaderEvicted, match="took nothing"):
            await subject.tell(b"done", more=False)


async def test_a_failure_is_streamed_to_who_comes_back() -> None:
    client, closed = Client(), list[bool]()
    subject = reader(client, head_hold=60.0)
    await subject.deliver(frames([frame(b"failed", terminal=FAILED)], closed), may_refuse=False)
    assert client.body == b"failed"


async def test_heartbeats_fill_silence() -> None:
    client, closed, gate = Client(), list[bool](), asyncio.Event()
    subject = reader(client, head_hold=0.0, heartbeat=0.01)
    items = [frame(b"text"), gate, frame(b"end", terminal=END)]
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=True))
    await client.got(5)
    gate.set()
    async with asyncio.timeout(5):
        await task
    assert b":\n:\n" in client.body


async def test_who_leaves_is_noticed_though_send_never_raises() -> None:
    client, closed = Client(), list[bool]()
    subject = reader(client, head_hold=0.0)
    items = [frame(b"text"), asyncio.Event()]
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=True))
    await client.got(2)
    client.left.set()
    async with asyncio.timeout(5):
        with pytest.raises(ReaderLeft, match="closed the connection"):
            await task
    assert closed == [True]


async def test_who_takes_nothing_is_evicted_without_an_end() -> None:
    client, closed = Client(), list[bool]()
    subject = reader(client, head_hold=0.0, write_deadline=0.05)
    items = [frame(b"text"), frame(b"more"), asyncio.Event()]
    client.reading.clear()
    async with asyncio.timeout(5):
        with pytest.raises(ReaderEvicted, match="took nothing"):
            await subject.deliver(frames(items, closed), may_refuse=True)
    assert closed == [True]
    assert all(message.get("more_body", True) for message in client.messages)


async def test_who_was_ready_while_the_process_stood_still_is_not_evicted() -> None:
    client, closed = Client(), list[bool]()
    subject = reader(client, head_hold=0.0, write_deadline=60.0)
    items = [frame(b"text"), frame(b"end", terminal=END)]
    client.reading.clear()
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=True))
    for _ in range(10):
        await asyncio.sleep(0)  # the write has begun
    now = subject._clock
    subject._clock = lambda: now() + 61.0  # the process stands still
    subject._timer.cancel()
    subject._ring()
    assert 5.0 < subject._timer.when() - now() < 6.1, "a tenth of the deadline more"
    client.reading.set()
    async with asyncio.timeout(5):
        await task
    assert client.body == b"textend"


async def test_who_takes_nothing_of_a_silent_answer_is_evicted_too() -> None:
    client, closed = Client(), list[bool]()
    subject = reader(client, head_hold=0.0, heartbeat=0.01, write_deadline=0.05)
    client.reading.clear()  # not even the head, then not the heartbeat
    async with asyncio.timeout(5):
        with pytest.raises(ReaderEvicted, match="took nothing"):
            await subject.deliver(frames([asyncio.Event()], closed), may_refuse=True)
    client.reading.set()
    subject = reader(client, head_hold=0.0, heartbeat=0.01, write_deadline=0.05)
    task = asyncio.create_task(subject.deliver(frames([asyncio.Event()], closed), may_refuse=True))
    await client.got(3)
    client.reading.clear()
    async with asyncio.timeout(5):
        with pytest.raises(ReaderEvicted, match="took nothing"):
            await task
    assert closed == [True, True]
    assert len(asyncio.all_tasks()) == 1


async def test_compressed_events_can_be_read_one_by_one() -> None:
    client, closed = Client(), list[bool]()
    subject = reader(client, head_hold=60.0, compression=True)
    items = [frame(b"one"), frame(b"two"), frame(b"end", terminal=END)]
    await subject.deliver(frames(items, closed), may_refuse=True)
    await subject.tell(b"done", more=False)
    inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
    bodies = [message["body"] for message in client.messages[1:]]
    assert [inflate.decompress(body) for body in bodies] == [b"one", b"two", b"end", b"done"]
    assert inflate.eof


async def test_cancelling_the_request_closes_the_frames() -> None:
    client, closed = Client(), list[bool]()
    task = asyncio.create_task(
        reader(client, head_hold=0.0).deliver(frames([frame(b"x"), asyncio.Event()], closed), may_refuse=True)
    )
    await client.got(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == [True]
    assert len(asyncio.all_tasks()) == 1


async def test_who_is_sent_away_is_told_when_to_come_back_and_nothing_after() -> None:
    client, closed = Client(), list[bool]()
    notice: asyncio.Future[Notice] = asyncio.get_running_loop().create_future()
    subject = Reader(setup(head_hold=0.0), client.receive, client.send, ("", ""), notice=notice)
    client.reading.clear()  # the first frame is being written, the second waits for its turn
    items = [frame(b"text\n\n"), frame(b"more\n\n"), asyncio.Event()]
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=True))
    for _ in range(20):
        await asyncio.sleep(0)
    notice.set_result(Notice("moved", 2500))
    for _ in range(20):
        await asyncio.sleep(0)
    client.reading.set()
    async with asyncio.timeout(5):
        await task
    assert client.body in (b"text\n\nretry: 2500\n\n", b"text\n\nmore\n\nretry: 2500\n\n")
    assert [message.get("more_body") for message in client.messages[1:]][-1] is False
    assert subject.sent_away == Notice("moved", 2500)
    assert subject.terminal is None
    assert closed == [True]


async def test_who_is_sent_away_before_the_head_gets_one() -> None:
    client, closed = Client(), list[bool]()
    notice: asyncio.Future[Notice] = asyncio.get_running_loop().create_future()
    subject = Reader(setup(head_hold=60.0), client.receive, client.send, ("", ""), notice=notice)
    items = [frame(b"start\n\n", held=True), asyncio.Event()]
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=True))
    for _ in range(20):
        await asyncio.sleep(0)
    notice.set_result(Notice("moved", 2500))
    async with asyncio.timeout(5):
        await task
    assert client.messages[0]["status"] == 200
    assert client.body == b"start\n\nretry: 2500\n\n"


async def test_who_has_the_end_is_not_sent_away() -> None:
    client, closed = Client(), list[bool]()
    notice: asyncio.Future[Notice] = asyncio.get_running_loop().create_future()
    subject = Reader(setup(head_hold=0.0), client.receive, client.send, ("", ""), notice=notice)
    client.reading.clear()
    items = [frame(b"end\n\n", terminal=END)]
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=True))
    for _ in range(20):
        await asyncio.sleep(0)
    notice.set_result(Notice("moved", 2500))
    for _ in range(20):
        await asyncio.sleep(0)
    client.reading.set()
    async with asyncio.timeout(5):
        await task
    assert client.body == b"end\n\n"
    assert subject.sent_away is None


async def test_who_takes_nothing_is_evicted_although_it_is_sent_away() -> None:
    client, closed = Client(), list[bool]()
    notice: asyncio.Future[Notice] = asyncio.get_running_loop().create_future()
    notice.set_result(Notice("moved", 2500))
    changed = setup(head_hold=60.0, write_deadline=0.05)
    subject = Reader(changed, client.receive, client.send, ("", ""), notice=notice)
    client.reading.clear()
    async with asyncio.timeout(5):
        with pytest.raises(ReaderEvicted, match="took nothing"):
            await subject.deliver(frames([frame(b"text"), asyncio.Event()], closed), may_refuse=True)
    assert closed == [True]


async def test_what_follows_the_head_is_written_at_once_and_in_order() -> None:
    client, closed, gate = Client(), list[bool](), asyncio.Event()
    line = AtOnce(client)
    subject = reader(client, line=line, head_hold=60.0)
    items = [frame(b"one "), frame(b"two "), gate, frame(b"three "), frame(b"end", terminal=END)]
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=False))
    await client.got(3)  # head, one, two
    client.reading.clear()  # three has to wait, and the end behind it
    gate.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert client.body == b"one two "
    client.reading.set()
    async with asyncio.timeout(5):
        await task
    assert client.body == b"one two three end"
    assert line.taken == [b"two ", b"end"]
    assert subject.bytes_sent == len(client.body)


async def test_a_heartbeat_is_written_at_once_where_nothing_is_in_its_way() -> None:
    client, closed, gate = Client(), list[bool](), asyncio.Event()
    line = AtOnce(client)
    subject = reader(client, line=line, head_hold=0.0, heartbeat=0.01)
    items = [frame(b"text"), gate, frame(b"end", terminal=END)]
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=True))
    async with asyncio.timeout(5):
        while len(line.taken) < 3:
            assert len(asyncio.all_tasks()) <= 3, "the test, the request and its frames"
            await asyncio.sleep(0.001)
        gate.set()
        await task
    assert line.taken[:3] == [subject._setup.projection.heartbeat] * 3
    assert subject.bytes_sent == len(client.body)


async def test_a_compressed_piece_is_never_written_past_the_compressor() -> None:
    client, closed, tap = Client(), list[bool](), Tap()
    line = AtOnce(client)
    subject = reader(client, line=line, tap=tap, compression=True)
    items = [frame(b"one "), frame(b"two "), frame(b"end", terminal=END)]
    await subject.deliver(frames(items, closed), may_refuse=False)
    await subject.tell(b"", more=False)
    assert zlib.decompress(client.body, 16 + zlib.MAX_WBITS) == b"one two end"
    assert line.taken == []
    assert tap.take is None


async def test_a_delta_is_written_where_it_is_acknowledged() -> None:
    client, closed, gate, tap = Client(), list[bool](), asyncio.Event(), Tap()
    line = AtOnce(client)
    subject = reader(client, line=line, tap=tap, head_hold=60.0)
    items = [frame(b"one "), gate, frame(b"end", terminal=END)]
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=False))
    assert tap.take is not None
    assert not tap.take(DELTA)  # the head is not sent
    await client.got(2)
    assert tap.take(DELTA)
    assert not tap.take(END)  # ends are not for the tap
    client.reading.clear()
    assert not tap.take(DELTA)  # the client takes nothing
    client.reading.set()
    gate.set()
    async with asyncio.timeout(5):
        await task
    said = b"".join(line.taken)
    assert said.startswith(b"id: 2\nevent: text_delta\n")
    assert client.body == b"one " + said
    assert subject.bytes_sent == len(client.body)


async def test_a_tap_waits_for_the_turn_of_a_heartbeat() -> None:
    client, closed, gate, tap = Client(), list[bool](), asyncio.Event(), Tap()
    line = AtOnce(client)
    line.is_free = lambda: True  # type: ignore[method-assign]
    subject = reader(client, line=line, tap=tap, head_hold=60.0, heartbeat=0.0)
    items = [frame(b"one "), gate, frame(b"end", terminal=END)]
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=False))
    await client.got(2)
    client.reading.clear()
    beating = asyncio.create_task(subject.write(b": heartbeat"))
    await asyncio.sleep(0)
    assert tap.take is not None
    assert not tap.take(DELTA)
    client.reading.set()
    gate.set()
    async with asyncio.timeout(5):
        await task
        await beating
    assert client.body == b"one : heartbeatend"


async def test_what_fails_in_a_tap_ends_its_reader() -> None:
    client, closed, gate, tap = Client(), list[bool](), asyncio.Event(), Tap()
    line = AtOnce(client)
    subject = reader(client, line=line, tap=tap, head_hold=60.0)
    items = [frame(b"one "), gate, frame(b"end", terminal=END)]
    task = asyncio.create_task(subject.deliver(frames(items, closed), may_refuse=False))
    await client.got(2)

    def broken(data: bytes) -> None:
        raise RuntimeError(data)

    line.write = broken  # type: ignore[method-assign]
    assert tap.take is not None
    assert tap.take(DELTA)
    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="text_delta"):
            await task
    assert closed == [True]


async def test_what_fails_in_a_heartbeat_ends_its_reader() -> None:
    client, closed = Client(), list[bool]()
    line = AtOnce(client)
    subject = reader(client, line=line, head_hold=0.0, heartbeat=0.01)

    def broken(data: bytes) -> None:
        raise RuntimeError(data)

    line.write = broken  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match=":"):
            await subject.deliver(frames([frame(b"one "), asyncio.Event()], closed), may_refuse=False)
    assert closed == [True]
