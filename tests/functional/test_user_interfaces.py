"""The AI SDK's chat transport and AG-UI over a real socket, heartbeats as dense as they get."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from ragstream import ChatRequest, Ragstream, StreamEvent
from ragstream.delivery.settings import DeliverySettings
from ragstream.errors import ErrorCode, ProviderError
from ragstream.events import EventType, Source

Listening = Callable[[ASGIApp], AbstractAsyncContextManager[httpx.AsyncClient]]

CHAT, AGENT = "/api/v1/ui/chat", "/api/v1/ui/agent"
ADA, BOB = {"authorization": "Bearer " + "a" * 32}, {"authorization": "Bearer " + "b" * 32}
SOURCE = Source(id="s1", title="Greetings", uri="https://a.example/hello", quote="Hello", score=0.9)


class Pipeline:
    """Answers, once it may go on after its first words."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.words, self.failing = "hello.", False
        self.requests: list[ChatRequest] = []

    async def answer(self, request: ChatRequest) -> AsyncGenerator[str | StreamEvent, None]:
        self.requests.append(request)
        if "refuse" in request.messages[-1].text:
            raise ProviderError("The key is wrong.", code=ErrorCode.UPSTREAM_AUTH)
        yield StreamEvent(type=EventType.SOURCES, sources=(SOURCE,))
        yield "Well, "
        await self.go_on.wait()
        if self.failing:
            raise ProviderError("The provider is silent.", code=ErrorCode.UPSTREAM_TIMEOUT)
        yield self.words

    @property
    def told(self) -> list[list[str]]:
        return [[message.text for message in request.messages] for request in self.requests]


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


@pytest.fixture
def ragstream(pipeline: Pipeline) -> Ragstream:
    keys = [("ada", "a" * 32), ("bob", "b" * 32)]
    delivery = DeliverySettings(heartbeat=0.05, head_hold=5)
    return Ragstream(pipeline.answer, api_keys=keys, delivery=delivery)


@pytest.fixture
async def http(listening: Listening, ragstream: Ragstream) -> AsyncIterator[httpx.AsyncClient]:
    async with asyncio.timeout(60), listening(ragstream.app) as client:
        client.headers.update(ADA)
        yield client


def asked(text: str, *earlier: tuple[str, str], chat: str = "chat-1", **fields: Any) -> dict[str, Any]:
    said = [*earlier, ("user", text)]
    messages = [
        {"id": f"m{n}", "role": role, "parts": [{"type": "step-start"}, {"type": "text", "text": words}]}
        for n, (role, words) in enumerate(said)
    ]
    return {"id": chat, "messages": messages, "trigger": "submit-message"} | fields


def run(text: str, thread: str = "thread-1", **fields: Any) -> dict[str, Any]:
    messages = [{"id": "m1", "role": "user", "content": text}]
    more: dict[str, Any] = {"tools": [], "context": [], "state": {}, "forwardedProps": {}}
    return {"threadId": thread, "runId": "run-1", "messages": messages, **more} | fields


def chunks(text: str) -> list[dict[str, Any]]:
    blocks = text.replace(": ping\n", "").removesuffix("data: [DONE]\n\n").split("\n\n")[:-1]
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


async def words_of(lines: AsyncIterator[str], last: str) -> list[str]:
    """Read up to the line that has ``last`` in it."""
    read = []
    async for line in lines:
        read.append(line)
        if last in line:
            break
    return read


