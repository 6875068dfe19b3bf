"""OpenAI's own client against the real app, heartbeats as dense as they get: Responses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response
from starlette.types import ASGIApp

from ragstream import ChatRequest, Ragstream, StreamEvent
from ragstream.delivery.settings import DeliverySettings
from ragstream.errors import ErrorCode, ProviderError
from ragstream.events import Citation, EventType, Source

Listening = Callable[[ASGIApp], AbstractAsyncContextManager[httpx.AsyncClient]]

PATH = "/v1/responses"
SOURCE = Source(id="s1", title="Greetings", uri="https://a.example/hello", quote="Hello", score=0.9)


class Pipeline:
    """Answers, once it may go on after its first words."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.requests: list[ChatRequest] = []

    async def answer(self, request: ChatRequest) -> AsyncGenerator[str | StreamEvent, None]:
        self.requests.append(request)
        yield StreamEvent(type=EventType.SOURCES, sources=(SOURCE,))
        yield "Well, "
        await self.go_on.wait()
        if "fail" in request.messages[-1].text:
            raise ProviderError("The provider is silent.", code=ErrorCode.UPSTREAM_TIMEOUT)
        yield "hello [1]."
        yield StreamEvent(type=EventType.CITATION, citation=Citation(source_id="s1", start=12, end=15))


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


@pytest.fixture
def ragstream(pipeline: Pipeline) -> Ragstream:
    return Ragstream(pipeline.answer, delivery=DeliverySettings(heartbeat=0.05, head_hold=0.01))


@pytest.fixture
async def http(listening: Listening, ragstream: Ragstream) -> AsyncIterator[httpx.AsyncClient]:
    async with asyncio.timeout(60), listening(ragstream.app) as client:
        yield client


@pytest.fixture
async def client(http: httpx.AsyncClient) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{http.base_url}/v1", api_key="unused", max_retries=0) as client:
        yield client


def check(response: Response) -> None:
    assert (response.status, response.output_text) == ("completed", "Well, hello [1].")
    kinds = [item.type for item in response.output]
    assert kinds == ["file_search_call", "message"]
    message = response.output[1]
    assert message.type == "message"
    part = message.content[0]
    assert part.type == "output_text"
    assert [annotation.type for annotation in part.annotations] == ["url_citation"]


async def test_a_stream_that_is_lost_and_read_on(client: openai.AsyncOpenAI, pipeline: Pipeline) -> None:
    stream = await client.responses.create(input="Hello?", stream=True, background=True)
    events: list[Any] = []
    async for event in stream:
        events.append(event)
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    name = events[0].response.id
    pipeline.go_on.set()
    after = events[-1].sequence_number
    async for event in await client.responses.retrieve(name, stream=True, starting_after=after):
        events.append(event)  # noqa: PERF401 - the point is that they come one by one
    assert [event.sequence_number for event in events] == list(range(1, len(events) + 1))
    check(events[-1].response)
    again = [event async for event in await client.responses.retrieve(name, stream=True, starting_after=0)]
    assert again == events
    assert len(pipeline.requests) == 1


async def test_the_helper_of_the_client(client: openai.AsyncOpenAI, pipeline: Pipeline) -> None:
    pipeline.go_on.set()
    async with client.responses.stream(input="Hello?", model="ragstream") as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_response()
    assert (final.output_text, final.status) == ("Well, hello [1].", "completed")
    async with client.responses.stream(response_id=final.id, starting_after=5) as replay:
        numbers = [event.sequence_number async for event in replay]
    assert numbers[0] == 6


async def test_whole_and_retrieved(client: openai.AsyncOpenAI, pipeline: Pipeline) -> None:
    pipeline.go_on.set()
    key = {"Idempotency-Key": "one"}
    response = await client.responses.create(input="Hello?", metadata={"team": "a"}, extra_headers=key)
    check(response)
    assert response.metadata == {"team": "a"}
    assert await client.responses.retrieve(response.id) == response
    assert (
        await client.responses.create(input="Hello?", metadata={"team": "a"}, extra_headers=key) == response
    )


async def test_it_outlives_its_log(
    client: openai.AsyncOpenAI, pipeline: Pipeline, ragstream: Ragstream
) -> None:
    pipeline.go_on.set()
    response = await client.responses.create(input="Hello?")
    await ragstream.service.log.delete(response.id.removeprefix("resp_"))
    for _ in range(2):
        again = await client.responses.retrieve(response.id)
        assert (again.id, again.output_text, again.status) == (response.id, "Well, hello [1].", "completed")
        await client.responses.cancel(response.id)


async def test_in_the_background(client: openai.AsyncOpenAI, pipeline: Pipeline) -> None:
    begun = await client.responses.create(input="Hello?", background=True)
    assert begun.status in ("queued", "in_progress")
    assert (await client.responses.retrieve(begun.id)).status == "in_progress"
    pipeline.go_on.set()
    async for _ in await client.responses.retrieve(begun.id, stream=True):
        pass
    check(await client.responses.retrieve(begun.id))


async def test_stopped(client: openai.AsyncOpenAI) -> None:
    begun = await client.responses.create(input="Hello?", background=True)
    for _ in range(2):
        stopped = await client.responses.cancel(begun.id)
        assert (stopped.id, stopped.status) == (begun.id, "cancelled")
    kinds = [event.type async for event in await client.responses.retrieve(begun.id, stream=True)]
    assert kinds[-1] == "response.failed"
    with pytest.raises(openai.NotFoundError):
        await client.responses.cancel("resp_" + "0" * 32)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(begun.id.removeprefix("resp_"))


