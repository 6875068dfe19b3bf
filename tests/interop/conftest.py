"""A real server for others' clients: heartbeats so dense that they meet every trap, a line that breaks."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn

from ragstream import ChatRequest, Ragstream, StreamEvent, Usage
from ragstream.bootstrap.connection import Connection
from ragstream.delivery.settings import DeliverySettings
from ragstream.errors import ErrorCode, ProviderError
from ragstream.events import Citation, EventType, ReasoningDelta, Source, ToolCall, ToolCallDelta, ToolResult

HERE = Path(__file__).parent
SECONDS = 30.0  # the deadline of every wait
HEARTBEAT = 0.05  # seconds
PAUSE = 0.12  # seconds between two words here and there, so that heartbeats fall between them

WORDS = (
    "Leaving ", "is ", "not stopping", ",\r\n", "data: x\n\n", "é€🙂 ", "\u2028 and ",
    "stopping ", "is not ", "failing [1]", " [2]", ".",
)  # fmt: skip
TEXT = "".join(WORDS)
SOURCES = (
    Source(id="s1", title="Verbs", uri="https://docs.example/verbs", page=3, quote="Leaving is…", score=0.9),
    Source(id="s2", title="Endings", uri="endings.md", quote="Stopping is…", score=0.7),
)
CALL = ToolCall(id="c1", name="look", arguments='{"where":"docs"}')
PIECES = (
    ToolCallDelta(index=0, id=CALL.id, name=CALL.name, arguments=CALL.arguments[:9]),
    ToolCallDelta(index=0, arguments=CALL.arguments[9:]),
)
BEFORE = (  # what the answer says before its first word
    StreamEvent(type=EventType.SOURCES, sources=SOURCES),
    StreamEvent(type=EventType.REASONING_DELTA, reasoning_delta=ReasoningDelta(content="Let me ")),
    StreamEvent(type=EventType.REASONING_DELTA, reasoning_delta=ReasoningDelta(content="see.")),
    *(StreamEvent(type=EventType.TOOL_CALL_DELTA, tool_call_delta=piece) for piece in PIECES),
    StreamEvent(type=EventType.TOOL_CALL, tool_call=CALL),
    StreamEvent(type=EventType.TOOL_RESULT, tool_result=ToolResult(id="c1", name="look", result="Found.")),
)
USAGE = Usage(prompt_tokens=9, completion_tokens=12, total_tokens=21)


class Event(NamedTuple):
    """One event of the native stream, as any client has it; ``id`` is the last one that was named."""

    type: str
    data: str
    id: str


def parse(stream: bytes) -> list[Event]:
    """Read a native stream without anybody's help: the encoder writes one line of each field, ended by LF."""
    events, last = [], ""
    for block in stream.split(b"\n\n")[:-1]:  # what has no blank line yet is no event
        lines = [line for line in block.decode().split("\n") if not line.startswith(":")]
        fields = dict(line.split(": ", 1) for line in lines)
        last = fields.get("id", last)
        if "data" in fields:
            events.append(Event(fields["event"], fields["data"], last))
    return events


def text(events: Sequence[Sequence[str]]) -> str:
    """Join the text of an answer, of whose events the type and the data come first."""
    deltas = [json.loads(data) for kind, data, *_ in events if kind == "text_delta"]
    return "".join(delta["text_delta"]["content"] for delta in deltas)


