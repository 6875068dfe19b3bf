"""The knowledge base as answers use it."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ragstream.errors import StorageUnavailable
from ragstream.events import Passage
from ragstream.knowledge import Document, LocalKnowledge, Origin, analyzer
from ragstream.knowledge.base import Library
from ragstream.knowledge.reading import read

Put = Callable[[str, str], Awaitable[Document]]
JUDGED = Path(__file__).with_name("judged.json")


async def test_a_passage_has_its_place(knowledge: LocalKnowledge, put: Put) -> None:
    document = await put("guide.md", "# The guide\n\n## Pausing\n\n  Press the blue button.\n\n")
    [passage] = await knowledge.retrieve("Which button pauses?", limit=3)
    text = await knowledge.text(document.id)
    assert text is not None
    assert text[passage.start : passage.end] == passage.text
    assert passage.text.endswith("Press the blue button.")
    assert (passage.document_id, passage.title, passage.uri) == (document.id, "The guide", "guide.md")
    assert passage.heading == "Pausing"


@pytest.mark.parametrize("query", ["", "   ", "?!", "zebra", "\0", "s"])
async def test_where_nothing_matches_there_are_no_passages(
    query: str, knowledge: LocalKnowledge, put: Put
) -> None:
    await put("a.txt", "apples")
    assert await knowledge.retrieve(query, limit=5) == ()


async def test_an_empty_knowledge_base_has_no_passages(knowledge: LocalKnowledge) -> None:
    assert await knowledge.retrieve("anything", limit=5) == ()
    assert await knowledge.retrieve("anything", limit=0) == ()


@pytest.mark.parametrize(
    "query", ['"quoted" AND (brackets', "field:value^2 +must -not [a TO b]", "a" * 100_000]
)
async def test_a_query_is_words_and_has_no_syntax(query: str, knowledge: LocalKnowledge, put: Put) -> None:
    await put("a.txt", "quoted brackets; field value must not")
    await knowledge.retrieve(query, limit=5)


async def test_equal_texts_are_one_passage(knowledge: LocalKnowledge, put: Put) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        await put(name, "apples are red")
    await put("d.txt", "apples are also green and many other things")
    passages = await knowledge.retrieve("apples", limit=4)
    assert len(passages) == len({passage.text for passage in passages}) == 2


async def test_one_document_does_not_crowd_out_the_others(knowledge: LocalKnowledge, put: Put) -> None:
    sections = [f"## Apples {number}\n\n{'apples apples ' * 80}\n\n" for number in range(9)]
    large = await put("large.md", "".join(sections))
    small = await put("small.txt", "one apple among many other words that say nothing about it")
    passages = await knowledge.retrieve("apples", limit=4)
    assert [passage.document_id == large.id for passage in passages].count(True) == 3
    assert small.id in {passage.document_id for passage in passages}
    assert list(passages) == sorted(passages, key=lambda passage: -passage.score)


async def test_one_document_alone_may_fill_all_places(knowledge: LocalKnowledge, put: Put) -> None:
    await put("large.md", "".join(f"## Apples {n}\n\n{'apples ' * 150}\n\n" for n in range(9)))
    assert len(await knowledge.retrieve("apples", limit=4)) == 4


async def test_what_another_opening_of_the_folder_adds_is_found(
    knowledge: LocalKnowledge, put: Put, tmp_path: Path
) -> None:
    await put("a.txt", "apples")
    other = LocalKnowledge(tmp_path)
    await other.start()
    await other.put(Origin(location="/b", uri="b.txt", content_hash="b"), read("b.txt", b"apples too"))
    assert await other.catch_up()
    await other.aclose()
    assert len(await knowledge.retrieve("apples", limit=5)) == 2


async def test_changes_are_found_by_and_by_without_being_asked(knowledge: LocalKnowledge, put: Put) -> None:
    await put("a.txt", "bananas")
    await knowledge.put(Origin(location="/b", uri="b.txt", content_hash="b"), read("b.txt", b"apples"))
    async with asyncio.timeout(20):
        while not await knowledge.retrieve("apples", limit=5):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)


async def test_searches_while_documents_come_and_go_are_whole(knowledge: LocalKnowledge, put: Put) -> None:
    await put("steady.txt", "apples stay")

    async def search() -> None:
        for _ in range(30):
            passages = await knowledge.retrieve("apples", limit=5)
            assert "steady.txt" in {passage.uri for passage in passages}

    async def change() -> None:
        for number in range(15):
            document = await put(f"{number % 3}.txt", f"apples number {number}")
            if number % 2:
                await knowledge.remove(document.id)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(search())
        group.create_task(change())


def test_a_search_ends_while_the_loop_is_never_idle(tmp_path: Path) -> None:
    """With a processor to spare, a waiting thread is else not let in for seconds: see ``blocking``."""
    uvloop = pytest.importorskip("uvloop")

    async def spin() -> None:
        while True:
            until = time.perf_counter() + 0.0003
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0)

    async def search() -> None:
        knowledge = LocalKnowledge(tmp_path)
        await knowledge.start()
        for number in range(40):
            origin = Origin(location=f"/{number}", uri=f"{number}", content_hash="x")
            await knowledge.put(origin, read("a.txt", f"apples number {number} ".encode() * 900))
        await knowledge.catch_up()
        spinning = asyncio.create_task(spin())
        async with asyncio.timeout(15):
            for _ in range(100):
                assert await knowledge.retrieve("apples number", limit=5)
        spinning.cancel()
        await knowledge.aclose()

    uvloop.run(search())


async def test_a_cancelled_search_leaves_nothing_behind(knowledge: LocalKnowledge, put: Put) -> None:
    await put("a.txt", "apples")
    for _ in range(50):
        task = asyncio.create_task(knowledge.retrieve("apples", limit=5))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await knowledge.retrieve("apples", limit=5)


async def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    knowledge = LocalKnowledge(tmp_path / "file" / "folder")
    with pytest.raises(StorageUnavailable):
        await knowledge.start()
    await knowledge.aclose()


async def test_closing_does_not_wait_for_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, indexed = threading.Event(), 0

    def counted(text: str) -> list[str]:
        nonlocal indexed
        indexed += 1
        begun.set()
        return analyzer.terms(text)

    monkeypatch.setattr("ragstream.knowledge.tantivy.terms_of", counted)
    knowledge = LocalKnowledge(tmp_path)
    await knowledge.start()
    parsed = read("a.txt", b"some words " * 1_000_000)
    await knowledge.put(Origin(location="/a", uri="a", content_hash="a"), parsed)
    catching_up = asyncio.create_task(knowledge.catch_up())
    await asyncio.to_thread(begun.wait, 20)
    catching_up.cancel()
    await knowledge.aclose()
    assert 0 < indexed < len(parsed.chunks)


async def test_closing_twice_is_fine(tmp_path: Path) -> None:
    knowledge: Library = LocalKnowledge(tmp_path)  # it is one
    assert isinstance(knowledge, LocalKnowledge)
    await knowledge.start()
    await knowledge.aclose()
    await knowledge.aclose()


async def test_questions_find_what_people_judged_to_answer_them(knowledge: LocalKnowledge, put: Put) -> None:
    """A few texts in several languages with questions; the measure is that of benchmarks/retrieval.py."""
    judged = json.loads(JUDGED.read_text("utf-8"))
    for name, text in judged["texts"].items():
        await put(f"{name}.md", text)
    gains = []
    for question, right in judged["questions"].items():
        passages = await knowledge.retrieve(question, limit=10)
        gains.append(_gain(passages, set(right)))
        assert passages[0].score > 0.1, question
    assert sum(gains) / len(gains) > 0.95
    for question in judged["unanswerable"]:
        assert all(passage.score < 0.1 for passage in await knowledge.retrieve(question, limit=10)), question


def _gain(passages: tuple[Passage, ...], right: set[str]) -> float:
    gain = sum(
        1 / math.log2(n + 2) for n, each in enumerate(passages) if each.uri.removesuffix(".md") in right
    )
    return gain / sum(1 / math.log2(n + 2) for n in range(len(right)))
