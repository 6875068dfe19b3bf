"""Sentences of a passage, whole and readable: Markdown, HTML or plain text in, clean quotes out."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["Sentence", "sentences"]

_LONGEST_TAIL = 600  # characters of code or list items quoted with the sentence that announces them
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_HEADING = re.compile(r"\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"\s{0,3}(=+|-{2,})\s*$")
_ITEM = re.compile(r"\s*(?P<bullet>[-*+]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?(?P<text>.*)")
_QUOTED = re.compile(r"^\s*(?:>\s?)+")
_CELL = re.compile(r"(?<!\\)\|")
_LINE_END = re.compile(r"\r\n|\r|\n")
_RULE = re.compile(r"[\s|:+=*_-]*$")
_SPACE = re.compile(r"\s+")
_CODE_LINK = re.compile(r"\[(`[^`\[\]]{1,299}`)\]\([^()\s]{0,999}\)")
_CODE_SPAN = re.compile(r"(?P<ticks>`+)(?P<code>.+?)(?P=ticks)(?!`)")
_NOISE = (  # behind what each cannot do without; bounded, where the search for an end could take long
    ("<", re.compile(r"<(https?://[^<>\s]+)>"), r"\1"),
    ("<", re.compile(r"<!--.{0,999}?-->|</?[a-zA-Z][^<>]*>"), ""),
    ("![", re.compile(r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])"), ""),
    ("[", re.compile(r"\[([^\[\]]+)\](?:\([^)]*\)|\[[^\]]*\])"), r"\1"),
    ("[", re.compile(r"\s?\[\^?[0-9]{1,3}(?: *[,;\u2013-] *[0-9]{1,3})*\]"), ""),  # a document's references
    ("**", re.compile(r"(\*\*)(?=\S)(.{1,299}?)(?<=\S)\1"), r"\2"),
    ("__", re.compile(r"(__)(?=\S)(.{1,299}?)(?<=\S)\1"), r"\2"),
    ("*", re.compile(r"(?<![\w*])\*(?=[^\s*])([^*]+)(?<=\S)\*(?![\w*])"), r"\1"),
    ("_", re.compile(r"(?<!\w)_(?=[^\s_])([^_]+)(?<=\S)_(?!\w)"), r"\1"),
    ("\\", re.compile(r"\\([!-/:-@\[-`{-~])"), r"\1"),
)
_NOISY = re.compile(r"[<\[*_\\&]")
_BREAK = re.compile(
    r"(?:(?<=[.!?\u2026])|(?<=[.!?\u2026][\"'\u201d\u2019\u00bb)\]]))\s+(?![a-z\u00df-\u00f6\u00f8-\u00ff\u0430-\u044f])"
    r"|(?<=[\u3002\uff01\uff1f])(?![\u201d\u2019\u300d\u300f\uff09])"
)
_STOP = re.compile(r"[.!?\u2026\u3002\uff01\uff1f]")  # where it may break
_ABBREVIATED = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|approx|Dr|Mr|Mrs|Ms|Prof|St|No|Nr|Fig|z\.\s?B|d\.\s?h|bzw|ca)|\b[A-Z])\.$"
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, list item or table row; ``tail`` is the code or list that it announces."""

    text: str
    heading: str  # the headings above it, joined
    block: int  # sentences of one block may be read in one go
    tail: str = ""


@dataclass(slots=True)
class _Block:
    kind: Literal["text", "item", "row", "code"]
    lines: list[str]
    heading: str
    number: int
    bullet: str = ""

    @property
    def text(self) -> str:
        return _clean(" ".join(self.lines))


def sentences(text: str, *, cut: bool = False) -> list[Sentence]:
    """Return the sentences of ``text`` in order.

    Headings are not sentences; a sentence that only announces what cannot be quoted is left out.

    Args:
        text: a passage of a document.
        cut: whether the passage begins in the middle of its document, so that its first words may be the
            rest of a sentence.
    """
    found: list[Sentence] = []
    reader = _Reader(text)
    for run in _runs(reader.blocks):
        announced = bool(found) and _announces(found[-1])
        tail = _tail(run) if announced else ""
        if tail:
            found[-1] = replace(found[-1], tail=tail)
            continue
        if announced:
            found.pop()
        found += _split(run)
    if found and _announces(found[-1]):
        found.pop()
    if cut and found and found[0].text[:1].islower() and reader.blocks[0].kind == "text":
        found.pop(0)
    return found


def _announces(sentence: Sentence) -> bool:
    return not sentence.tail and sentence.text.endswith((":", "\uff1a"))


