"""The page as people use it: a real server, a real browser, a model that says what a test tells it to."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    async_playwright,
    expect,
)

ROOT = Path(__file__).parents[3]
SECONDS = 20.0  # the deadline of every wait
expect.set_options(timeout=SECONDS * 1000)

Serving = Callable[[list[str], Path], AbstractContextManager[httpx.Client]]
Serve = Callable[..., str]
Piece = str | asyncio.Event | int

VIOLATIONS = """document.addEventListener("securitypolicyviolation", (violation) =>
  console.error(`Policy violated: ${violation.violatedDirective} ${violation.blockedURI}`))"""
NETWORK = re.compile("Failed to load resource")  # what Chromium itself says of a cut or refused request


class Model:
    """An OpenAI-compatible server. It says its scripts, one a question; events are waited for."""

    def __init__(self) -> None:
        self.address = ""
        self.closed = asyncio.Event()  # somebody hung up in the middle of an answer
        self._scripts: list[tuple[Piece, ...]] = []

    def says(self, *pieces: Piece) -> None:
        """Answer the next question with these pieces."""
        self.closed.clear()
        self._scripts.append(pieces)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length.group(1)) if length else 0)
            script = self._scripts.pop(0) if self._scripts else ("Nothing.",)
            status = script[0] if isinstance(script[0], int) else 200
            writer.write(b"HTTP/1.1 %d -\r\ncontent-type: text/event-stream\r\n" % status)
            writer.write(b"connection: close\r\n\r\n")
            for piece in script:
                if isinstance(piece, str):
                    writer.write(_chunk({"content": piece}))
                elif isinstance(piece, asyncio.Event) and not await _before_hanging_up(piece, reader):
                    self.closed.set()
                    return
            writer.write(_chunk({}, "stop") + b"data: [DONE]\n\n")
            await writer.drain()
        writer.close()


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    return b"data: %s\n\n" % json.dumps(chunk | {"choices": [choice]}).encode()


async def _before_hanging_up(event: asyncio.Event, reader: asyncio.StreamReader) -> bool:
    """Wait for the event; return False if the other side hangs up first."""
    await _until_one_ends(asyncio.ensure_future(event.wait()), asyncio.ensure_future(reader.read()))
    return event.is_set()


class Line:
    """A TCP line to a server that can be cut, at once or after so many bytes of what comes back."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self.address = ""
        self.cuts: list[int] = []  # for each further connection: after so many bytes it is cut
        self.dead = False  # refuse whoever comes

    def cut(self) -> None:
        """Cut every connection, without a word."""
        for writer in self._writers:
            writer.transport.abort()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.dead:
            writer.transport.abort()
            return
        there_reader, there = await asyncio.open_connection(*self._target)
        self._writers |= {writer, there}
        left = self.cuts.pop(0) if self.cuts else None
        pumps = [_pump(reader, there, None), _pump(there_reader, writer, left)]
        try:
            await _until_one_ends(*map(asyncio.ensure_future, pumps))
        finally:
            self._writers -= {writer, there}
            there.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
    """Carry what comes, up to so many bytes."""
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data[:left])
            await writer.drain()
            left = None if left is None else left - len(data)
            if left is not None and left <= 0:
                return


async def _until_one_ends(*tasks: asyncio.Future[Any]) -> None:
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Visit:
    """A page in a browser of its own, and what it complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def listen(self, page: Page, address: str) -> None:
        """Note errors, violations of the policy, and requests to anywhere else."""

        def on_console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(message.text)

        def on_request(request: Request) -> None:
            if not request.url.startswith(address):
                self.complaints.append(f"Request to {request.url}")

        page.on("console", on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", on_request)

    def forgive_network(self) -> None:
        """Forget what Chromium said of requests that the test itself cut or had refused."""
        self.complaints = [text for text in self.complaints if not NETWORK.search(text)]


Visiting = Callable[..., Awaitable[Visit]]


@asynccontextmanager
async def _listening(handler: Callable[..., Awaitable[None]]) -> AsyncIterator[str]:
    """Listen on a free port of this machine; yield the address, and at the end drop who is still there."""
    tasks: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        try:
            await handler(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(scope="session")
def listening() -> Callable[..., AbstractAsyncContextManager[str]]:
    """Return a context manager that listens with a handler and yields its address."""
    return _listening


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def model() -> AsyncIterator[Model]:
    model = Model()
    async with _listening(model.answer) as model.address:
        yield model


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few documents to be served, one of them hostile."""
    folder = tmp_path_factory.mktemp("library")
    for name in ("stop-leave-come-back.md", "read-a-stream-with-curl.md"):
        shutil.copy(ROOT / "docs" / "how-to" / name, folder)
    hostile = (
        "# <img src=x onerror=alert(1)>\n\nA zebra says <script>alert(1)</script> and ![x](//evil.invalid/)."
    )
    (folder / "hostile.md").write_text(hostile, "utf-8")
    return folder


@pytest.fixture(scope="session")
def serve(serving: Serving, tmp_path_factory: pytest.TempPathFactory, library: Path) -> Iterator[Serve]:
    """Return a function that starts a server over the documents and returns its address."""
    running: list[AbstractContextManager[httpx.Client]] = []

    def start(**settings: str) -> str:
        data = tmp_path_factory.mktemp("data")
        variables = [
            f"{name}={value}" for name, value in {"RAGSTREAM_LOG_LEVEL": "error", **settings}.items()
        ]
        command = [sys.executable, "-m", "ragstream", "serve", str(library), "--data-dir", str(data)]
        running.append(serving(["env", *variables, *command], ROOT))
        return str(running[-1].__enter__().base_url).rstrip("/")

    try:
        yield start
    finally:
        for server in reversed(running):
            server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def address(serve: Serve) -> str:
    """A server without a model: it quotes."""
    samples = ["How do I stop an answer?", "What happens when the server dies in the middle of an answer?"]
    return serve(RAGSTREAM_SAMPLE_QUESTIONS=json.dumps(samples))


@pytest.fixture(scope="session")
def modelled(serve: Serve, model: Model) -> str:
    """A server whose answers are those of ``model``."""
    return serve(
        OPENAI_BASE_URL=f"{model.address}/v1",
        OPENAI_API_KEY="unused",
        RAGSTREAM_MODEL="scripted",
        RAGSTREAM_RETRY_MS="10",
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(path for name in names if (path := shutil.which(name)))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visiting(browser: Browser) -> AsyncIterator[Visiting]:
    """Return a function that opens a page; at the end none may have complained."""
    visits: list[Visit] = []
    contexts: list[BrowserContext] = []

    async def visit(address: str, **options: Any) -> Visit:
        context = await browser.new_context(**options)
        context.set_default_timeout(SECONDS * 1000)
        contexts.append(context)
        await context.add_init_script(VIOLATIONS)
        visit = Visit(await context.new_page())
        visits.append(visit)
        origin = address.partition("/#")[0]
        context.on("page", lambda page: visit.listen(page, origin))
        visit.listen(visit.page, origin)
        await visit.page.goto(address)
        return visit

    yield visit
    for context in contexts:
        await context.close()
    assert [visit.complaints for visit in visits] == [[] for _ in visits]


@pytest_asyncio.fixture(loop_scope="session")
async def line() -> AsyncIterator[Callable[[str], Awaitable[Line]]]:
    """Return a function that lays a line to a server."""
    async with AsyncExitStack() as stack:

        async def lay(address: str) -> Line:
            url = httpx.URL(address)
            line = Line(url.host, url.port or 80)
            line.address = await stack.enter_async_context(_listening(line.carry))
            return line

        yield lay
