"""Chunks: they are the text, they keep their place, and they are not too large."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragstream.knowledge._markdown import headings
from ragstream.knowledge.base import Chunk
from ragstream.knowledge.chunking import CHUNK, cut

WORDS = "word " * 150
LARGEST = CHUNK + 400  # a heading that comes along is not counted

markdown = st.lists(
    st.one_of(
        st.sampled_from(
            ["# One\n", "## Two\n", "### Three\n", "```\n", "---\n", "Under\n===\n", "\n", "- item\n"]
        ),
        st.text(max_size=40),
        st.integers(1, 4000).map(lambda count: "x" * count),
        st.integers(1, 500).map(lambda count: "several words " * count),
    ),
    max_size=30,
).map("".join)


def check_places(text: str, chunks: tuple[Chunk, ...]) -> None:
    assert "".join(text[chunk.start : chunk.end] for chunk in chunks) == text
    assert [chunk.start for chunk in chunks[1:]] == [chunk.end for chunk in chunks[:-1]]
    assert all(chunk.start < chunk.end for chunk in chunks)


@given(markdown)
@settings(deadline=None)
def test_the_chunks_joined_are_the_text(text: str) -> None:
    for marks in ([], headings(text)):
        chunks = cut(text, headings=marks)
        check_places(text, chunks)
        assert all(chunk.end - chunk.start <= LARGEST for chunk in chunks)


@given(st.lists(st.text(max_size=3000), min_size=1, max_size=6))
@settings(deadline=None)
def test_a_chunk_stays_on_its_page(parts: list[str]) -> None:
    text, pages = "".join(parts), [sum(map(len, parts[:number])) for number in range(len(parts))]
    chunks = cut(text, pages=pages)
    check_places(text, chunks)
    for chunk in chunks:
        assert chunk.page is not None
        assert pages[chunk.page - 1] <= chunk.start
        assert chunk.end <= (pages[chunk.page] if chunk.page < len(pages) else len(text))


def test_a_heading_joins_the_chunk_below_it() -> None:
    text = f"# Title\n\n{WORDS * 2}\n\n## Part\n\n### Section\n\n{WORDS * 2}\n"
    chunks = cut(text, headings=headings(text), title="Title")
    last = text[chunks[-1].start : chunks[-1].end]
    assert last.startswith("## Part\n\n### Section\n\nword")
    assert [chunk.heading for chunk in chunks] == [None, "Part > Section"]


def test_a_chunk_knows_the_headings_above_it() -> None:
    text = f"# Title\n\n## A\n\n### B\n\n{WORDS * 5}\n\n## C\n\n{WORDS * 2}\n"
    chunks = cut(text, headings=headings(text), title="Title")
    assert [chunk.heading for chunk in chunks[:3]] == ["A > B"] * 3
    assert chunks[-1].heading == "C"


@pytest.mark.timeout(30)
def test_text_without_breaks_is_cut_all_the_same() -> None:
    text = "x" * 5_000_000  # minutes, were it cut in one go
    chunks = cut(text)
    check_places(text, chunks)
    assert max(chunk.end - chunk.start for chunk in chunks) == CHUNK


def test_many_headings_without_text_do_not_become_one_chunk() -> None:
    text = "".join(f"## Heading number {number}\n" for number in range(2000))
    chunks = cut(text, headings=headings(text))
    check_places(text, chunks)
    assert max(chunk.end - chunk.start for chunk in chunks) <= LARGEST


def test_an_edit_far_away_leaves_other_chunks_as_they_are() -> None:
    sections = [f"## Part {number}\n\n{WORDS * 2}\n\n" for number in range(60)]
    before = cut_texts("".join(sections))
    sections[3] = "## Part 3\n\nanother text\n\n"
    after = cut_texts("".join(sections))
    assert len(set(before) - set(after)) <= 4


def cut_texts(text: str) -> list[str]:
    return [text[chunk.start : chunk.end] for chunk in cut(text, headings=headings(text))]
