"""LangChain's ChatOpenAI."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.interop
async def test_langchain(house: Any, langchain: Any) -> None:
    calls = (["stream", "Tell me."], ["invoke", "Tell me."], ["stream", "Fail."])  # together: it loads slowly
    *answers, failed = await langchain(house.address, *calls)
    for answer in answers:
        assert (answer["text"], answer["finish_reason"]) == (house.TEXT, "stop")
        assert answer["usage"]["total_tokens"] == 21
    assert (failed["error"], failed["text"][:7]) == ("upstream_error", "Leaving")
