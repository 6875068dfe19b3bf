"""The encoder against two independent parsers: httpx-sse, and a reader written from the standard's text."""

from __future__ import annotations

import random
import re

import pytest
from httpx_sse._decoders import SSEDecoder
from hypothesis import given
from hypothesis import strategies as st
from tests.trial import Trial

from ragstream.delivery.sse import comment, encode

Parsed = list[tuple[str, str, str]]  # event, data, last event id


def reference(stream: bytes, last_id: str = "") -> Parsed:
    """Parse as HTML's "interpreting an event stream" says, word by word."""
    events: Parsed = []
    data: list[str] = []
    name = ""
    for line in re.split(r"\r\n|\r|\n", stream.decode().removeprefix("\ufeff")):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append((name or "message", "\n".join(data), last_id))
            data, name = [], ""
        elif field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id" and "\0" not in value:
            last_id = value
    return events


def other(stream: bytes) -> Parsed:
    decoder = SSEDecoder()
    lines = re.split(r"\r\n|\r|\n", stream.decode())
    events = [event for line in lines if (event := decoder.decode(line)) is not None]
    return [(event.event, event.data, event.id) for event in events]


def both(stream: bytes) -> Parsed:
    parsed = reference(stream)
    assert [event for event in other(stream) if event[1] or event in parsed] == parsed
    return parsed


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("a", b"data: a\n\n"),
        ("", b"data: \n\n"),
        ("a\nb", b"data: a\ndata: b\n\n"),
        ("a\rb", b"data: a\ndata: b\n\n"),
        ("a\r\nb", b"data: a\ndata: b\n\n"),
        ("a\n\rb", b"data: a\ndata: \ndata: b\n\n"),
        ("a\n", b"data: a\ndata: \n\n"),
        ("\na", b"data: \ndata: a\n\n"),
        ("\n", b"data: \ndata: \n\n"),
        ("\n\n", b"data: \ndata: \ndata: \n\n"),
        (" a", b"data:  a\n\n"),
        ("  a", b"data:   a\n\n"),
        (":a", b"data: :a\n\n"),
        ("data: x", b"data: data: x\n\n"),
        ("id: 9", b"data: id: 9\n\n"),
        ("event: done", b"data: event: done\n\n"),
        ("a\0b", b"data: a\0b\n\n"),
        ("\ufeffa", b"data: \xef\xbb\xbfa\n\n"),
        ("\ud800", b"data: \xef\xbf\xbd\n\n"),
        ("\U0001f600", b"data: \xf0\x9f\x98\x80\n\n"),
    ],
)
def test_data_on_the_wire(text: str, wire: bytes) -> None:
    assert encode(text) == wire


def test_a_frame_made_by_a_model_stays_data() -> None:
    forged = "x\n\nevent: done\ndata: {}"
    assert both(encode(forged, id=1)) == [("message", forged, "1")]


@pytest.mark.parametrize("character", list("\t\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"))
def test_only_cr_and_lf_break_lines(character: str) -> None:
    assert encode(f"a{character}b").count(b"\n") == 2


@pytest.mark.parametrize(
    "name", ["a\nb", "a\rb", "a\0", "a b", "a:b", "x" * 65, "ä", "A", "error", "open", "1"]
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not an event name"):
        encode("x", event=name)


@pytest.mark.parametrize("name", ["", "message", None])
def test_names_that_need_no_line(name: str | None) -> None:
    assert encode("x", event=name) == b"data: x\n\n"


@pytest.mark.parametrize("cursor", ["a\r\ndata: evil", "a\nb", "x\0", "\0x", " \0", "", True])
def test_ids_that_are_refused(cursor: str) -> None:
    with pytest.raises(ValueError, match="not an event id"):
        encode("x", id=cursor)


def test_an_id_is_written_with_its_data() -> None:
    assert encode("x", id=7, event="text_delta") == b"id: 7\nevent: text_delta\ndata: x\n\n"
    assert encode(id=7) == b"id: 7\n\n"


@pytest.mark.parametrize("retry", [-1, 1.5, True, "1000x", 3_600_001])
def test_retry_times_that_are_refused(retry: int) -> None:
    with pytest.raises(ValueError, match="not a retry time"):
        encode("x", retry=retry)


def test_retry_stands_beside_data() -> None:
    assert encode("x", retry=3000) == b"retry: 3000\ndata: x\n\n"


def test_an_event_without_data_is_refused() -> None:
    with pytest.raises(ValueError, match="never dispatched"):
        encode(event="done")
    with pytest.raises(ValueError, match="says nothing"):
        encode()


@pytest.mark.parametrize(
    ("text", "wire"), [("", b":\n"), ("ping", b": ping\n"), ("a\nb\rc", b": a\n: b\n: c\n")]
)
def test_comments(text: str, wire: bytes) -> None:
    assert comment(text) == wire
    assert both(wire) == []


@given(
    data=st.text(),
    name=st.from_regex(r"[a-z][a-z0-9_.-]{0,63}", fullmatch=True).filter(
        lambda n: n not in ("error", "open")
    ),
    cursor=st.integers(min_value=0),
)
def test_whatever_is_said_comes_back(data: str, name: str, cursor: int) -> None:
    wire = encode(data, event=name, id=cursor)
    assert b"\r" not in wire
    said = re.sub(r"\r\n|\r", "\n", data)
    assert both(wire) == [(name, said, str(cursor))]


PIECES = [
    *("\r", "\n", "\r\n", "\n\n", " ", ":", "data", "data: x", "id: 9", "event: done", "retry: 1", "a", ""),
    *("\0", "\ufeff", "\t", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "é", "🙂", "漢"),
]


@pytest.mark.trial("T31", "what the encoder writes, two other parsers read")
@pytest.mark.parametrize("cases", [10_000, pytest.param(1_000_000, marks=pytest.mark.nightly)])
@pytest.mark.timeout(900)
def test_whatever_breaks_lines_comes_back(trial: Trial, cases: int) -> None:
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    for cursor in range(1, cases + 1):
        data = "".join(dice.choices(PIECES, k=dice.randrange(12)))
        read = both(encode(data, event="text_delta", id=cursor))
        assert read == [("text_delta", re.sub(r"\r\n|\r", "\n", data), str(cursor))], (seed, data)
        trial.cases += 1


@given(st.text(st.characters(categories=["Cs"]), min_size=1))
def test_lone_surrogates_never_raise(text: str) -> None:
    encode(text).decode()
