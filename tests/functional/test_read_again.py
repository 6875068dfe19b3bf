"""Answers that are asked for a second time: by cursor, as JSON, or under the same idempotency key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragstream import ChatRequest, Ragstream
from ragstream.errors import StorageUnavailable, Unavailable

CHAT = "/api/v1/chatbot/chat"
ASK = {"messages": [{"role": "user", "content": "Hello?"}]}
KEY = {"idempotency-key": "one"}
JSON = {"accept": "application/json"}


async def answer(_request: ChatRequest) -> AsyncGenerator[str, None]:
    yield "Well, "
    yield "hello."


@pytest.fixture(params=["memory", "sqlite"])
async def ragstream(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ragstream]:
    async with (
        asyncio.timeout(30),
        Ragstream(answer, folder=tmp_path if request.param == "sqlite" else None) as ragstream,
    ):
        yield ragstream


@pytest.fixture
async def client(ragstream: Ragstream) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(ragstream.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def test_a_key_whose_question_was_refused_is_free_again(
    ragstream: Ragstream, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> None:
        raise Unavailable("Too many answers are under way.")

    with monkeypatch.context() as full:
        full.setattr(ragstream.service.supervisor, "start", refuse)
        assert (await client.post(CHAT, json=ASK, headers=KEY)).status_code == 503
    again = await client.post(CHAT, json=ASK, headers=KEY)
    assert again.status_code == 200, again.text
    assert (await client.post(CHAT, json=ASK, headers=KEY)).json() == again.json()


async def test_questions_sent_at_once_under_one_key_get_one_answer(
    ragstream: Ragstream, client: httpx.AsyncClient
) -> None:
    paths = [CHAT, f"{CHAT}/stream"]
    for path in paths:
        key = {"idempotency-key": path}
        replies = await asyncio.gather(*(client.post(path, json=ASK, headers=key) for _ in range(100)))
        assert {reply.status_code for reply in replies} == {200}
        for name in ("x-stream-id", "x-session-id"):
            assert len({reply.headers[name] for reply in replies}) == 1
        assert len({reply.content for reply in replies}) == 1
    value = ragstream.service._parts.metrics.registry.get_sample_value
    assert value("ragstream_llm_attempts_total", {"provider": "answer", "outcome": "complete"}) == len(paths)


async def test_another_question_under_the_same_key(client: httpx.AsyncClient) -> None:
    await client.post(CHAT, json=ASK, headers=KEY)
    other = {"messages": [{"role": "user", "content": "And now?"}]}
    reply = await client.post(CHAT, json=other, headers=KEY)
    assert (reply.status_code, reply.json()["code"]) == (422, "idempotency_mismatch")


async def test_keys_belong_to_who_asks() -> None:
    keys = [("ann", "ann-secret"), ("bob", "bob-secret")]
    async with asyncio.timeout(30), Ragstream(answer, api_keys=keys) as ragstream:
        transport = httpx.ASGITransport(ragstream.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            streams = set()
            for _, secret in keys:
                headers = {**KEY, "authorization": f"Bearer {secret}"}
                for _ in range(2):
                    reply = await client.post(CHAT, json=ASK, headers=headers)
                    streams.add(reply.json()["stream_id"])
            assert len(streams) == 2


@pytest.mark.parametrize("keys", [[b""], [b"x" * 256], [b"a\tb"], ["é".encode()], [b"one", b"two"]], ids=repr)
async def test_keys_that_are_none(client: httpx.AsyncClient, keys: list[bytes]) -> None:
    headers = [(b"idempotency-key", key) for key in keys]
    reply = await client.post(CHAT, json=ASK, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_idempotency_key")


async def test_a_key_that_another_process_is_about_to_use(
    ragstream: Ragstream, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes have a store in common: the second one finds the key claimed, but no log yet."""
    service = ragstream.service
    first = asyncio.create_task(client.post(CHAT, json=ASK, headers=KEY))
    begin, reached, go_on = service.supervisor.start, asyncio.Event(), asyncio.Event()

    async def begin_late(*arguments: Any) -> None:
        reached.set()
        await go_on.wait()
        await begin(*arguments)

    monkeypatch.setattr(service.supervisor, "start", begin_late)
    await reached.wait()
    monkeypatch.setattr(service.supervisor, "claiming", asyncio.Lock())  # the other process has its own
    looked, look = asyncio.Event(), service.turns.get

    async def get(stream_id: str) -> Any:
        looked.set()
        return await look(stream_id)

    monkeypatch.setattr(service.turns, "get", get)
    second = asyncio.create_task(client.post(CHAT, json=ASK, headers=KEY))
    await looked.wait()
    go_on.set()
    replies = await asyncio.gather(first, second)
    assert [reply.status_code for reply in replies] == [200, 200]
    assert len({reply.json()["stream_id"] for reply in replies}) == 1