async def test_a_failure(client: openai.AsyncOpenAI, pipeline: Pipeline) -> None:
    pipeline.go_on.set()
    with pytest.raises(openai.InternalServerError) as raised:
        await client.responses.create(input="fail")
    assert (raised.value.status_code, raised.value.code) == (504, "upstream_timeout")
    name = "resp_" + raised.value.response.headers["x-stream-id"]
    response = await client.responses.retrieve(name)
    assert response.error
    assert (response.status, response.error.code) == ("failed", "upstream_timeout")


async def test_a_conversation_goes_on(client: openai.AsyncOpenAI, pipeline: Pipeline) -> None:
    pipeline.go_on.set()
    first = await client.responses.create(input="One?", instructions="Be brief.")
    second = await client.responses.create(
        input=[{"role": "user", "content": [{"type": "input_text", "text": "Two?"}]}],
        instructions="Be exact.",
        previous_response_id=first.id,
    )
    assert second.previous_response_id == first.id
    assert second.conversation == first.conversation
    assert first.conversation
    await client.responses.create(input="Three?", conversation=first.conversation.id)
    told = [[message.text for message in request.messages] for request in pipeline.requests]
    assert told[0] == ["Be brief.", "One?"]
    assert told[1] == ["Be exact.", "One?", "Well, hello .", "Two?"]  # instructions are one request's
    assert told[2] == ["One?", "Well, hello .", "Two?", "Well, hello .", "Three?"]
    with pytest.raises(openai.NotFoundError):
        await client.responses.create(input="Four?", previous_response_id="resp_" + "0" * 32)


async def test_a_conversation_branches_from_an_earlier_response(
    client: openai.AsyncOpenAI, http: httpx.AsyncClient, pipeline: Pipeline
) -> None:
    pipeline.go_on.set()

    async def ask(text: str, after: str | None = None) -> Response:
        return await client.responses.create(input=text, previous_response_id=after)

    def told() -> list[str]:
        return [message.text for message in pipeline.requests[-1].messages]

    first = await ask("One?")
    second = await ask("Two?", first.id)
    other = await ask("Else?", first.id)
    assert told() == ["One?", "Well, hello .", "Else?"]
    assert other.previous_response_id == first.id
    assert other.conversation
    assert other.conversation != first.conversation == second.conversation
    on = await ask("More?", other.id)
    assert told() == ["One?", "Well, hello .", "Else?", "Well, hello .", "More?"]
    assert on.conversation == other.conversation
    assert (await ask("Three?", second.id)).conversation == second.conversation
    assert told() == ["One?", "Well, hello .", "Two?", "Well, hello .", "Three?"]
    query = {"session_id": other.conversation.id}
    history = (await http.get("/api/v1/chatbot/messages", params=query)).json()["messages"]
    assert [said["content"] for said in history if said["role"] == "user"] == ["One?", "Else?", "More?"]
    assert history[1]["content"] == "Well, hello [1]."
    check(await client.responses.retrieve(first.id))


async def test_of_two_questions_after_one_response_the_second_branches(
    client: openai.AsyncOpenAI, pipeline: Pipeline
) -> None:
    pipeline.go_on.set()
    first = await client.responses.create(input="One?")
    both = await asyncio.gather(
        *(
            client.responses.create(input=text, previous_response_id=first.id, background=True)
            for text in ("Two?", "Else?")
        )
    )
    for one in both:
        async for _ in await client.responses.retrieve(one.id, stream=True):
            pass
    told = [[message.text for message in request.messages] for request in pipeline.requests]
    assert sorted(told[1:]) == [["One?", "Well, hello .", text] for text in ("Else?", "Two?")]
    assert both[0].conversation != both[1].conversation


async def test_its_output_can_be_sent_back(client: openai.AsyncOpenAI, pipeline: Pipeline) -> None:
    pipeline.go_on.set()
    first = await client.responses.create(input="One?")
    items: list[Any] = [{"role": "user", "content": "One?"}]
    items += [item.model_dump() for item in first.output]
    items.append({"role": "user", "content": "Two?"})
    await client.responses.create(input=items)
    told = [message.text for message in pipeline.requests[-1].messages]
    assert told == ["One?", "Well, hello [1].", "Two?"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": " "}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "assistant", "content": "Hi"}]}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"text": {"format": {"type": "json_schema"}}}, "text"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(
    http: httpx.AsyncClient, fields: dict[str, Any], param: str
) -> None:
    reply = await http.post(PATH, json={"input": "Hello?"} | fields)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (422, "invalid_field")
    assert error["param"].startswith(param), error


async def test_cursors(http: httpx.AsyncClient, pipeline: Pipeline) -> None:
    pipeline.go_on.set()
    name = (await http.post(PATH, json={"input": "Hello?", "tools": [{"type": "file_search"}]})).json()["id"]
    for asked, status, code in (
        ("stream=true&starting_after=x", 400, "bad_cursor"),
        ("stream=true&starting_after=999", 409, "cursor_ahead"),
        ("stream=perhaps", 422, "invalid_field"),
    ):
        reply = await http.get(f"{PATH}/{name}?{asked}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    blocks = (await http.get(f"{PATH}/{name}?stream=true")).text.replace(": ping\n", "").split("\n\n")
    last = len(blocks) - 2
    assert (await http.get(f"{PATH}/{name}?stream=true&starting_after={last}")).status_code == 204
