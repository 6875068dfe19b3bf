"""Reading documents and searching them beside running answers: tokens stay on time."""

from __future__ import annotations

import asyncio
import time
import zlib
from pathlib import Path

import pytest

from ragstream.errors import DocumentRejected
from ragstream.knowledge import LocalKnowledge, Origin, SubprocessParser

STREAMS = 100
INTERVAL = 0.02  # seconds between two tokens of a stream
LATE = 0.1  # seconds that one token in a hundred may be late


def heavy_pdf() -> bytes:
    """Return a PDF whose page keeps a processor busy for a while."""
    content = zlib.compress(b"0 0 m 9 9 l 5 5 l h f " * 300_000)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R>>",
        b"<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (len(content), content),
    ]
    body = b"".join(b"%d 0 obj\n%s\nendobj\n" % (number, each) for number, each in enumerate(objects, 1))
    return b"%PDF-1.7\n" + body + b"trailer\n<</Root 1 0 R>>\n%%EOF\n"


async def stream(late: list[float]) -> None:
    due = time.perf_counter() + INTERVAL
    while True:
        await asyncio.sleep(max(0, due - time.perf_counter()))
        now = time.perf_counter()
        late.append(now - due)
        due = max(due + INTERVAL, now)


@pytest.mark.nightly
async def test_tokens_are_on_time_while_documents_are_read_and_searched(tmp_path: Path) -> None:
    knowledge, parser = LocalKnowledge(tmp_path), SubprocessParser()
    await knowledge.start()
    late: list[float] = []
    streams = [asyncio.create_task(stream(late)) for _ in range(STREAMS)]
    text = b"# Apples\n\n" + b"".join(b"## Part %d\n\n%s\n\n" % (n, b"apple words " * 120) for n in range(40))
    try:
        for number in range(60):
            parsed = await parser.parse("a.md", text)
            await knowledge.put(Origin(location=f"/{number}", uri="a.md", content_hash="x"), parsed)
            assert number == 0 or await knowledge.retrieve("apples part", limit=12)
            if number == 0:
                await knowledge.catch_up()
            if number % 10 == 0:
                with pytest.raises(DocumentRejected):
                    await parser.parse("heavy.pdf", heavy_pdf())
    finally:
        for task in streams:
            task.cancel()
        await parser.aclose()
        await knowledge.aclose()
    assert sorted(late)[len(late) * 99 // 100] < LATE
