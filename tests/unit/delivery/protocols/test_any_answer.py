"""Any answer that the grammar allows, in every protocol: it has one end, and a cursor loses nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.delivery.protocols.sayings import START, answers, complete, records, reset, text, told

from ragstream.delivery.frames import write_sse
from ragstream.delivery.protocols import DIALECTS
from ragstream.delivery.protocols.base import Dialect
from ragstream.delivery.protocols.counted import Counted
from ragstream.events import StreamEvent
from ragstream.streamlog.base import Record

COUNTED = [dialect for dialect in DIALECTS.values() if dialect.counts]
ENDS = {
    "chat": (b'"finish_reason":"', b'{"error":'),
    "ui": (b'"type":"finish",', b'"type":"error"', b'"type":"abort"'),
    "agui": (b'"type":"RUN_FINISHED"', b'"type":"RUN_ERROR"'),
    "responses": (b"event: response.completed", b"event: response.failed", b"event: response.incomplete"),
}


@pytest.mark.parametrize("dialect", COUNTED, ids=lambda dialect: dialect.name)
@given(said=answers(), data=st.data())
def test_every_cursor_gives_the_rest(dialect: Dialect, said: list[StreamEvent], data: st.DataObject) -> None:
    log = records(*said)
    projection = dialect.projection()
    assert isinstance(projection, Counted)
    blocks = [block for record in log for block in projection.frame(record).split(b"\n\n")[:-1]]
    assert len(blocks) == projection.count
    after = data.draw(st.integers(0, len(blocks)))
    rest = b"".join(block + b"\n\n" for block in blocks[after:])
    assert told(dialect, log, after=after) == rest + projection.done()


@pytest.mark.parametrize("dialect", COUNTED, ids=lambda dialect: dialect.name)
@given(said=answers())
def test_every_answer_has_one_end(dialect: Dialect, said: list[StreamEvent]) -> None:
    stream = told(dialect, records(*said)).removesuffix(b"data: [DONE]\n\n")
    blocks = stream.split(b"\n\n")[:-1]
    ends = [any(mark in block for mark in ENDS[dialect.name]) for block in blocks]
    assert ends.count(True) == 1
    assert ends[-1]


@pytest.mark.parametrize("dialect", COUNTED, ids=lambda dialect: dialect.name)
async def test_a_replaced_answer_ends_at_once(dialect: Dialect) -> None:
    """The log may go on for long; the reader is let go."""

    async def log() -> AsyncGenerator[tuple[Record, ...], None]:
        for record in records(START, text("Hel"), reset("Well"), text("!"), complete()):
            yield (record,)

    frames = [frame async for frame in write_sse(log(), dialect.projection())]
    assert [frame.terminal and frame.terminal.type for frame in frames] == [None, None, "reset"]


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
@given(said=answers())
def test_every_whole_is_one_document(dialect: Dialect, said: list[StreamEvent]) -> None:
    collected = dialect.whole()
    for event in said:
        collected.apply(event)
    assert collected.body()