def _runs(blocks: Iterable[_Block]) -> Iterator[list[_Block]]:
    """Yield the items of a list together, and every other block alone."""
    run: list[_Block] = []
    for block in blocks:
        if run and not (block.kind == run[0].kind == "item" and block.heading == run[0].heading):
            yield run
            run = []
        run.append(block)
    if run:
        yield run


def _tail(run: list[_Block]) -> str:
    match run[0].kind:
        case "code":
            tail = "\n".join(run[0].lines)
        case "item":
            tail = "\n".join(f"{block.bullet} {block.text}" for block in run)
        case _:
            return ""
    return tail if len(tail) <= _LONGEST_TAIL else ""


def _split(run: list[_Block]) -> Iterator[Sentence]:
    for block in run:
        if block.kind == "code":
            continue
        parts: list[str] = []
        text = block.text
        for part in [text] if block.kind == "row" or not _STOP.search(text) else _BREAK.split(text):
            if parts and _ABBREVIATED.search(parts[-1][-8:]):
                parts[-1] += f" {part}"
            else:
                parts.append(part)
        for part in parts:
            if part[:1].isalnum() or any(character.isalnum() for character in part):
                yield Sentence(part.strip(), block.heading, block.number)


class _Reader:
    """Read a text line by line into blocks, each under its headings."""

    def __init__(self, text: str) -> None:
        self.blocks: list[_Block] = []
        self._headings: dict[int, str] = {}
        self._open = False  # whether the last block takes more lines
        self._fence = ""  # what closes the code block
        for line in _LINE_END.split(text):
            self._read(line)

    def _read(self, line: str) -> None:
        if self._fence:
            self._code(line)
            return
        if line[:1].isalpha():  # the rule, and none of the marks below begins so
            self._plain(line)
            return
        line = _QUOTED.sub("", line)
        if fence := _FENCE.match(line):
            self._begin("code", line.strip())
            self._fence = fence[1]
        elif heading := _HEADING.match(line):
            self._head(len(heading[1]), heading[2])
        elif self._open and self.blocks[-1].kind == "text" and (underline := _UNDERLINE.match(line)):
            self._head(1 if underline[1][0] == "=" else 2, self.blocks.pop().text)
        elif line.lstrip().startswith("|"):
            self._row(line.strip())
        elif item := _ITEM.match(line):
            self._begin("item", item["text"], item["bullet"])
        elif _RULE.match(line):
            self._open = False
        else:
            self._plain(line)

    def _plain(self, line: str) -> None:
        if self._open:
            self.blocks[-1].lines.append(line)
        else:
            self._begin("text", line)

    def _begin(self, kind: Literal["text", "item", "row", "code"], line: str, bullet: str = "") -> None:
        heading = " / ".join(self._headings.values())
        self.blocks.append(_Block(kind, [line], heading, len(self.blocks), bullet))
        self._open = kind in ("text", "item")

    def _head(self, level: int, heading: str) -> None:
        above = {depth: text for depth, text in self._headings.items() if depth < level}
        self._headings = above | {level: _clean(heading)}
        self._open = False

    def _row(self, line: str) -> None:
        if not _RULE.match(line):
            first, *others = [cell.strip() for cell in _CELL.split(line.strip("|"))]
            told = "; ".join(cell.rstrip(".") for cell in others if cell)
            self._begin("row", f"{first}: {told}" if first and told else first or told)
        elif self.blocks and self.blocks[-1].kind == "row":
            self.blocks.pop()  # the row above the rule names the columns

    def _code(self, line: str) -> None:
        self.blocks[-1].lines.append(line)
        mark = _FENCE.match(line)
        if mark and mark[1].startswith(self._fence):
            self._fence = ""


def _clean(text: str) -> str:
    """Return ``text`` without its mark-up; what stands between backticks is left alone."""
    if "`" not in text:
        return _without_noise(text).strip()
    pieces: list[str] = []
    at = 0
    text = _CODE_LINK.sub(r"\1", text)
    for span in _CODE_SPAN.finditer(text):
        pieces += (_without_noise(text[at : span.start()]), span.group())
        at = span.end()
    return "".join([*pieces, _without_noise(text[at:])]).strip()


def _without_noise(text: str) -> str:
    if _NOISY.search(text):
        for mark, pattern, instead in _NOISE:
            if mark in text:
                text = pattern.sub(instead, text)
        text = html.unescape(text)
    return _SPACE.sub(" ", text)
