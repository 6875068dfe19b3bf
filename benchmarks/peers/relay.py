"""A bare ASGI relay, aiohttp and msgspec: about what Python can do, for it does nothing else.

It decodes each chunk, says its text as an event with a number, and forgets it: no log, no second reader, no
stop, no timeout, no metrics; a disconnect goes unnoticed until the answer has ended.
"""

from __future__ import annotations

import os
from typing import Any

import aiohttp
import msgspec

_URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
_HEAD = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
_session: aiohttp.ClientSession | None = None


class Delta(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    delta: Delta


class Chunk(msgspec.Struct):
    choices: list[Choice] = []


_decode = msgspec.json.Decoder(Chunk).decode
_encode = msgspec.json.encode


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    global _session
    if scope["type"] != "http":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    if _session is None:
        _session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
        )
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    asked = msgspec.json.decode(body)
    await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
    number, rest = 0, b""
    async with _session.post(_URL, json={**asked, "stream": True}) as response:
        async for piece in response.content.iter_any():
            *events, rest = (rest + piece).split(b"\n\n")
            for event in events:
                if event == b"data: [DONE]":
                    continue
                chunk = _decode(event[6:])
                if chunk.choices and chunk.choices[0].delta.content:
                    number += 1
                    data = b"id: %d\nevent: text_delta\ndata: %s\n\n" % (
                        number,
                        _encode(chunk.choices[0].delta),
                    )
                    await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b"event: done\ndata: {}\n\n", "more_body": False})
