"""An upload is refused before it is kept: without a key at once, too large at the limit, stuck in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

import httpx
import pytest

from ragstream import ChatRequest, Ragstream
from ragstream.api.parts import ApiSettings
from ragstream.delivery.settings import DeliverySettings

PATH = "/api/v1/documents"
FORM = {"content-type": "multipart/form-data; boundary=cut"}
KEY = {"authorization": "Bearer secret-of-ann"}
HEAD = b'--cut\r\ncontent-disposition: form-data; name="file"; filename="a.md"\r\n\r\n'
PIECE = b"x" * 10_000


async def answer(_request: ChatRequest) -> AsyncGenerator[str, None]:
    yield "Well."


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    ragstream = Ragstream(
        answer, api_keys=[("ann", "secret-of-ann")], delivery=DeliverySettings(body_deadline=0.2)
    )
    state = ragstream.service.app.state
    state.parts = replace(state.parts, settings=ApiSettings(upload_max=20_000))
    transport = httpx.ASGITransport(ragstream.app)
    asking = httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=5)
    async with ragstream, asking as client:
        yield client


async def endless(taken: list[int]) -> AsyncIterator[bytes]:
    yield HEAD
    for _ in range(1000):
        taken.append(len(PIECE))
        yield PIECE


async def test_without_a_key_nothing_is_read(client: httpx.AsyncClient) -> None:
    taken: list[int] = []
    reply = await client.post(PATH, content=endless(taken), headers=FORM)
    assert (reply.status_code, taken) == (401, [])


async def test_beyond_the_limit_no_more_is_read(client: httpx.AsyncClient) -> None:
    taken: list[int] = []
    reply = await client.post(PATH, content=endless(taken), headers=FORM | KEY)
    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")
    assert sum(taken) < 100_000


async def test_of_two_files_none_is_lost_unsaid(client: httpx.AsyncClient) -> None:
    body = HEAD + b"one\r\n" + HEAD + b"two\r\n--cut--\r\n"
    reply = await client.post(PATH, content=body, headers=FORM | KEY)
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_request")
    assert "one file" in reply.json()["detail"]


@pytest.mark.parametrize("path", [PATH, "/api/v1/auth/session"])
async def test_a_body_that_stops_to_arrive_is_refused(client: httpx.AsyncClient, path: str) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield HEAD
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        reply = await client.post(path, content=stuck(), headers=FORM | KEY)
    assert (reply.status_code, reply.json()["code"]) == (408, "request_timeout")
