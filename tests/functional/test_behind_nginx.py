"""Behind nginx, set up as the documentation says, and one that compresses and buffers what it may."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.trial import Trial

from ragstream import ChatRequest, Ragstream
from ragstream.delivery.settings import DeliverySettings

DOCUMENTED = (Path(__file__).parents[2] / "docs" / "how-to" / "deploy.md").read_text("utf-8")
STREAM = "/api/v1/chatbot/chat/stream"
ASK = {"messages": [{"role": "user", "content": "Hello?"}]}
PATIENCE = 30.0
EAGER = "gzip on; gzip_types text/event-stream; gzip_min_length 1; proxy_buffering on; proxy_buffers 8 64k;"

OLD = " "  # speaks HTTP/1.0 with the server, as nginx does where it is not told otherwise

Listening = Callable[[Any], AbstractAsyncContextManager[httpx.AsyncClient]]

pytestmark = pytest.mark.nginx


def location(port: int) -> str:
    """Return the documented location, for a server on this port."""
    (block,) = re.findall(r"^```nginx\n(.*?)^```$", DOCUMENTED, re.MULTILINE | re.DOTALL)
    assert "127.0.0.1:8000" in block
    return str(block).replace("127.0.0.1:8000", f"127.0.0.1:{port}")


@contextmanager
def nginx(folder: Path, port: int, http: str) -> Iterator[str]:
    """Run nginx before the server on ``port``, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = f"""
        daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 64; }}
        http {{ access_log off; {paths} {http}
          server {{ listen 127.0.0.1:{own}; {location(port)} }} }}
    """
    if http is OLD:
        configuration = configuration.replace("proxy_http_version 1.1;", "proxy_http_version 1.0;")
    (folder / "nginx.conf").write_text(configuration, "utf-8")
    command = [
        shutil.which("nginx") or "/usr/sbin/nginx",
        "-p",
        str(folder),
        "-e",
        str(folder / "error.log"),
        "-c",
        str(folder / "nginx.conf"),
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{own}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


@asynccontextmanager
async def through(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the proxy, once that listens."""
    async with httpx.AsyncClient(base_url=address, timeout=PATIENCE) as client:
        while True:
            try:
                await client.get("/healthz")
            except httpx.ConnectError:
                await asyncio.sleep(0.02)
            else:
                break
        yield client


@pytest.mark.trial("T17", "behind nginx: as documented, compressing and buffering what it may, HTTP/1.0")
@pytest.mark.parametrize("http", ["", EAGER, OLD], ids=["documented", "eager", "HTTP/1.0"])
@pytest.mark.parametrize("compression", [False, True], ids=["plain", "gzip"])
async def test_words_pass_as_they_are_said(
    listening: Listening, tmp_path: Path, trial: Trial, http: str, compression: bool
) -> None:
    """Each word is said only when the one before it has come through."""
    arrived = asyncio.Semaphore(0)

    async def answer(_: ChatRequest) -> AsyncGenerator[str, None]:
        for number in range(5):
            yield f"word{number} "
            await arrived.acquire()

    app = Ragstream(answer, delivery=DeliverySettings(head_hold=0.0, compression=compression)).app
    async with asyncio.timeout(PATIENCE), listening(app) as direct:
        port = direct.base_url.port
        assert port is not None
        with nginx(tmp_path, port, http) as address:
            async with through(address) as client, client.stream("POST", STREAM, json=ASK) as reply:
                assert reply.status_code == 200
                said = ""
                async for text in reply.aiter_text():
                    if "text_delta" in text:
                        arrived.release()
                    said += text
    assert re.findall(r'"content":"(word\d) "', said) == [f"word{number}" for number in range(5)]
    assert said.endswith("event: done\ndata: {}\n\n")
    trial.cases += 1
