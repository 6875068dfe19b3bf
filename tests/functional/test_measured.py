"""What readers do is measured: read from ``/metrics`` as Prometheus does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ragstream import ChatRequest, Ragstream
from ragstream.delivery.settings import DeliverySettings
from ragstream.storage.memory import MemoryTurns

CHAT = "/api/v1/chatbot/chat"
ASK = {"messages": [{"role": "user", "content": "Hello?"}]}
JSON = {"accept": "application/json"}


async def answer(_: ChatRequest) -> AsyncGenerator[str, None]:
    yield "Well, "
    yield "hello."


@pytest.fixture
async def ragstream() -> AsyncIterator[Ragstream]:
    async with asyncio.timeout(30), Ragstream(answer) as ragstream:
        yield ragstream


@pytest.fixture
async def client(ragstream: Ragstream) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(ragstream.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def value(client: httpx.AsyncClient, name: str, **labels: str) -> float:
    exposition = (await client.get("/metrics")).text
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name == f"ragstream_{name}" and sample.labels == labels:
                return float(sample.value)
    return 0.0


async def test_answers_by_protocol_and_form(client: httpx.AsyncClient) -> None:
    stream_id = (await client.post(f"{CHAT}/stream", json=ASK)).headers["x-stream-id"]
    await client.post(CHAT, json=ASK)
    for _ in range(2):
        await client.get(f"/api/v1/streams/{stream_id}", params={"protocol": "chat"})
    await client.get(f"/api/v1/streams/{stream_id}", headers=JSON)
    assert await value(client, "streams_total", protocol="native", form="stream") == 1
    assert await value(client, "streams_total", protocol="native", form="whole") == 2
    assert await value(client, "streams_total", protocol="chat", form="stream") == 2
    assert await value(client, "resumes_total") == 3
    assert await value(client, "first_byte_seconds_count") == 1, "of questions, not of readers who came back"
    assert await value(client, "readers") == 0


async def test_gaps_are_loud(ragstream: Ragstream, client: httpx.AsyncClient) -> None:
    stream_id = (await client.post(f"{CHAT}/stream", json=ASK)).headers["x-stream-id"]
    path = f"/api/v1/streams/{stream_id}"
    assert (await client.get(path, params={"after": "99"})).status_code == 409
    await ragstream.service.log.delete(stream_id)
    reset = await client.get(path, params={"after": "2"})
    assert "event: reset" in reset.text
    assert (await client.get(path, headers=JSON)).status_code == 200  # who wants the whole has it
    gone = (await client.post(CHAT, json=ASK)).headers["x-stream-id"]
    turns = cast(MemoryTurns, ragstream.service.turns)
    turns.rows[gone] = msgspec.structs.replace(turns.rows[gone], ending=None)  # its end was not stored
    await ragstream.service.log.delete(gone)
    expired = await client.get(f"/api/v1/streams/{gone}")
    assert (expired.status_code, expired.json()["code"]) == (410, "cursor_expired")
    for told in ("cursor_ahead", "reset", "cursor_expired"):
        assert await value(client, "gaps_total", told=told) == 1, told


async def test_refusals_by_the_limit(client: httpx.AsyncClient, ragstream: Ragstream) -> None:
    ragstream.service.supervisor._settings = DeliverySettings(max_answers=0)
    for _ in range(2):
        assert (await client.post(CHAT, json=ASK)).status_code == 503
    assert await value(client, "refusals_total", code="server_answers_limit") == 2
