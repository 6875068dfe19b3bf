"""A server as people start it, for the tests that need one."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from pathlib import Path
from typing import IO

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

from ragstream.bootstrap.connection import Connection

SECONDS = 60.0

Listening = Callable[[ASGIApp], AbstractAsyncContextManager[httpx.AsyncClient]]
Serving = Callable[[list[str], Path], AbstractContextManager[httpx.Client]]


@pytest.fixture(scope="session")
def serving() -> Serving:
    """Return a context manager that runs a ``serve`` command and yields a client once all is read."""
    return _serving


@contextmanager
def _serving(command: list[str], folder: Path) -> Iterator[httpx.Client]:
    with tempfile.TemporaryFile("w+") as said:  # not a pipe: nobody reads it while the server logs
        server = subprocess.Popen(
            [*command, "--port", "0"], cwd=folder, stdin=subprocess.DEVNULL, stderr=said
        )
        try:
            with httpx.Client(base_url=_address(server, said), timeout=SECONDS) as client:
                _wait_until_all_is_read(client)
                yield client
        finally:
            server.terminate()
            code = server.wait(SECONDS)
        assert code == 0, _read(said)


def _address(server: subprocess.Popen[bytes], said: IO[str]) -> str:
    deadline = time.monotonic() + SECONDS
    while not (found := re.search(r"http://\S+", _read(said))):
        assert server.poll() is None, _read(said)
        assert time.monotonic() < deadline, "the server said no address"
        time.sleep(0.05)
    return found.group()


def _read(said: IO[str]) -> str:
    return os.pread(said.fileno(), 1 << 20, 0).decode()  # leaves the place where the server writes alone


def _wait_until_all_is_read(client: httpx.Client) -> None:
    deadline = time.monotonic() + SECONDS
    while not _all_is_read(client):
        assert time.monotonic() < deadline, "the server did not become ready"
        time.sleep(0.05)


def _all_is_read(client: httpx.Client) -> bool:
    if client.get("/readyz").status_code != 200:
        return False
    reply = client.get("/api/v1/documents")
    if reply.status_code == 401:  # only who has a key is told how far the reading has come
        return True
    known = reply.raise_for_status().json()
    return bool(known["size"]["documents"]) and not known["ingest"]["running"]


@asynccontextmanager
async def _listening(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(app, http=Connection, lifespan="on", log_config=None))
    server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]
    serving = asyncio.create_task(server.serve([listener]))
    port = listener.getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS) as client:
            yield client
    finally:
        server.should_exit = True
        async with asyncio.timeout(SECONDS):
            await serving


@pytest.fixture
def listening() -> Listening:
    """Return a context manager that serves an app on a free port, in this loop, and yields a client."""
    return _listening
