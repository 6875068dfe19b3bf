"""Vercel's AI SDK, three versions of it, with the chat behind useChat."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [
    pytest.mark.interop,
    pytest.mark.node,
    pytest.mark.parametrize("package", ["ai-5", "ai-6", "ai"], ids=["v5", "v6", "v7"]),
]


API = "/api/v1/ui/chat"


async def test_a_chat(house: Any, node: Any, package: str) -> None:
    calls = [("ask", "one", "Tell me."), ("resume", "one"), ("resume", "none")]
    told, late, early = await node("ai.mjs", package, house.address + API, calls)
    assert (told["statuses"], told["status"], told.get("error")) == ([200], "ready", None)
    assert _text(told) == house.TEXT
    assert [_about(part) for part in told["parts"] if part["type"] != "text"] == [
        "step-start",
        ("source-url", "s1", "https://docs.example/verbs", "Verbs"),
        ("source-document", "s2", "endings.md", "Endings"),
        ("reasoning", "Let me see."),
        ("dynamic-tool", "look", {"where": "docs"}, "Found."),
        *(("data-citation", f"s{n}", (at := house.TEXT.index(f"[{n}]"), at + 3)) for n in (1, 2)),
    ]
    assert told["metadata"]["usage"]["total_tokens"] == 21
    assert told["executed"] == [], "a tool that Ragstream executed is not the page's to execute"
    assert told["steps"] > 3
    for nothing in (late, early):
        assert (nothing["statuses"], nothing["status"], nothing["parts"]) == ([204], "ready", [])


async def test_a_page_that_was_opened_anew_goes_on_with_the_answer(
    house: Any, node: Any, package: str
) -> None:
    house.cuts = [3600]  # among the words
    calls = [("ask", "one", "Tell me slowly."), ("resume", "one")]
    cut, resumed = await node("ai.mjs", package, house.line + API, calls)
    assert cut["status"] == "error"
    assert 0 < len(_text(cut)) < len(house.TEXT)
    assert (resumed["statuses"], resumed["status"]) == ([200], "ready")
    assert _text(resumed) == house.TEXT
    assert resumed["metadata"]["streamId"] == cut["metadata"]["streamId"]


async def test_a_chat_goes_on_where_its_line_was_cut(house: Any, node: Any, package: str) -> None:
    house.cuts = [3600]  # among the words
    (mended,) = await node("ai.mjs", package, house.line + API, [("mend", "one", "Tell me slowly.")])
    assert (mended["statuses"], mended["status"]) == ([200, 200], "ready")
    assert _text(mended) == house.TEXT


async def test_an_answer_is_given_anew(house: Any, node: Any, package: str) -> None:
    several = "Tell me.\nFail.\nTell me."
    calls = [("again", "one", several), ("back", "two", several)]
    newest, first = await node("ai.mjs", package, house.address + API, calls)
    for told in (newest, first):
        assert (told["statuses"], told["status"]) == ([200] * 4, "ready")
        assert _text(told) == house.TEXT
    failed = house.TEXT.partition("\N{LINE SEPARATOR}")[0]
    whole = ["Tell me.", house.TEXT]
    assert [text for _, text in await house.history("one")] == [*whole, "Fail.", failed, *whole]
    assert [text for _, text in await house.history("two")] == whole
    for told, chat in ((newest, "one"), (first, "two")):
        assert (await house.history(chat))[-1][0] == told["metadata"]["streamId"]


async def test_failing_and_stopping_are_told_apart(house: Any, node: Any, package: str) -> None:
    calls = [("ask", "one", "Fail."), ("ask", "two", "Refuse."), ("stop", "three", "Never end.")]
    failed, refused, stopped = await node("ai.mjs", package, house.address + API, calls)
    assert (failed["status"], failed["error"]) == ("error", "The provider broke.")
    assert failed["metadata"]["error"]["code"] == "upstream_error"
    assert _text(failed).startswith("Leaving is not stopping")
    assert (refused["statuses"], refused["status"]) == ([502], "error")
    assert "The provider refused the key." in refused["error"]
    assert (stopped["status"], stopped.get("error")) == ("ready", None)
    assert _text(stopped).startswith("Leaving is")
    assert await house.endings(stopped["metadata"]["streamId"]) == ["cancelled"]


def _about(part: Any) -> Any:
    match part:
        case {"type": "source-url"}:
            return part["type"], part["sourceId"], part["url"], part["title"]
        case {"type": "source-document"}:
            return part["type"], part["sourceId"], part["filename"], part["title"]
        case {"type": "reasoning"}:
            return part["type"], part["text"]
        case {"type": "dynamic-tool"}:
            assert part["providerExecuted"], "the page would ask again by itself, with the results"
            return part["type"], part["toolName"], part["input"], part["output"]
        case {"type": "data-citation", "data": {"sourceId": source, "start": start, "end": end}}:
            return part["type"], source, (start, end)
        case _:
            return part["type"]


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
    return "".join(part["text"] for part in said["parts"] if part["type"] == "text")