async def test_a_chat_that_is_left_and_resumed(http: httpx.AsyncClient, pipeline: Pipeline) -> None:
    async with http.stream("POST", CHAT, json=asked("Hello?")) as first:
        assert first.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert first.headers["content-type"].startswith("text/event-stream")
        assert (first.headers["x-session-id"], len(first.headers["x-stream-id"])) == ("chat-1", 32)
        seen = await words_of(first.aiter_lines(), "Well")
    async with http.stream("GET", f"{CHAT}/chat-1/stream") as again:
        assert again.headers["x-stream-id"] == first.headers["x-stream-id"]
        pipeline.go_on.set()
        whole = "".join([text async for text in again.aiter_text()])
    assert whole.endswith("data: [DONE]\n\n")
    assert all(line in whole for line in seen)  # from the start, as the client builds the message anew
    said = chunks(whole)
    assert [chunk["delta"] for chunk in said if chunk["type"] == "text-delta"] == ["Well, ", "hello."]
    assert said[-1]["type"] == "finish"
    assert (await http.get(f"{CHAT}/chat-1/stream")).status_code == 204
    assert (await http.get(f"{CHAT}/never/stream")).status_code == 204
    assert len(pipeline.requests) == 1


async def test_a_chat_goes_on(http: httpx.AsyncClient, pipeline: Pipeline) -> None:
    pipeline.go_on.set()
    earlier = (("user", "Zero?"), ("assistant", "Zero."))
    await http.post(CHAT, json=asked("One?", *earlier))
    sent = (*earlier, ("user", "One?"), ("assistant", "Whatever the client made of it."))
    await http.post(CHAT, json=asked("Two?", *sent))
    assert pipeline.told[0] == ["Zero?", "Zero.", "One?"]
    assert pipeline.told[1] == ["Zero?", "Zero.", "One?", "Well, hello.", "Two?"]
    sessions = (await http.get("/api/v1/auth/sessions")).json()["sessions"]
    assert [session["id"] for session in sessions] == ["chat-1"]
    assert sessions[0]["name"]


async def history(http: httpx.AsyncClient) -> list[str]:
    reply = await http.get("/api/v1/chatbot/messages", params={"session_id": "chat-1"})
    return [message["content"] for message in reply.json()["messages"]]


async def test_an_answer_that_is_given_anew_replaces_the_old_one(
    http: httpx.AsyncClient, pipeline: Pipeline
) -> None:
    pipeline.go_on.set()
    await http.post(CHAT, json=asked("One?"))
    first = chunks((await http.post(CHAT, json=asked("Two?"))).text)
    again = asked("Two?", ("user", "One?"), ("assistant", "Well, hello."), trigger="regenerate-message")
    pipeline.failing = True
    assert '"type":"error"' in (await http.post(CHAT, json=again)).text
    assert await history(http) == ["One?", "Well, hello.", "Two?", "Well, hello.", "Two?", "Well, "]
    pipeline.failing, pipeline.words = False, "good day."
    await http.post(CHAT, json=asked("Three?"))
    before = ["One?", "Well, hello.", "Two?", "Well, hello."]
    assert pipeline.told[-1] == [*before, "Three?"], "the old answer stands while no new one is complete"
    assert (await history(http))[-2:] == ["Three?", "Well, good day."]
    await http.post(CHAT, json=again | {"messageId": first[0]["messageId"]})
    for request in (pipeline.told[2], pipeline.told[-1]):
        assert request == ["One?", "Well, hello.", "Two?"], "the question is told once"
    assert await history(http) == ["One?", "Well, hello.", "Two?", "Well, good day."]
    pipeline.words = "good night."
    await http.post(CHAT, json=again)
    assert await history(http) == ["One?", "Well, hello.", "Two?", "Well, good night."]


async def test_what_was_never_answered_is_given_for_the_first_time(
    http: httpx.AsyncClient, pipeline: Pipeline
) -> None:
    pipeline.go_on.set()
    await http.post(CHAT, json=asked("One?"))
    await http.post(CHAT, json=asked("Two?", trigger="regenerate-message", messageId="the client's own"))
    assert await history(http) == ["One?", "Well, hello.", "Two?", "Well, hello."]
    await http.post(CHAT, json=asked("Two?", chat="chat-2", trigger="regenerate-message"))
    assert len(await history(http)) == 4


