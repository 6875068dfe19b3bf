"""LangChain's ChatOpenAI."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.interop
async def test_langchain(house: Any, langchain: Any) -> None:
    asked = [(interface, call) for interface in ("chat", "responses") for call in ("stream", "invoke")]
    calls = [[*asking, "Tell me."] for asking in asked] + [["chat", "stream", "Fail."]]
    *answers, failed = await langchain(house.address, *calls)  # in one go: it loads slowly
    for answer, asking in zip(answers, asked, strict=True):
        assert (answer["text"], answer["usage"]["total_tokens"]) == (house.TEXT, 21), asking
    assert [answer["finish_reason"] for answer in answers[:2]] == ["stop", "stop"]
    assert [len(answer["cited"]) for answer in answers] == [0, 0, 2, 2]  # only Responses have a place for it
    assert (failed["error"], failed["text"][:7]) == ("upstream_error", "Leaving")
