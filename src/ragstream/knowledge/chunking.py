"""Cut a text into chunks that keep their place.

The chunks of a text, joined, are the text: offsets are exact. A chunk stays on its page, ends where a larger
unit of meaning ends (section, paragraph, sentence, word) if one does, and takes the heading above it along.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from ragstream.knowledge._markdown import Heading
from ragstream.knowledge.base import Chunk

__all__ = ["CHUNK", "cut"]

# Characters of a chunk: about 400 tokens of English. In benchmarks/retrieval.py smaller chunks lose recall,
# larger ones leave room for fewer passages in a prompt.
CHUNK = 1600

# The splitter needs quadratic time on text that it cannot break, and time in proportion otherwise.
_PIECE = 20_000
# Beyond this the text is cut as plain text, which is six times as fast.
_LONG = 4_000_000
# Headings up to this length are moved down to the text that they announce.
_MOVABLE = 400

_MARKDOWN = MarkdownSplitter(CHUNK, trim=False)
_PLAIN = TextSplitter(CHUNK, trim=False)


def cut(
    text: str, *, headings: Sequence[Heading] = (), pages: Sequence[int] = (), title: str = ""
) -> tuple[Chunk, ...]:
    """Cut a text.

    Args:
        text: what to cut.
        headings: the headings of a Markdown text, in their order; none for plain text.
        pages: the offset of each page's begin, the first being 0; none where there are no pages.
        title: the document's title; a heading that repeats it is left out of the headings' paths.
    """
    splitter = _MARKDOWN if headings and len(text) < _LONG else _PLAIN
    starts = [heading.start for heading in headings]
    bounds = [0]
    for piece_start, piece_end in _pieces(text, starts, pages):
        for offset, _ in splitter.chunk_indices(text[piece_start:piece_end]):
            bounds.append(piece_start + offset)
    bounds = _headings_down(text, [*bounds, len(text)], headings, starts)
    paths = _paths(headings, title)
    chunks = []
    page = 0
    for start, end in pairwise(bounds):
        while page < len(pages) and pages[page] <= start:
            page += 1
        heading = _path_at(text, start, end, headings, starts, paths)
        chunks.append(Chunk(start, end, page or None, heading))
    return tuple(chunks)


def _pieces(text: str, starts: Sequence[int], pages: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Divide the text at its pages, and what is longer than a piece where it hurts least."""
    for page_start, page_end in pairwise(sorted({0, *pages, len(text)})):
        start = page_start
        while page_end - start > _PIECE:
            end = _best_break(text, starts, start, start + _PIECE)
            yield start, end
            start = end
        yield start, page_end


def _best_break(text: str, starts: Sequence[int], start: int, end: int) -> int:
    """Return where to divide: at the last heading in the second half, else at a paragraph, line or space."""
    middle = (start + end) // 2
    last = bisect_left(starts, end) - 1
    if last >= 0 and starts[last] > middle:
        return starts[last]
    for separator in ("\n\n", "\n", " "):
        found = text.rfind(separator, middle, end)
        if found >= 0:
            return found + len(separator)
    return end


def _headings_down(
    text: str, bounds: Sequence[int], headings: Sequence[Heading], starts: Sequence[int]
) -> list[int]:
    """Move each bound above the headings that end a chunk, so that they begin the next one."""
    moved = [0]
    for bound in bounds[1:-1]:
        target = bound
        last = bisect_left(starts, bound) - 1
        while (
            last >= 0 and bound - starts[last] <= _MOVABLE and not text[headings[last].end : target].strip()
        ):
            target = starts[last]
            last -= 1
        if target > moved[-1]:
            moved.append(target)
    if len(text) > moved[-1]:
        moved.append(len(text))
    return moved


def _paths(headings: Sequence[Heading], title: str) -> list[str | None]:
    """Return for each heading the path from the outermost heading down to it."""
    paths: list[str | None] = []
    above: list[Heading] = []
    for heading in headings:
        above = [outer for outer in above if outer.level < heading.level] + [heading]
        paths.append(" > ".join(outer.text for outer in above if outer.text != title) or None)
    return paths


def _path_at(
    text: str,
    start: int,
    end: int,
    headings: Sequence[Heading],
    starts: Sequence[int],
    paths: Sequence[str | None],
) -> str | None:
    """Return the headings' path at the first words of a chunk, its leading headings included."""
    following = bisect_left(starts, start)
    position = start
    while following < len(headings) and starts[following] < end:
        if text[position : starts[following]].strip():
            break
        position = headings[following].end
        following += 1
    return paths[following - 1] if following else None
