"""AG-UI's own client, two versions of it, with its check of the events' order."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [
    pytest.mark.interop,
    pytest.mark.node,
    pytest.mark.parametrize("package", ["@ag-ui/client-0", "@ag-ui/client"], ids=["v0", "v1"]),
]


async def test_a_run(house: Any, node: Any, package: str) -> None:
    stop = f"{house.address}/api/v1/ui/chat/three/stop"
    runs = [("one", "Tell me."), ("two", "Fail."), ("three", "Never end.", stop)]
    told, failed, stopped = await node("agui.mjs", package, f"{house.address}/api/v1/ui/agent", runs)
    assert (told["types"][0], told["types"][-1], told.get("thrown")) == ("RUN_STARTED", "RUN_FINISHED", None)
    assert told["text"] == house.TEXT
    assert told["types"].count("STEP_STARTED") == told["types"].count("STEP_FINISHED") > 3
    (_, sources), *citations = told["custom"]
    assert [(source["id"], source["uri"]) for source in sources] == [
        ("s1", "https://docs.example/verbs"),
        ("s2", "endings.md"),
    ]
    cited = [(value["sourceId"], house.TEXT[value["start"] : value["end"]]) for _, value in citations]
    assert cited == [("s1", "[1]"), ("s2", "[2]")]
    assert told["reasoning"] == "Let me see."
    assert told["tools"] == [["look", "Found."]]
    assert failed["error"] == {"code": "upstream_error", "message": "The provider broke."}
    assert failed["text"].startswith("Leaving is not stopping")
    assert stopped["error"]["code"] == "cancelled"
    for run in (failed, stopped):
        assert run["types"][-1] == "RUN_ERROR"


async def test_a_cut_line_is_thrown(house: Any, node: Any, package: str) -> None:
    house.cuts = [3000]
    (cut,) = await node("agui.mjs", package, f"{house.line}/api/v1/ui/agent", [("one", "Tell me.")])
    assert "terminated" in cut["thrown"]
    assert cut["unreachable"] == ["TypeError: terminated"]  # if not: it need not be handled any more
    assert not {"RUN_FINISHED", "RUN_ERROR"} & set(cut["types"])


async def test_traps(upstream: Any, node: Any, package: str) -> None:
    """What the client does with bytes that we therefore never send; a change tells that a trap has moved."""

    def event(kind: str, **fields: Any) -> Any:
        return upstream.data({"type": kind, **fields})

    start = event("RUN_STARTED", threadId="t", runId="r")
    words = event("TEXT_MESSAGE_START", messageId="m", role="assistant")
    delta = event("TEXT_MESSAGE_CONTENT", messageId="m", delta="a")
    end = event("TEXT_MESSAGE_END", messageId="m")
    finish = event("RUN_FINISHED", threadId="t", runId="r")
    whole = [start, words, delta, end, finish]
    streams = {
        "comments, with and without a block": [start, b": x\n\n: x\n", words, delta, end, finish],
        "other fields": [b"id: 1\nevent: x\nretry: 10\n" + start, words, delta, end, finish],
        "no end": [start, words, delta],
        "a type that nobody knows": [start, words, delta, event("NOVELTY"), end, finish],
        "CRLF": [b"".join(whole).replace(b"\n", b"\r\n")],
        "an end mark": [*whole, b"data: [DONE]\n\n"],
        "no start": [words, delta, end, finish],
        "a message that is not ended": [start, words, delta, finish],
    }
    upstream.answers = [[upstream.HEAD, *stream] for stream in streams.values()]
    met = await node("agui.mjs", package, upstream.url, [("t", "?")] * len(streams))
    trapped = [name for name, said in zip(streams, met, strict=True) if "thrown" in said]
    lenient = {"a type that nobody knows"} if package == "@ag-ui/client" else set()
    assert trapped == [name for name in list(streams)[3:] if name not in lenient]
    assert all(said["text"] == "a" for said in met if "thrown" not in said)
