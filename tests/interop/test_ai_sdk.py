"""Vercel's AI SDK, three versions of it, with the chat behind useChat."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [
    pytest.mark.interop,
    pytest.mark.node,
    pytest.mark.parametrize("package", ["ai-5", "ai-6", "ai"], ids=["v5", "v6", "v7"]),
]


async def test_traps(upstream: Any, node: Any, package: str) -> None:
    """What the SDK does with bytes that we therefore never send; a change tells that a trap has moved."""

    def chunk(kind_: str, **fields: Any) -> Any:
        return upstream.data({"type": kind_, **fields})

    start, words, delta = chunk("start"), chunk("text-start", id="t"), chunk("text-delta", id="t", delta="a")
    end = [chunk("text-end", id="t"), chunk("finish"), b"data: [DONE]\n\n"]
    step = chunk("start-step")
    streams = {
        "comments, with and without a block": [start, words, b": x\n\n: x\n", delta, *end],
        "an id": [b"id: 1\n" + start, b": x\n\n", words, delta, *end],
        "a key that nobody knows": [start, words, chunk("text-delta", id="t", delta="a", novel=1), *end],
        "no end": [start, words, delta],
        "a type that nobody knows": [start, words, delta, chunk("novelty"), *end],
        "a type of v7": [start, words, delta, chunk("custom", kind="our.own"), *end],
        "another type of v7": [start, step, words, chunk("reset-step"), words, delta, *end],
        "a delta before its start": [start, delta, *end],
        "empty data": [start, words, delta, b"data:\n\n", *end],
    }
    upstream.answers = [[upstream.HEAD, *stream] for stream in streams.values()]
    url = upstream.url.removesuffix("/v1")
    met = await node("ai.mjs", package, url, [("ask", "c", "?")] * len(streams))
    trapped = [name for name, said in zip(streams, met, strict=True) if said["status"] == "error"]
    v7 = package == "ai"
    types = [name for name in streams if "type" in name and not (v7 and "v7" in name)]
    assert trapped == [*types, "a delta before its start", "empty data"]
    assert all(_text(said) == "a" for said in met if said["status"] != "error")


def _text(said: Any) -> str:
    return "".join(part.get("text", "") for part in said["parts"])
