"""Conversations over HTTP: made, listed, renamed, read, cleared and deleted, an answer under way included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragstream import ChatRequest, Ragstream
from ragstream.delivery.settings import DeliverySettings

CHAT = "/api/v1/chatbot/chat"
STREAM = "/api/v1/chatbot/chat/stream"
MESSAGES = "/api/v1/chatbot/messages"
SESSIONS = "/api/v1/auth/sessions"
ASK = {"messages": [{"role": "user", "content": "Hello?"}]}

Listening = Callable[[Any], AbstractAsyncContextManager[httpx.AsyncClient]]


async def answer(request: ChatRequest) -> AsyncGenerator[str, None]:
    yield "Well. "
    if "wait" in request.messages[-1].text:
        await asyncio.Event().wait()


@pytest.fixture(params=["memory", "sqlite"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "sqlite" else None


@pytest.fixture
async def client(listening: Listening, folder: Path | None) -> AsyncIterator[httpx.AsyncClient]:
    async with listening(Ragstream(answer, folder=folder).app) as client:
        yield client


async def begin(client: httpx.AsyncClient, name: str = "") -> str:
    made = await client.post("/api/v1/auth/session", json={"name": name})
    assert made.status_code == 201
    return str(made.json()["id"])


async def test_made_listed_and_renamed(client: httpx.AsyncClient) -> None:
    first, second = await begin(client, "One"), await begin(client)
    listed = (await client.get(SESSIONS)).json()["sessions"]
    assert {session["id"]: session["name"] for session in listed} == {first: "One", second: ""}
    renamed = await client.patch(f"{SESSIONS}/{second}", json={"name": "Two"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Two")
    listed = (await client.get(SESSIONS)).json()["sessions"]
    assert {session["name"] for session in listed} == {"One", "Two"}


async def test_a_session_without_a_body(client: httpx.AsyncClient) -> None:
    made = await client.post("/api/v1/auth/session")
    assert (made.status_code, made.json()["name"]) == (201, "")


async def test_the_history_has_what_was_asked_and_answered(client: httpx.AsyncClient) -> None:
    session = await begin(client)
    whole = (await client.post(CHAT, json=ASK | {"session_id": session})).json()
    history = (await client.get(MESSAGES, params={"session_id": session})).json()
    question, told = history["messages"]
    assert (history["session_id"], question["role"], question["content"]) == (session, "user", "Hello?")
    assert (told["role"], told["content"], told["status"]) == ("assistant", "Well. ", "complete")
    assert (told["stream_id"], told["finish_reason"]) == (whole["stream_id"], "stop")
    assert "status" not in question


async def test_a_session_is_made_and_named_by_its_first_question(client: httpx.AsyncClient) -> None:
    session = (await client.post(CHAT, json=ASK)).json()["session_id"]
    (listed,) = (await client.get(SESSIONS)).json()["sessions"]
    assert (listed["id"], listed["name"]) == (session, "Hello?")


async def test_clearing_takes_messages_and_logs_and_leaves_the_session(client: httpx.AsyncClient) -> None:
    whole = (await client.post(CHAT, json=ASK)).json()
    session = {"session_id": whole["session_id"]}
    assert (await client.delete(MESSAGES, params=session)).status_code == 204
    assert (await client.get(MESSAGES, params=session)).json()["messages"] == []
    assert (await client.get(f"/api/v1/streams/{whole['stream_id']}")).status_code == 404
    assert len((await client.get(SESSIONS)).json()["sessions"]) == 1


@pytest.mark.parametrize("how", ["clear", "delete"])
async def test_an_answer_under_way_is_ended_first(client: httpx.AsyncClient, how: str) -> None:
    question = {"messages": [{"role": "user", "content": "Please wait."}]}
    async with asyncio.timeout(20), client.stream("POST", STREAM, json=question) as reply:
        session, stream_id = reply.headers["x-session-id"], reply.headers["x-stream-id"]
        lines = reply.aiter_lines()
        while "Well." not in await anext(lines):
            pass
        under_way = (await client.get(MESSAGES, params={"session_id": session})).json()["messages"][-1]
        assert (under_way["status"], under_way["stream_id"]) == ("streaming", stream_id)
        if how == "clear":
            gone = await client.delete(MESSAGES, params={"session_id": session})
        else:
            gone = await client.delete(f"{SESSIONS}/{session}")
        assert gone.status_code == 204
        rest = "\n".join([line async for line in lines])
    assert rest.count("event: cancelled") == 1
    assert rest.rstrip().endswith("event: done\ndata: {}")
    assert (await client.get(f"/api/v1/streams/{stream_id}")).status_code == 404
    history = await client.get(MESSAGES, params={"session_id": session})
    if how == "clear":
        assert history.json()["messages"] == []
    else:
        assert history.status_code == 404
        assert (await client.get(SESSIONS)).json()["sessions"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", f"{SESSIONS}/{'0' * 32}"),
        ("DELETE", f"{SESSIONS}/{'0' * 32}"),
        ("GET", f"{MESSAGES}?session_id={'0' * 32}"),
        ("DELETE", f"{MESSAGES}?session_id={'0' * 32}"),
    ],
)
async def test_sessions_that_are_not_there(client: httpx.AsyncClient, method: str, path: str) -> None:
    reply = await client.request(method, path, json={"name": "x"})
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


async def test_a_session_is_its_owners_alone(listening: Listening) -> None:
    app = Ragstream(answer, api_keys=[("ann", "a" * 20), ("bob", "b" * 20)]).app
    ann, bob = ({"authorization": f"Bearer {key * 20}"} for key in "ab")
    async with listening(app) as client:
        session = (await client.post(CHAT, json=ASK, headers=ann)).json()["session_id"]
        assert (await client.get(SESSIONS, headers=bob)).json() == {"sessions": []}
        for method, path in (
            ("PATCH", f"{SESSIONS}/{session}"),
            ("DELETE", f"{SESSIONS}/{session}"),
            ("GET", f"{MESSAGES}?session_id={session}"),
            ("DELETE", f"{MESSAGES}?session_id={session}"),
        ):
            reply = await client.request(method, path, json={"name": "x"}, headers=bob)
            assert reply.status_code == 404, (method, path)
        history = await client.get(MESSAGES, params={"session_id": session}, headers=ann)
        assert len(history.json()["messages"]) == 2


@pytest.mark.parametrize("path", [CHAT, STREAM])
async def test_a_session_deleted_while_a_question_comes_in_stays_deleted(
    listening: Listening, folder: Path | None, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    patient = DeliverySettings(head_hold=30.0)
    ragstream = Ragstream(answer, folder=folder, delivery=patient)
    async with listening(ragstream.app) as client:
        session = (await client.post("/api/v1/auth/session")).json()["id"]
        store = ragstream.service.turns.open

        async def delete_first(turn: Any) -> None:
            assert (await client.delete(f"{SESSIONS}/{session}")).status_code == 204
            await store(turn)

        monkeypatch.setattr(ragstream.service.turns, "open", delete_first)
        reply = await client.post(path, json={**ASK, "session_id": session})
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
        assert (await client.get(SESSIONS)).json() == {"sessions": []}