class House:
    """The server, what it says to which question, and a line to it that can be cut.

    ``Tell me.`` is answered in full. ``Tell me slowly.`` waits in the middle until somebody reads on after
    the last cut of the line. ``Fail.`` and ``Cut.`` fail after some words, as the provider reports an error
    or falls silent in the middle of a word; ``Refuse.`` fails before. ``Never end.`` waits to be stopped.
    """

    TEXT = TEXT
    parse = staticmethod(parse)
    text = staticmethod(text)

    def __init__(self) -> None:
        self.address = ""
        self.line = ""  # the address of the line
        self.cuts: list[int] = []  # after how many bytes of its answer each further connection is cut
        self.holding = ""  # the address of a line that carries nothing before the end of a response
        self.held = 0  # how many responses it has held back
        self.go_on = asyncio.Event()
        self.asked: list[str] = []
        self._was_cut = False
        self.http: httpx.AsyncClient
        self._writers: set[asyncio.StreamWriter] = set()

    async def answer(self, request: ChatRequest) -> AsyncGenerator[str | StreamEvent, None]:
        """Say what the question asks for."""
        question = request.messages[-1].text
        self.asked.append(question)
        if question == "Refuse.":
            raise ProviderError("The provider refused the key.", code=ErrorCode.UPSTREAM_AUTH)
        for event in BEFORE:
            yield event
        for number, word in enumerate(WORDS):
            if number % 3 == 2:
                await asyncio.sleep(PAUSE)
            if number == 6:
                await self._in_the_middle(question)
            yield word
        for source, marker in zip(SOURCES, ("[1]", "[2]"), strict=True):
            at = TEXT.index(marker)
            citation = Citation(source_id=source.id, start=at, end=at + len(marker))
            yield StreamEvent(type=EventType.CITATION, citation=citation)
        yield StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop", usage=USAGE)

    async def _in_the_middle(self, question: str) -> None:
        if question == "Fail.":
            raise ProviderError("The provider broke.", code=ErrorCode.UPSTREAM_ERROR)
        if question == "Cut.":
            raise ProviderError("The provider's answer was cut.", code=ErrorCode.UPSTREAM_TRUNCATED)
        if question == "Never end.":
            await asyncio.Event().wait()
        if question == "Tell me slowly.":
            await self.go_on.wait()

    async def ask(self, question: str = "Tell me slowly.") -> str:
        """Ask in the native protocol and leave at once; return the stream's id."""
        body = {"messages": [{"role": "user", "content": question}]}
        async with self.http.stream("POST", "/api/v1/chatbot/chat/stream", json=body) as response:
            return response.raise_for_status().headers["x-stream-id"]

    async def whole(self, stream_id: str) -> list[Event]:
        """Return the log, read at once and over an unbroken line."""
        reply = await self.http.get(f"/api/v1/streams/{stream_id}")
        return parse(reply.raise_for_status().content)

    async def endings(self, stream_id: str) -> list[str]:
        """Return how the answer ended: one type, if all is well."""
        ends = {"message_complete", "failed", "cancelled", "interrupted"}
        return [event.type for event in await self.whole(stream_id) if event.type in ends]

    async def history(self, session_id: str) -> list[tuple[str, str]]:
        """Return stream and text of each message of a session."""
        reply = await self.http.get("/api/v1/chatbot/messages", params={"session_id": session_id})
        messages = reply.raise_for_status().json()["messages"]
        return [(message["stream_id"], message["content"]) for message in messages]

    async def read_by(self, number: int) -> None:
        """Wait until so many readers read."""
        async with asyncio.timeout(SECONDS):
            while f"\nragstream_readers {number}.0\n" not in await self._metrics():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def _metrics(self) -> str:
        return (await self.http.get("/metrics")).text

    def hang_up(self) -> None:
        """Close the connections of the line, which a client may have kept for later."""
        for writer in self._writers:
            writer.transport.abort()

    async def hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry a response once it is whole, as a proxy does that buffers."""
        there_reader, there = await asyncio.open_connection("127.0.0.1", int(self.address.rpartition(":")[2]))
        self._writers.add(writer)
        going = asyncio.create_task(_pump(reader, there, None))
        held = b""
        try:
            while not held.endswith(b"\r\n0\r\n\r\n") and (data := await there_reader.read(1 << 16)):
                self.held += not held
                held += data
            writer.write(held)
            with suppress(ConnectionError):
                await writer.drain()
        finally:
            going.cancel()
            self._writers.discard(writer)
            writer.close()
            there.transport.abort()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection of the line."""
        there_reader, there = await asyncio.open_connection("127.0.0.1", int(self.address.rpartition(":")[2]))
        left = self.cuts.pop(0) if self.cuts else None
        came_back = self._was_cut and left is None
        self._writers.add(writer)
        going = asyncio.create_task(_pump(reader, there, None))
        try:
            cut = await _pump(there_reader, writer, left, self.go_on.set if came_back else None)
            self._was_cut = self._was_cut or cut
        finally:
            going.cancel()
            self._writers.discard(writer)
            writer.transport.abort()
            there.transport.abort()


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    left: int | None,
    on_data: Callable[[], None] | None = None,
) -> bool:
    """Carry what comes; return True where it was cut after so many bytes."""
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data[:left])
            await writer.drain()
            if on_data:
                on_data()
            left = None if left is None else left - len(data)
            if left is not None and left <= 0:
                return True
    return False


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """A server on a free port, and the line to it."""
    house = House()
    settings = DeliverySettings(heartbeat=HEARTBEAT, retry=20)
    async with AsyncExitStack() as stack:
        ragstream = await stack.enter_async_context(Ragstream(house.answer, delivery=settings))
        house.address = await _serve(ragstream, stack)
        carrying = await asyncio.start_server(house.carry, "127.0.0.1", 0)
        stack.callback(carrying.close)
        house.line = f"http://127.0.0.1:{carrying.sockets[0].getsockname()[1]}"
        holding = await asyncio.start_server(house.hold, "127.0.0.1", 0)
        stack.callback(holding.close)
        house.holding = f"http://127.0.0.1:{holding.sockets[0].getsockname()[1]}"
        house.http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=house.address, timeout=SECONDS, trust_env=False)
        )
        yield house


async def _serve(ragstream: Ragstream, stack: AsyncExitStack) -> str:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        ragstream.app, http=Connection, lifespan="off", log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]
    serving = asyncio.create_task(server.serve([listener]))

    async def stop() -> None:
        server.should_exit = True
        async with asyncio.timeout(SECONDS):
            await serving

    stack.push_async_callback(stop)
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


Run = Callable[..., Awaitable[Any]]


@pytest.fixture
def node() -> Run:
    """Return a function that runs a driver in Node.js with arguments; it returns the JSON that it printed."""

    async def run(driver: str, *arguments: Any) -> Any:
        words = [one if isinstance(one, str) else json.dumps(one) for one in arguments]
        return json.loads(await _output("node", str(HERE / driver), *words))

    return run


async def _output(*command: str) -> bytes:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, cwd=HERE, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complaint.decode()
    return out


@pytest.fixture
def langchain() -> Run:
    """Return a function that asks with LangChain, which has a Python of its own."""

    async def run(address: str, *calls: list[str]) -> Any:
        python = HERE.parents[1] / ".venv-interop" / "bin" / "python"
        command = (str(python), str(HERE / "ask_langchain.py"), address, json.dumps(calls))
        return json.loads(await _output(*command))

    return run
