from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstream.answer.citations import (
    LONGEST,
    CitationWriter,
    as_written,
    text_events,
    without_markers,
)
from ragstream.events import Answer, Citation, EventType, MessageStart, StreamEvent

SOURCES = ["s1", "s2", "s3"]


def rewritten(pieces: Sequence[str], sources: Sequence[str] = SOURCES) -> tuple[str, list[Citation]]:
    writer = CitationWriter(sources)
    text = ""
    citations: list[Citation] = []
    for piece in pieces:
        said, found = writer.write(piece)
        text += said
        citations += found
    said, found = writer.finish()
    return text + said, [*citations, *found]


def cited(text: str, citations: Sequence[Citation]) -> list[tuple[str, str]]:
    return [(text[one.start : one.end], one.source_id) for one in citations]


@pytest.mark.parametrize(
    ("written", "said", "sources"),
    [
        ("Yes [1].", "Yes [1].", ["s1"]),
        ("Yes [3], no [1].", "Yes [1], no [2].", ["s3", "s1"]),
        ("Both [1, 2].", "Both [1][2].", ["s1", "s2"]),
        ("Both [2;1].", "Both [1][2].", ["s2", "s1"]),
        ("Both [1][3].", "Both [1][2].", ["s1", "s3"]),
        ("Again [2] and [2, 2].", "Again [1] and [1].", ["s2", "s2"]),
        ("[1]", "[1]", ["s1"]),
        ("[ 1 ]", "[1]", ["s1"]),
        ("Known [1, 9], unknown [7] and [0].", "Known [1], unknown and .", ["s1"]),
        ("Unknown [8][9] [7]  here", "Unknown  here", []),
        ("[7] at first, joined[8] on", "at first, joined on", []),
        ("[[1]]", "[[1]]", ["s1"]),
    ],
)
def test_markers_are_numbered_by_first_use_and_checked(written: str, said: str, sources: list[str]) -> None:
    text, citations = rewritten([written])
    assert text == said
    assert [one.source_id for one in citations] == sources
    assert all(marker.startswith("[") and marker.endswith("]") for marker, _ in cited(text, citations))


@pytest.mark.parametrize(
    "text",
    [
        "[2024] 1 AC 45",
        "- [ ] to do\n- [x] done",
        "[] [,] [1-3] [^1] [a1]",
        "an open end [1",
        "`x[1]` stays",
        "``a ` b[1]`` stays",
        "```python\nx[1]\n```\n",
        "~~~\nx[1]\n~~~~\n",
        "  ```\nx[1]\n\ny[2]\n  ```",
        "````\n```\nx[1]\n````",
        "[" + "1, " * LONGEST + "1]",
    ],
)
def test_what_is_no_marker_stays_as_it_is(text: str) -> None:
    assert rewritten([text]) == (text, [])


@pytest.mark.parametrize(
    "before",
    [
        "`code` ",
        "``` is three backticks``` ",
        "```inline``` ",
        "a `lonely backtick\n\n",
        "```\ncode\n```\n",
        "~5 minutes ",
        "```py\nx\n```\n~~",
        "```\nx\n ````\n",
    ],
)
def test_a_marker_after_code_is_a_marker(before: str) -> None:
    text, citations = rewritten([before + "done [2]."])
    assert text == before + "done [1]."
    assert cited(text, citations) == [("[1]", "s2")]


PIECES = st.sampled_from(
    [*"[]12 ,;`~\n", "[1]", "[3]", "[2, 1]", "[9]", "word", "```", "``", "\n\n", "é", "😀", "x" * 50]
)


@given(st.lists(PIECES), st.data())
def test_every_split_gives_the_same_answer(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    split = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert rewritten(split) == rewritten([text])
    assert rewritten(list(text)) == rewritten([text])


@given(st.lists(PIECES.filter("[9]".__ne__)))
def test_a_span_is_a_marker_of_its_source_and_can_be_taken_back(pieces: list[str]) -> None:
    text, citations = rewritten(["".join(pieces)])
    numbers = list(dict.fromkeys(one.source_id for one in citations))
    for one in citations:
        assert text[one.start : one.end] == f"[{numbers.index(one.source_id) + 1}]"
    again, as_before = rewritten([as_written(text, citations, SOURCES)])
    assert (again, as_before) == (text, citations)
    assert len(without_markers(text, citations)) == len(text) - sum(one.end - one.start for one in citations)


@given(st.lists(st.text()))
def test_text_without_markers_passes_at_once(pieces: list[str]) -> None:
    pieces = [piece.replace("[", "(") for piece in pieces]
    writer = CitationWriter(SOURCES)
    assert [writer.write(piece)[0] for piece in pieces] == pieces
    assert writer.finish() == ("", [])


@given(st.lists(PIECES))
def test_little_is_held_back(pieces: list[str]) -> None:
    writer = CitationWriter([])
    written = said = 0
    for piece in pieces:
        said += len(writer.write(piece)[0])
        written += len(piece)
    assert len(writer.finish()[0]) < LONGEST


def test_a_beginning_is_held_until_it_is_decided() -> None:
    writer = CitationWriter(SOURCES)
    assert writer.write("see [") == ("see ", [])
    assert writer.write("2") == ("", [])
    assert writer.write("] now") == ("[1] now", [Citation(source_id="s2", start=4, end=7)])
    assert writer.write(" [20") == (" ", [])
    assert writer.write("24]") == ("[2024]", [])


def test_discarding_forgets_what_was_held_and_restarting_forgets_all() -> None:
    writer = CitationWriter(SOURCES)
    writer.write("one [3] two [1")
    writer.discard()
    assert writer.write("[3]") == ("[1]", [Citation(source_id="s3", start=12, end=15)])
    writer.write("`open [1")
    writer.restart()
    assert writer.write("[2]") == ("[1]", [Citation(source_id="s2", start=0, end=3)])


def test_its_events_are_legal_and_spans_count_code_points() -> None:
    answer = Answer()
    start = MessageStart(stream_id="a", message_id="b", session_id="c", model="d", created=0)
    answer.apply(StreamEvent(type=EventType.MESSAGE_START, message_start=start))
    for event in text_events(*CitationWriter(SOURCES).write("😀é [2]")):
        answer.apply(event)
    assert cited(answer.text, answer.citations) == [("[1]", "s2")]
