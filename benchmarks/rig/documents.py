"""A knowledge base of so many chunks, made from the sentences of the project's own documentation."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterator
from pathlib import Path

from ragstream.knowledge import LocalKnowledge, Origin, ParsedDocument
from ragstream.knowledge.chunking import CHUNK, cut

__all__ = ["fill", "texts"]

_DOCS = Path(__file__).parents[2] / "docs"
_CHUNKS = 10  # of a document, about


def fill(folder: Path, chunks: int) -> int:
    """Make the knowledge base of a data folder; return how many chunks it has."""
    return asyncio.run(_fill(folder, chunks))


async def _fill(folder: Path, chunks: int) -> int:
    knowledge = LocalKnowledge(folder)
    await knowledge.start()
    try:
        made = 0
        for number, text in enumerate(texts()):
            parsed = ParsedDocument(title="", media_type="text/plain", text=text, chunks=cut(text))
            await knowledge.put(
                Origin(location=str(number), uri=str(number), content_hash=str(number)), parsed
            )
            made += len(parsed.chunks)
            if made >= chunks:
                break
        await knowledge.catch_up()
        return (await knowledge.size()).chunks
    finally:
        await knowledge.aclose()


def texts() -> Iterator[str]:
    """Make documents of about ten chunks each, without end, the same in each run."""
    prose = "\n".join(path.read_text("utf-8") for path in sorted(_DOCS.rglob("*.md")))
    sentences = [sentence for sentence in re.split(r"(?<=\.)\s", prose) if 30 < len(sentence) < 400]
    chance = random.Random(1)  # noqa: S311 - the same text in each run
    while True:
        text = ""
        while len(text) < (_CHUNKS - 0.5) * CHUNK:
            text += " ".join(chance.choices(sentences, k=8)) + "\n\n"
        yield text