async def test_a_key_whose_process_died_before_it_began_is_free_again(
    ragstream: Ragstream, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    body_hashes: list[str] = []
    store = ragstream.service._parts.stores.idempotency
    claim = store.claim

    async def remember(owner: str, key: str, body_hash: str, stream_id: str) -> str:
        if not body_hashes:  # as another process did, before it died
            await claim(owner, key, body_hash, "d" * 32)
        body_hashes.append(body_hash)
        return await claim(owner, key, body_hash, stream_id)

    monkeypatch.setattr(store, "claim", remember)
    reply = await client.post(CHAT, json=ASK, headers=KEY)
    assert reply.status_code == 200
    assert len(body_hashes) > 1


@pytest.mark.parametrize("path", [CHAT, f"{CHAT}/stream"])
async def test_a_key_outlives_the_log(ragstream: Ragstream, client: httpx.AsyncClient, path: str) -> None:
    first = await client.post(path, json=ASK, headers=KEY)
    await ragstream.service.log.delete(first.headers["x-stream-id"])
    again = await client.post(path, json=ASK, headers=KEY)
    assert again.status_code == 200, again.text
    assert again.headers["x-stream-id"] == first.headers["x-stream-id"]
    assert "Well, hello." in again.text


async def test_the_whole_is_whole_at_every_cursor(client: httpx.AsyncClient) -> None:
    whole = (await client.post(CHAT, json=ASK)).json()
    for after in range(5):
        reply = await client.get(f"/api/v1/streams/{whole['stream_id']}?after={after}", headers=JSON)
        assert (reply.status_code, reply.json()) == (200, whole), after


async def test_the_whole_of_a_log_that_is_gone(ragstream: Ragstream, client: httpx.AsyncClient) -> None:
    whole = (await client.post(CHAT, json=ASK)).json()
    await ragstream.service.log.delete(whole["stream_id"])
    reply = await client.get(f"/api/v1/streams/{whole['stream_id']}", headers=JSON)
    assert (reply.status_code, reply.json()) == (200, whole)


async def test_an_interrupted_answer_that_was_never_stored_ends_at_its_terminal(
    ragstream: Ragstream, client: httpx.AsyncClient
) -> None:
    stream_id = "7" * 32
    writer = await ragstream.service.log.open(stream_id, "local")
    await writer.close()  # as if its process had died before anything was said
    await ragstream.service._settler.settle()  # as at the next start
    assert "interrupted" in (await client.get(f"/api/v1/streams/{stream_id}")).text
    last = await client.get(f"/api/v1/streams/{stream_id}", headers={"last-event-id": "2"})
    assert last.status_code == 204, last.text


async def test_a_database_that_fails_keeps_nobody_from_a_log(
    ragstream: Ragstream, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: str) -> None:
        raise StorageUnavailable("The database is away.")

    asked = await client.post(f"{CHAT}/stream", json=ASK)
    stream_id, log = asked.headers["x-stream-id"], ragstream.service.log
    status = await log.status(stream_id)
    assert status is not None
    monkeypatch.setattr(ragstream.service._parts.stores.turns, "get", fail)
    path = f"/api/v1/streams/{stream_id}"
    replies = [
        await client.get(path, headers={"last-event-id": str(after)}) for after in range(status.last_seq + 1)
    ]
    assert replies[0].text.partition("id: 1\n")[2] == asked.text.partition("id: 1\n")[2]
    assert [reply.status_code for reply in replies] == [200] * status.last_seq + [204]
    assert {reply.headers.get("x-session-id") for reply in replies[:-1]} == {asked.headers["x-session-id"]}
    await log.delete(stream_id)
    assert (await client.get(path)).status_code == 503


async def test_whoever_has_all_of_an_interrupted_log_is_told_that_the_database_fails(
    ragstream: Ragstream, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was stored as is not known, and 204 would end the coming back for good."""

    async def fail(_: str) -> None:
        raise StorageUnavailable("The database is away.")

    stream_id = "7" * 32
    writer = await ragstream.service.log.open(stream_id, "local")
    await writer.close()
    await ragstream.service._settler.settle()
    monkeypatch.setattr(ragstream.service._parts.stores.turns, "get", fail)
    path = f"/api/v1/streams/{stream_id}"
    assert "interrupted" in (await client.get(path)).text
    assert (await client.get(path, headers={"last-event-id": "2"})).status_code == 503


async def test_a_fault_of_ours_gives_the_request_id_back(
    ragstream: Ragstream, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ragstream.service.supervisor, "start", fail)
    reply = await client.post(CHAT, json=ASK)
    assert reply.status_code == 500
    assert reply.headers["x-request-id"] == reply.json()["request_id"]


async def test_a_number_of_thousands_of_digits(client: httpx.AsyncClient) -> None:
    body = b'{"messages":[{"role":"user","content":"?"}],"metadata":{"n":' + b"1" * 5000 + b"}}"
    reply = await client.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_json")
