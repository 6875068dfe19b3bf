"""A line that is cut after any byte: half an event is never seen, and the reader goes on from a whole one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource
from tests.resilience.proxies import cut_after, proxy
from tests.trial import Said, Trial, said

from ragstream.llm import ScriptedProvider

PATIENCE = 20.0
WORDS = [
    *(
        "é",
        "🙂🙃",
        "a\rb",
        "\r\n",
        "\n\r",
        "data: x\n\n",
        "id: 9\r",
        "\u2028\x85",
        "\ufeff",
        "漢字🀄\r\n\r\n",
    ),
    *(f"word{number} 🙂\r\n" for number in range(28)),
]

Serve = Callable[..., AbstractAsyncContextManager[Any]]


async def read(client: httpx.AsyncClient, url: str, after: int = 0) -> list[Said]:
    """Return the events that a client of others has seen when the response ended, or was cut."""
    events: list[Said] = []
    headers = {"last-event-id": str(after)} if after else {}
    try:
        async with client.stream("GET", url, headers=headers) as response:
            if response.status_code == 204:
                return events
            async for event in EventSource(response).aiter_sse():
                seq = 0 if event.event == "done" else int(event.id)
                events.append(Said(seq, event.event, event.data.encode()))
    except httpx.TransportError:
        pass  # cut
    return [event for event in events if event.seq]


@pytest.mark.trial("T02", "the line is cut after every byte: FIN, RST")
@pytest.mark.parametrize("every", [61, pytest.param(1, marks=pytest.mark.nightly)])
@pytest.mark.timeout(900)
async def test_cut_after_every_byte(serve: Serve, trial: Trial, every: int) -> None:
    at = 0

    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await cut_after(at, reader, writer, rudely=at % 2 == 0)

    async with (
        serve(ScriptedProvider(WORDS)) as server,
        proxy(server.port, back) as port,
        httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client,
    ):
        stream_id = await server.service.ask("Go on.")
        log = said(await server.whole(stream_id))
        path = f"/api/v1/streams/{stream_id}"
        direct, cut = f"http://127.0.0.1:{server.port}{path}", f"http://127.0.0.1:{port}{path}"
        had: list[Said] = []
        while had != log:
            had = await read(client, cut)
            assert had == log[: len(had)], f"cut after {at} bytes: a part of an event was seen"
            rest = await read(client, direct, after=len(had))
            trial.case(had + rest, log, f"cut after {at} bytes")
            at += every
    trial.measure(bytes_of_the_response=at)
