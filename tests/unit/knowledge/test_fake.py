"""The retriever for users' own tests."""

from __future__ import annotations

import pytest

from ragstream.errors import RetrievalFailed
from ragstream.knowledge import FakeRetriever


async def test_it_finds_texts_by_their_words() -> None:
    fake = FakeRetriever("Apples are red.", "Bananas are yellow.", "Red bananas exist.")
    passages = await fake.retrieve("Which bananas are red?", limit=2)
    assert [(passage.id, passage.score) for passage in passages] == [("3", 1.0), ("1", 0.5)]
    assert await fake.retrieve("zebra", limit=2) == ()
    assert await fake.retrieve("", limit=2) == ()
    assert fake.queries == ["Which bananas are red?", "zebra", ""]


async def test_it_can_fail() -> None:
    with pytest.raises(RetrievalFailed):
        await FakeRetriever(fails=RetrievalFailed("no")).retrieve("x", limit=1)
