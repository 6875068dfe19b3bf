"""One answer, begun in one protocol and read on in others, by their own clients, while it is written."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest


async def _with_responses(client: openai.AsyncOpenAI, stream_id: str) -> str:
    stream = await client.responses.retrieve(f"resp_{stream_id}", stream=True)
    return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])


async def _with_the_ai_sdk(house: Any, node: Any, stream_id: str) -> str:
    address = f"{house.address}/api/v1/streams/{stream_id}?protocol=ui"
    (read,) = await node("ai.mjs", "ai", f"{house.address}/api/v1/ui/chat", [("read", "any", address)])
    return "".join(part["text"] for part in read["parts"] if part["type"] == "text")


async def _with_our_client(house: Any, node: Any, stream_id: str) -> str:
    return str(house.text(await node("ours.mjs", house.address, stream_id)))


@pytest.mark.interop
@pytest.mark.node
async def test_whoever_leaves_in_one_protocol_reads_on_in_another(house: Any, node: Any) -> None:
    async with openai.AsyncOpenAI(base_url=f"{house.address}/v1", api_key="unused") as client:
        question: Any = [{"role": "user", "content": "Tell me slowly."}]
        async with await client.chat.completions.create(
            model="ragstream", messages=question, stream=True
        ) as stream:
            stream_id = stream.response.headers["x-stream-id"]
            await anext(stream)  # and leave
        readers = [
            asyncio.create_task(_with_responses(client, stream_id)),
            asyncio.create_task(_with_the_ai_sdk(house, node, stream_id)),
            asyncio.create_task(_with_our_client(house, node, stream_id)),
        ]
        await house.read_by(3)
        house.go_on.set()
        texts = await asyncio.gather(*readers)
    assert texts == [house.TEXT] * 3
    assert house.asked == ["Tell me slowly."]
