"""The head of a request over a real socket: bounded in size and time, and with one end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

from ragstream import Ragstream

SECONDS = 20.0

Listening = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


async def echo(request: Any) -> AsyncGenerator[str, None]:
    yield request.messages[-1].text


async def send(client: httpx.AsyncClient, *pieces: bytes) -> bytes:
    """Send bytes, and return what comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(SECONDS):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


GET = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n"
POST = b"POST /api/v1/chatbot/chat HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (GET + b"".join(b"x-%d: a\r\n" % n for n in range(100)) + b"\r\n", 431, b"headers_too_large"),
        (GET + b"x-a: " + b"a" * 65_536 + b"\r\n\r\n", 431, b""),
        (GET + b"x-a: " + b"a" * 33_000 + b"\r\n\r\n", 431, b"headers_too_large"),
        (GET.replace(b"/healthz", b"/healthz?" + b"a" * 16_384) + b"\r\n", 414, b"url_too_long"),
        (POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, b""),
        (POST + b"content-length: -5\r\n\r\n", 400, b""),
        (POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello", 400, b""),
    ],
)
async def test_a_head_without_measure(
    listening: Listening, request_: bytes, status: int, code: bytes
) -> None:
    async with listening(Ragstream(echo).app) as client:
        said = await send(client, request_)
        assert said.startswith(b"HTTP/1.1 %d " % status)
        assert code in said
        assert (await client.get("/healthz")).status_code == 200


async def test_a_head_without_end(listening: Listening) -> None:
    async with listening(Ragstream(echo).app) as client:
        assert b" 200 " not in await send(client, GET + b"x-a: ", *[b"a" * 50_000] * 100)
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    "pieces",
    [(b"",), (b"GET /healthz HT",), (GET, b"x-a: a\r\n"), (GET + b"\r\n", b"GET /health")],
    ids=["nothing", "half a line", "half a head", "half a second head"],
)
async def test_a_head_that_does_not_arrive(
    listening: Listening, pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragstream.bootstrap.connection._HEAD_SECONDS", 0.2)
    async with listening(Ragstream(echo).app) as client:
        said = await send(client, *pieces)
    assert said.count(b"HTTP/1.1 200") == (len(pieces[0]) > len(GET))


async def test_a_request_that_is_there_may_take_its_time(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragstream.bootstrap.connection._HEAD_SECONDS", 0.05)

    async def slow(request: Any) -> AsyncGenerator[str, None]:
        await asyncio.sleep(0.3)  # longer than a head may take
        yield "late"

    asked = {"messages": [{"role": "user", "content": "?"}]}
    async with listening(Ragstream(slow).app) as client:
        reply = await client.post("/api/v1/chatbot/chat", json=asked)
    assert reply.json()["message"]["content"] == "late"


ASKED = b'{"messages": [{"role": "user", "content": "one two"}]}'
OLD = b"POST /api/v1/chatbot/%b HTTP/1.0\r\nconnection: keep-alive\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize("path", [b"chat/stream", b"chat"])
async def test_a_client_of_http_1_0_gets_no_chunks(listening: Listening, path: bytes) -> None:
    async with listening(Ragstream(echo).app) as client:
        said = await send(client, OLD % path, b"content-length: %d\r\n\r\n" % len(ASKED), ASKED)
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    if path == b"chat":
        assert b"content-length: %d" % len(body) in head
    else:
        assert b"content-length" not in head
        blocks = body.split(b"\n\n")
        assert all(block.startswith((b"id: ", b"event: done", b": ")) for block in blocks[:-1])
        assert b'"content":"one two"' in body
        assert body.endswith(b"event: done\ndata: {}\n\n")
