"""OpenAI's own clients, for Python and for Node.js: the same calls give the same in both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest

ENDINGS = ("response.completed", "response.failed", "response.incomplete")
Call = tuple[str, str]
Client = Callable[..., Awaitable[list[dict[str, Any]]]]


class Python:
    """The client for Python; what it gives has the form in which the driver for Node.js prints it."""

    def __init__(self, address: str) -> None:
        self._client = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0)

    async def make(self, *calls: Call) -> list[dict[str, Any]]:
        async with self._client:
            return [await self._make(*call) for call in calls]

    async def _make(self, call: str, question: str) -> dict[str, Any]:
        said: dict[str, Any] = {"text": "", "reasoning": "", "sources": [], "annotations": []}
        try:
            await getattr(self, call)(said, [{"role": "user", "content": question}])
        except openai.APIError as error:
            status = getattr(error, "status_code", None)
            said["error"] = {"code": error.code, "message": error.message, "status": status}
        except ValueError as error:
            said["error"] = {"bug": repr(error)}
        return said

    async def whole(self, said: dict[str, Any], messages: Any) -> None:
        reply = await self._client.chat.completions.create(model="ragstream", messages=messages)
        self._take(said, reply.to_dict())

    async def stream(self, said: dict[str, Any], messages: Any) -> None:
        stream = await self._client.chat.completions.create(
            model="ragstream", messages=messages, stream=True, stream_options={"include_usage": True}
        )
        async for chunk in stream:
            self._take(said, chunk.to_dict())

    async def collect(self, said: dict[str, Any], messages: Any) -> None:
        async with self._client.chat.completions.stream(model="ragstream", messages=messages) as stream:
            self._take(said, (await stream.get_final_completion()).to_dict())

    async def collect_response(self, said: dict[str, Any], messages: Any) -> None:
        question = messages[0]["content"]
        async with self._client.responses.stream(model="ragstream", input=question) as stream:
            said["text"] = (await stream.get_final_response()).output_text

    async def respond(self, said: dict[str, Any], messages: Any) -> None:
        said |= {"numbers": [], "types": [], "cuts": 0}
        create = self._client.responses.create(input=messages[0]["content"], stream=True, background=True)
        stream, name = await create, ""
        while not name or not said["types"][-1].startswith(ENDINGS):
            try:
                async for event in stream:
                    name = name or event.response.id  # type: ignore[union-attr]
                    self._note(said, event)
            except openai.APIConnectionError:
                said["cuts"] += 1
                stream = await self._client.responses.retrieve(
                    name, stream=True, starting_after=said["numbers"][-1]
                )
        response = await self._client.responses.retrieve(name)
        said |= {"status": response.status, "whole": response.output_text}
        said["usage"] = response.usage and response.usage.to_dict()

    def _note(self, said: dict[str, Any], event: Any) -> None:
        said["numbers"].append(event.sequence_number)
        said["types"].append(event.type)
        if event.type == "response.output_text.delta":
            said["text"] += event.delta
        if event.type == "response.reasoning_text.delta":
            said["reasoning"] += event.delta
        if event.type == "response.output_text.annotation.added":
            said["annotations"].append(event.to_dict()["annotation"])
        if event.type == "response.failed":
            said["failed"] = event.response.error.code

    async def stop(self, said: dict[str, Any], messages: Any) -> None:
        begun = await self._client.responses.create(input=messages[0]["content"], background=True)
        said["status"] = (await self._client.responses.cancel(begun.id)).status

    def _take(self, said: dict[str, Any], chunk: Any) -> None:
        said["usage"] = chunk.get("usage")
        for choice in chunk["choices"]:
            delta = choice.get("delta", choice.get("message"))
            said["text"] += delta.get("content") or ""
            said["reasoning"] += delta.get("reasoning_content") or ""
            said["sources"] += delta.get("sources", [])
            said["annotations"] += delta.get("annotations", [])
            said["finish_reason"] = choice.get("finish_reason")


@pytest.fixture(params=["python", pytest.param("node", marks=[pytest.mark.interop, pytest.mark.node])])
def client(request: pytest.FixtureRequest, node: Any) -> Callable[[str], Client]:
    """Return what makes calls to a server with one of the clients."""

    def at(address: str) -> Client:
        async def make(*calls: Call) -> list[dict[str, Any]]:
            said: list[dict[str, Any]] = await node("openai.mjs", address, calls)
            return said

        return make if request.param == "node" else Python(address).make

    return at


async def test_chat_completions(house: Any, client: Any) -> None:
    stream, whole = await client(house.address)(("stream", "Tell me."), ("whole", "Tell me."))
    for said in (stream, whole):
        assert "error" not in said
        assert said["text"] == house.TEXT
        assert said["reasoning"] == "Let me see."
        assert said["usage"]["total_tokens"] == 21
        assert [source["id"] for source in said["sources"]] == ["s1", "s2"]
        cited = [one["url_citation"] for one in said["annotations"]]
        assert [(one["title"], house.TEXT[one["start_index"] : one["end_index"]]) for one in cited] == [
            ("Verbs", "[1]"),
            ("Endings", "[2]"),
        ]


async def test_the_helpers_that_collect_a_stream(house: Any, client: Any) -> None:
    """They put the deltas together by rules of their own, which are stricter than reading them."""
    chat, response = await client(house.address)(("collect", "Tell me."), ("collect_response", "Tell me."))
    assert chat["text"] == response["text"] == house.TEXT
    assert chat["finish_reason"] == "stop"
    assert [source["id"] for source in chat["sources"]] == ["s1", "s2"]
    assert chat["annotations"][-1]["url_citation"]["title"] == "Endings"


async def test_a_failure_in_the_middle_is_thrown(house: Any, client: Any) -> None:
    calls = (("stream", "Fail."), ("whole", "Fail."), ("stream", "Cut."), ("whole", "Cut."))
    broken, broken_whole, cut, cut_whole = await client(house.address)(*calls)
    assert [said["error"]["code"] for said in (broken, cut)] == ["upstream_error", "upstream_truncated"]
    for said in (broken, cut):
        assert said["text"].startswith("Leaving is not stopping")
        assert not said.get("finish_reason")
    assert [said["error"]["code"] for said in (broken_whole, cut_whole)] == [
        "upstream_error",
        "upstream_truncated",
    ]
    assert [said["error"]["status"] for said in (broken_whole, cut_whole)] == [502, 502]


async def test_a_cut_line_is_thrown(house: Any, client: Any) -> None:
    house.cuts = [1500]
    (said,) = await client(house.line)(("stream", "Tell me."))
    assert said["error"]
    assert said["text"] in house.TEXT
    assert not said.get("finish_reason")


async def test_a_response_is_read_on_where_the_line_was_cut(house: Any, client: Any) -> None:
    house.cuts = [3000]
    (said,) = await client(house.line)(("respond", "Tell me slowly."))
    assert (said["cuts"], said.get("error")) == (1, None)
    assert said["numbers"] == list(range(1, len(said["numbers"]) + 1))
    assert (said["types"][0], said["types"][-1]) == ("response.created", "response.completed")
    assert said["text"] == said["whole"] == house.TEXT
    assert said["reasoning"] == "Let me see."
    assert [one["title"] for one in said["annotations"] if one["type"] == "url_citation"] == ["Verbs"]
    assert (said["status"], said["usage"]["total_tokens"]) == ("completed", 21)


async def test_a_response_that_fails_or_is_stopped(house: Any, client: Any) -> None:
    failed, stopped = await client(house.address)(("respond", "Fail."), ("stop", "Never end."))
    assert (failed["status"], failed["failed"]) == ("failed", "upstream_error")
    assert failed["types"].count("response.failed") == 1
    assert stopped["status"] == "cancelled"


async def test_traps(upstream: Any, client: Any, request: pytest.FixtureRequest) -> None:
    """What these clients do with bytes that we therefore never send; a change tells that a trap has moved."""
    first, *rest = upstream.chunk("a"), upstream.chunk("b"), upstream.chunk(finish_reason="stop")
    end = [*rest, b"data: [DONE]\n\n"]
    fields = b"event: message\nid: 1\nretry: 10\n"
    error = upstream.data({"error": {"message": "Broken.", "code": "broken"}})
    streams = {
        "a comment as a block": [first, b": ping\n\n", *end],
        "a comment as a block, after an id": [b"id: 1\n" + first, b": ping\n\n", *end],
        "retry as a block": [b"retry: 10\n\n", first, *end],
        "a comment before a block, after an id": [b"id: 1\n" + first, b": ping\n", *end],
        "all fields": [fields + first, *end],
        "CRLF": [b"".join([first, *end]).replace(b"\n", b"\r\n")],
        "an error": [first, error],
        "neither a finish reason nor an end": [first, rest[0]],
    }
    upstream.answers = [[upstream.HEAD, *stream] for stream in streams.values()]
    calls = [("stream", "?")] * len(streams)
    all_said = await client(upstream.url.removesuffix("/v1"))(*calls)
    met = {name: said.get("error", said["text"]) for name, said in zip(streams, all_said, strict=True)}
    code = met.pop("an error").get("code")
    assert code == "broken"
    trapped = {name for name, said in met.items() if said != "ab"}
    python = request.node.callspec.id == "python"
    assert trapped == ({"a comment as a block, after an id", "retry as a block"} if python else set())
