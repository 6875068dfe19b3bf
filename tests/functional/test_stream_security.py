"""Streams are their owner's: ids that nobody guesses, foreign ones as absent as missing ones, no forgery."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest

from ragstream import ChatRequest, Ragstream
from ragstream.delivery.protocols import DIALECTS

CHAT = "/api/v1/chatbot/chat"
ANN, BOB = {"authorization": "Bearer ann-secret"}, {"authorization": "Bearer bob-secret"}
KEYS = [("ann", "ann-secret"), ("bob", "bob-secret")]
FORGED = [
    "x\n\nevent: done\ndata: {}\n\n",
    "\r\n\r\nid: 99\r\nevent: message_complete\r\ndata: {}\r\n\r\n",
    "\rdata: [DONE]\r\r",
    ":\n\nretry: 1\n\n",
    "\u2028\u2029\x85\x0b\x0c\x1c\0\ufeff",
    '"}\n\ndata: {"type":"failed"}\n\n',
]


async def answer(request: ChatRequest) -> AsyncGenerator[str, None]:
    for text in FORGED if "forge" in request.messages[-1].text else ["Well."]:
        yield text


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with asyncio.timeout(60), Ragstream(answer, api_keys=KEYS) as ragstream:
        transport = httpx.ASGITransport(ragstream.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


async def ask(client: httpx.AsyncClient, text: str = "Hello?") -> dict[str, Any]:
    reply = await client.post(CHAT, json={"messages": [{"role": "user", "content": text}]}, headers=ANN)
    whole: dict[str, Any] = reply.raise_for_status().json()
    return whole


async def routes(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    """Return method and path of every route that names a stream, a response or a session."""
    paths = (await client.get("/openapi.json")).json()["paths"]
    return [
        (method.upper(), path)
        for path, methods in paths.items()
        if "{" in path and "document" not in path
        for method in methods
    ]


def filled(path: str, stream_id: str, session_id: str) -> str:
    """Return the path with these ids in its places."""
    names = {"stream_id": stream_id, "response_id": f"resp_{stream_id}"}
    return re.sub(r"\{(\w+)\}", lambda place: names.get(place[1], session_id), path)


async def test_foreign_and_missing_ones_answer_alike_on_every_route(client: httpx.AsyncClient) -> None:
    mine = await ask(client)
    nobody = ("0" * 32, "0" * 32)
    seen = 0
    for method, path in await routes(client):
        body = {"name": "Taken"} if method == "PATCH" else None
        foreign, missing = [
            await client.request(method, filled(path, *ids), headers=BOB, json=body)
            for ids in ((mine["stream_id"], mine["session_id"]), nobody)
        ]
        assert foreign.status_code == missing.status_code, path
        assert foreign.status_code in (204, 404), f"{method} {path}: {foreign.text}"
        said = [re.sub(r"[0-9a-f]{16,}", "", reply.text) for reply in (foreign, missing)]
        assert said[0] == said[1], path
        heads = [
            {name: value for name, value in reply.headers.items() if name != "x-request-id"}
            for reply in (foreign, missing)
        ]
        assert heads[0] == heads[1], path
        seen += 1
    assert seen >= 8
    again = await client.get(f"/api/v1/streams/{mine['stream_id']}", headers=ANN)
    assert again.status_code == 200, "and nothing was changed by it"


async def test_a_question_in_a_foreign_session(client: httpx.AsyncClient) -> None:
    mine = await ask(client)
    question = {"messages": [{"role": "user", "content": "What did ann ask?"}]}
    foreign, missing = [
        await client.post(CHAT, json=question | {"session_id": session_id}, headers=BOB)
        for session_id in (mine["session_id"], "0" * 32)
    ]
    assert foreign.status_code == missing.status_code == 404
    assert foreign.json() | {"request_id": ""} == missing.json() | {"request_id": ""}


async def test_who_comes_back_is_asked_for_the_key_again(client: httpx.AsyncClient) -> None:
    mine = await ask(client)
    for method, path in await routes(client):
        for headers in ({}, {"authorization": "Bearer ann-secre"}, {"authorization": "Bearer "}):
            reply = await client.request(
                method, filled(path, mine["stream_id"], mine["session_id"]), headers=headers
            )
            assert reply.status_code == 401, f"{method} {path}"
            assert reply.headers["www-authenticate"] == "Bearer"
    in_the_url = await client.get(f"/api/v1/streams/{mine['stream_id']}?api_key=ann-secret")
    assert in_the_url.status_code in (400, 401)


async def test_ids_have_128_random_bits(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(ask(client) for _ in range(50)))
    for name in ("stream_id", "session_id"):
        ids = [whole[name] for whole in answers]
        assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in ids)
        assert len(set(ids)) == len(ids)
        fixed = [place for place in range(32) if len({one[place] for one in ids}) < 5]
        assert not fixed, "fifty draws show nearly all of sixteen digits at every place"


@pytest.mark.parametrize("protocol", list(DIALECTS))
async def test_what_a_model_writes_is_never_a_frame(client: httpx.AsyncClient, protocol: str) -> None:
    mine = await ask(client, "Please forge something.")
    path = f"/api/v1/streams/{mine['stream_id']}"
    wire = (await client.get(path, params={"protocol": protocol}, headers=ANN)).content
    assert b"\r" not in wire
    wire.decode()
    said, ends = "", 0
    for block in wire.removesuffix(b"\n\n").split(b"\n\n"):
        lines = block.split(b"\n")
        assert sum(line.startswith(b"data: ") for line in lines) == 1, block
        assert all(re.match(rb"(id: \d+|event: [a-z_.]+|retry: \d+|data: .*)$", line) for line in lines), (
            block
        )
        data = next(line[6:] for line in lines if line.startswith(b"data: "))
        if data == b"[DONE]" or b"event: done" in lines:
            ends += 1
            continue
        said += "".join(texts(json.loads(data)))
    assert ends <= 1
    assert all(text in said for text in FORGED), "it arrives as it was written"


def texts(value: Any) -> list[str]:
    """Return every text in a JSON value."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in texts(one)]
