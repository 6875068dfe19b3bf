"""From HTML to Markdown: headings, paragraphs, lists, tables and code keep their shape."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from ragstream.knowledge._text import decode

__all__ = ["html_to_markdown"]

_SKIPPED = frozenset({"script", "style", "template", "noscript", "svg", "nav", "iframe", "object", "select"})
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_BLOCKS = frozenset(
    """
    address article aside blockquote body dd details div dl dt fieldset figcaption figure footer form header
    hr html li main ol p pre section summary table tbody td tfoot th thead tr ul
    """.split()  # noqa: SIM905 - a list of words is read more easily than a list of strings
) | set(_HEADINGS)
_SPACE = re.compile(r"[ \t\n\r\f]+")
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)
_IMPOSSIBLE = ("utf-16", "utf-32", "unicode", "raw")  # in these the declaration itself could not be read
_HEAD = 4096  # bytes searched for a declared encoding


def html_to_markdown(data: bytes) -> tuple[str | None, str]:
    """Return the title, if the page has one, and the text as Markdown.

    Raises:
        DocumentRejected: the bytes are no text.
    """
    charset = _CHARSET.search(data[:_HEAD])
    declared = charset.group(1).decode("ascii").lower() if charset else ""
    reader = _Reader()
    reader.feed(decode(data, declared=None if declared.startswith(_IMPOSSIBLE) else declared))
    reader.close()
    return " ".join("".join(reader.title).split()) or None, reader.markdown()


class _Reader(HTMLParser):
    """Collects blocks of text; each block becomes a paragraph or a line."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self._blocks: list[str] = []
        self._words: list[str] = []  # of the block that is open
        self._prefix = ""
        self._skipped: list[str] = []  # open elements whose text is left out
        self._in_title = False
        self._preformatted = 0

    def markdown(self) -> str:
        """Return what was read."""
        self._end_block()
        return "".join(self._blocks).strip("\n") + "\n" if self._blocks else ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if self._skipped or tag in _SKIPPED:
            if tag in _SKIPPED:
                self._skipped.append(tag)
            return
        if tag == "title":
            self._in_title = not self.title
        elif tag == "br":
            self._words.append("\n" if self._preformatted else " \n ")
        elif tag in ("td", "th") and self._words:
            self._words.append(" | ")
        elif tag in _BLOCKS and tag not in ("td", "th"):
            self._end_block()
            self._prefix = self._prefix_of(tag)
            self._preformatted += tag == "pre"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("br", "hr"):  # the others close themselves in XHTML alone
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._skipped:
            if tag in self._skipped:
                del self._skipped[self._skipped.index(tag) :]
            return
        if tag == "title":
            self._in_title = False
        elif tag in _BLOCKS and tag not in ("td", "th"):
            self._end_block()
            if tag == "pre":
                self._preformatted = max(0, self._preformatted - 1)

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._skipped:
            self._words.append(data if self._preformatted else _SPACE.sub(" ", data))

    def _prefix_of(self, tag: str) -> str:
        if tag in _HEADINGS:
            return _HEADINGS[tag] + " "
        return "- " if tag == "li" else self._prefix if tag == "p" else ""

    def _end_block(self) -> None:
        words = "".join(self._words)
        self._words.clear()
        if not words.strip():
            return
        if self._preformatted:
            self._blocks.append("```\n" + words.strip("\n") + "\n```\n\n")
        else:
            lines = [" ".join(line.split()) for line in words.split("\n")]
            end = "\n" if self._prefix == "- " else "\n\n"
            self._blocks.append(self._prefix + "\n".join(filter(None, lines)) + end)
        self._prefix = ""