async def test_stopped(http: httpx.AsyncClient) -> None:
    async with http.stream("POST", CHAT, json=asked("Hello?")) as reply:
        lines = reply.aiter_lines()
        await words_of(lines, "Well")
        stopped = await http.post(f"{CHAT}/chat-1/stop")
        assert stopped.json() == {"stream_id": reply.headers["x-stream-id"], "state": "cancelling"}
        rest = await words_of(lines, "[DONE]")
    assert any('"type":"abort"' in line for line in rest)
    assert (await http.post(f"{CHAT}/chat-1/stop")).json()["state"] == "ended"
    assert (await http.post(f"{CHAT}/never/stop")).status_code == 204


async def test_an_answer_that_is_not_stored_yet_is_resumed_and_stopped(
    http: httpx.AsyncClient, ragstream: Ragstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database hangs, so all that is known of the answer is that it is being written here."""
    hanging, turns = asyncio.Event(), ragstream.service.turns
    store = turns.open

    async def hang(turn: Any) -> None:
        if not hanging.is_set():
            hanging.set()
            await asyncio.Event().wait()
        await store(turn)

    monkeypatch.setattr(turns, "open", hang)
    asking = asyncio.create_task(http.post(CHAT, json=asked("Hello?")))
    await hanging.wait()
    assert (await http.get(f"{CHAT}/chat-1/stream", headers=BOB)).status_code == 204
    assert (await http.post(f"{CHAT}/chat-1/stop", headers=BOB)).status_code == 204
    resuming = asyncio.create_task(http.get(f"{CHAT}/chat-1/stream"))
    writing = ragstream.service.supervisor.newest_of("chat-1")
    assert writing
    async with asyncio.timeout(10):
        while writing.readers < 2:  # noqa: ASYNC110 - nobody tells when a reader has come
            await asyncio.sleep(0)
    stopped = (await http.post(f"{CHAT}/chat-1/stop")).json()
    again = await resuming
    assert stopped == {"stream_id": again.headers["x-stream-id"], "state": "cancelling"}
    assert '"type":"abort"' in again.text
    assert '"type":"abort"' in (await asking).text
    assert (await http.get(f"{CHAT}/chat-1/stream")).status_code == 204


async def test_somebody_elses_chat_is_as_absent_as_a_missing_one(
    http: httpx.AsyncClient, pipeline: Pipeline
) -> None:
    async with http.stream("POST", CHAT, json=asked("Hello?")) as reply:
        await words_of(reply.aiter_lines(), "Well")
        refused = await http.post(CHAT, json=asked("Mine!"), headers=BOB)
        assert refused.status_code == 404
        assert refused.headers["content-type"].startswith("text/plain")
        assert (await http.get(f"{CHAT}/chat-1/stream", headers=BOB)).status_code == 204
        assert (await http.post(f"{CHAT}/chat-1/stop", headers=BOB)).status_code == 204
        assert (await http.post(AGENT, json=run("Mine!", "chat-1"), headers=BOB)).status_code == 404
    pipeline.go_on.set()
    assert len(pipeline.requests) == 1


async def test_a_key_gives_one_answer(http: httpx.AsyncClient, pipeline: Pipeline) -> None:
    pipeline.go_on.set()
    key = {"idempotency-key": "one"}
    for path, body in ((CHAT, asked("Hello?")), (AGENT, run("Hello?"))):
        streams = [(await http.post(path, json=body, headers=key)).text for _ in range(2)]
        key = {"idempotency-key": "two"}
        assert chunks(streams[0]) == chunks(streams[1])
    assert len(pipeline.requests) == 2


async def test_what_goes_wrong_is_said_in_words(http: httpx.AsyncClient) -> None:
    failed = await http.post(CHAT, json=asked("refuse"))
    assert (failed.status_code, failed.headers["content-type"]) == (502, "text/plain; charset=utf-8")
    assert failed.headers["x-session-id"] == asked("refuse")["id"]
    assert failed.text.startswith("The key is wrong. (upstream_auth, request ")
    for body, says in (
        (b"{", "Not JSON"),
        (json.dumps(asked(" ")).encode(), "the last message must be the user's"),
        (json.dumps(asked("a", chat="")).encode(), "id: "),
        (json.dumps(asked("a", chat="a b")).encode(), "id: "),
        (json.dumps(asked("a", chat="a/b?")).encode(), "id: "),  # neither resume nor stop could name it
        (json.dumps(asked("a") | {"messages": []}).encode(), "messages: "),
        (json.dumps(asked("a") | {"messages": [_FILE]}).encode(), "data URL"),
        (json.dumps(asked("a", model="gpt-9")).encode(), "There is no model"),
    ):
        reply = await http.post(CHAT, content=body, headers={"content-type": "application/json"})
        assert 400 <= reply.status_code < 500
        assert says in reply.text
        assert "\n" not in reply.text
    unknown = await http.post(CHAT, json=asked("a"), headers={"authorization": "Bearer x"})
    assert (unknown.status_code, unknown.headers["content-type"]) == (401, "text/plain; charset=utf-8")


_FILE = {
    "role": "user",
    "parts": [{"type": "file", "mediaType": "application/pdf", "url": "https://a/b.pdf"}],
}


async def test_a_run(http: httpx.AsyncClient, pipeline: Pipeline) -> None:
    pipeline.go_on.set()
    context = [{"description": "The page", "value": "Fjords"}]
    first = await http.post(AGENT, json=run("One?", context=context, parentRunId="run-0"))
    assert "[DONE]" not in first.text
    assert "\r" not in first.text
    events = chunks(first.text)
    assert events[0] == {
        "type": "RUN_STARTED", "threadId": "thread-1", "runId": "run-1", "parentRunId": "run-0",
    }  # fmt: skip
    assert events[1]["name"] == "sources"
    assert events[-1]["type"] == "RUN_FINISHED"
    assert pipeline.told == [["The page: Fjords", "One?"]]
    again = await http.get(f"/api/v1/streams/{first.headers['x-stream-id']}?protocol=agui")
    assert chunks(again.text) == events
    await http.post(AGENT, json=run("Two?"))
    assert pipeline.told[1] == ["One?", "Well, hello.", "Two?"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"tools": [{"name": "f"}]}, "tools"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "messages"),
        ({"threadId": ""}, "threadId"),
        ({"runId": 7}, "runId"),
    ],
)
async def test_what_cannot_be_run_is_refused_by_name(
    http: httpx.AsyncClient, fields: dict[str, Any], path: str
) -> None:
    reply = await http.post(AGENT, json=run("Hello?") | fields)
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid_field")
    assert reply.json()["path"].startswith(path)


@pytest.mark.parametrize("name", ["native", "chat", "responses", "ui", "agui"])
async def test_one_answer_in_every_protocol(
    http: httpx.AsyncClient, pipeline: Pipeline, ragstream: Ragstream, name: str
) -> None:
    pipeline.go_on.set()
    stream_id = (await http.post(CHAT, json=asked("Hello?"))).headers["x-stream-id"]
    url = f"/api/v1/streams/{stream_id}?protocol={name}"
    reply = await http.get(url)
    assert reply.headers["x-stream-id"] == stream_id
    assert '"Well, "' in reply.text
    wholes = [await http.get(url, headers={"accept": "application/json"})]
    await ragstream.service.log.delete(stream_id)
    wholes.append(await http.get(url, headers={"accept": "application/json"}))
    assert [whole.status_code for whole in wholes] == [200, 200]
    assert all("Well, hello." in whole.text for whole in wholes)
    retold = (await http.get(url)).text
    assert '"Well, hello."' in retold
    assert ENDS[name] in retold
    assert stream_id in retold or name == "native"  # whose reader knows how the answer began
    if name != "native":
        assert "answer_replaced" in (await http.get(f"{url}&after=2")).text


ENDS = {
    "native": "event: message_complete",
    "chat": '"finish_reason":"stop"',
    "responses": "event: response.completed",
    "ui": '"type":"finish"',
    "agui": '"type":"RUN_FINISHED"',
}
