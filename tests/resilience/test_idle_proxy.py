"""Behind a proxy that cuts what is idle: heartbeats keep the line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from tests.resilience.proxies import proxy
from tests.trial import Trial, said

from ragstream.delivery.settings import DeliverySettings
from ragstream.llm import ScriptedProvider

PATIENCE = 90.0
IDLE = 15.0  # seconds without a byte after which the proxy cuts

Serve = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.mark.nightly
@pytest.mark.trial("T17", "a proxy that cuts what is idle for 15 s, and an answer that is silent for 18")
async def test_heartbeats_keep_the_line(serve: Serve, trial: Trial) -> None:
    async def back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await asyncio.wait_for(reader.read(1 << 16), IDLE):
            writer.write(data)

    provider = ScriptedProvider(["Hel", 18.0, "lo"])
    async with (
        serve(provider, delivery=DeliverySettings(head_hold=0.0)) as server,
        proxy(server.port, back) as port,
        asyncio.timeout(PATIENCE),
    ):
        asked = await server.ask()
        stream_id = asked.headers["x-stream-id"]
        asked.cut("RST")
        direct, server.port = server.port, port
        line = await server.follow(stream_id)
        blocks = [block async for block in line.events()]
        assert line.ended
        server.port = direct
        trial.case(said(blocks), said(await server.whole(stream_id)))
        await line.aclose()
