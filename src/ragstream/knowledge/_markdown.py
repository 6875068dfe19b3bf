"""The headings of a Markdown text."""

from __future__ import annotations

import re

import msgspec

__all__ = ["Heading", "headings"]

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_NOT_PARAGRAPH = re.compile(r"\s*$|[ \t]*(?:[-*+>|]|\d+[.)])(?:[ \t]|$)| {4}|\t")
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])")
_ANCHOR = re.compile(r"[ \t]*\{[#.:][^{}]*\}[ \t]*$")
_EMPHASIS = re.compile(r"[*`]|(?<!\w)_+|_+(?!\w)")
_LONGEST = 300  # characters of a heading's text that are kept


class Heading(msgspec.Struct, frozen=True):
    """A heading and where it stands: ``text[start:end]``, with its line break."""

    start: int
    end: int
    level: int  # 1 to 6
    text: str  # without markup


def headings(text: str) -> list[Heading]:
    """Find the headings (``# Title``, or underlined ones) outside of code blocks and front matter."""
    found: list[Heading] = []
    fence = ""
    offset = 0
    above = ""  # the line before, if it may be the text of an underlined heading
    body = _after_front_matter(text)
    for line in text.split("\n"):
        start, offset = offset, offset + len(line) + 1
        if start < body:
            continue
        if mark := _FENCE.match(line):
            fence, above = _fence_after(fence, mark.group(1), line[mark.end() :]), ""
        elif fence:
            continue
        elif atx := _ATX.match(line):
            found.append(_heading(start, offset, len(atx.group(1)), atx.group(2) or ""))
            above = ""
        elif above and (under := _UNDERLINE.match(line)):
            level = 1 if under.group(1)[0] == "=" else 2
            found.append(_heading(start - len(above) - 1, offset, level, above))
            above = ""
        else:
            above = "" if _NOT_PARAGRAPH.match(line) else line
    return [heading for heading in found if heading.text]


def _fence_after(fence: str, mark: str, rest: str) -> str:
    """Return the fence in force after a line that begins with a fence mark."""
    if not fence:
        return "" if mark[0] == "`" and "`" in rest else mark  # inline code may begin a line
    closes = mark[0] == fence[0] and len(mark) >= len(fence) and not rest.strip()
    return "" if closes else fence


def _after_front_matter(text: str) -> int:
    if not text.startswith("---\n"):
        return 0
    end = text.find("\n---\n", 3)
    return 0 if end < 0 else end + len("\n---\n")


def _heading(start: int, end: int, level: int, text: str) -> Heading:
    bare = _EMPHASIS.sub("", _LINK.sub(r"\1", _ANCHOR.sub("", text[: 2 * _LONGEST])))
    return Heading(start, end, level, " ".join(bare.split())[:_LONGEST])
