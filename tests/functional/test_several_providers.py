"""Providers, prices and the search tool from the settings to the wire and back."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from ragstream.bootstrap.wiring import desk
from ragstream.events import Answer
from ragstream.settings import load


@pytest.fixture(autouse=True)
def _two_documents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().startswith(("RAGSTREAM_", "OPENAI_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "facts"
    folder.mkdir()
    (folder / "logs.md").write_text("# Logs\n\nLogs are kept for a day.\n")
    (folder / "owls.md").write_text("# Owls\n\nOwls hunt at night.\n")


async def ask(question: str) -> tuple[Answer, list[str]]:
    """Ask about two documents; return the answer, and the events by type."""
    answer, types = Answer(), []
    service = desk(load())
    await service.start()
    try:
        assert service.library
        await service.library.run([Path("facts")])
        stream_id = await service.ask(question)
        async with asyncio.timeout(20), aclosing(service.log.read(stream_id)) as records:
            async for batch in records:
                for record in batch:
                    answer.apply(record.event)
                    types.append(record.type)
    finally:
        await service.aclose()
    return answer, types


async def test_a_spare_provider_searches_on_and_its_price_is_told(
    monkeypatch: pytest.MonkeyPatch, upstream: Any
) -> None:
    providers = [
        {"name": "one", "base_url": upstream.url, "model": "m1", "api_key": "first-key"},
        {
            "name": "two",
            "base_url": upstream.url,
            "model": "m2",
            "api_key_env": "SPARE_KEY",
            "input_price": 0,
            "output_price": 1_000_000,
        },
    ]
    monkeypatch.setenv("SPARE_KEY", "second-key")
    monkeypatch.setenv("RAGSTREAM_PROVIDERS", json.dumps(providers))
    monkeypatch.setenv("RAGSTREAM_BUDGET", "5000")
    monkeypatch.setenv("RAGSTREAM_FEATURES", "search_tool")
    call = {"index": 0, "id": "c1", "type": "function"}
    function = {"name": "search_documents", "arguments": '{"query": "owls hunt"}'}
    usage = upstream.data({"choices": [], "usage": {"completion_tokens": 3, "total_tokens": 3}})
    upstream.answers = [
        [b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"],
        [
            upstream.HEAD,
            upstream.chunk(delta={"tool_calls": [call | {"function": function}]}),
            upstream.chunk(finish_reason="tool_calls"),
            usage,
            b"data: [DONE]\n\n",
        ],
        [
            upstream.HEAD,
            upstream.chunk("Owls hunt at night [2]."),
            upstream.chunk(finish_reason="stop"),
            usage,
            b"data: [DONE]\n\n",
        ],
    ]
    answer, types = await ask("How long are logs kept?")
    assert answer.error is None
    assert (types[0], types[-1]) == ("message_start", "message_complete")
    assert [kind for kind in types if kind in ("sources", "tool_call", "tool_result")] == [
        "sources",
        "tool_call",
        "tool_result",
        "sources",
    ]
    assert answer.text == "Owls hunt at night [1]."
    assert [citation.source_id for citation in answer.citations] == ["s2"]
    assert answer.usage
    assert answer.usage.cost == pytest.approx(6)
    assert [body["model"] for body in upstream.bodies] == ["m1", "m2", "m2"]
    keys = [b"first-key", b"second-key", b"second-key"]
    assert [key in head for key, head in zip(keys, upstream.heads, strict=True)] == [True] * 3
    assert upstream.bodies[-1]["messages"][-1]["role"] == "tool"
