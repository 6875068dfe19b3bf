"""Citation markers in a text that is still arriving: found, checked and renumbered.

Rule 1: a marker is ``[1]`` or ``[1, 2]``; the latter is said as ``[1][2]``: one citation, one span.
Rule 2: markers are numbered by first use; a number that no source has is dropped, with the blank after it if
    there is one before it.
Rule 3: text is held back only while it may be the beginning of a marker, and never beyond ``LONGEST``.
Rule 4: in code, be it fenced or between backticks, a bracket is a bracket.

The same text gives the same result however it is split, and text without markers passes as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ragstream.events import Citation, EventType, StreamEvent, TextDelta

__all__ = ["LARGEST", "LONGEST", "CitationWriter", "as_written", "text_events", "without_markers"]

LONGEST = 40  # characters of a marker
LARGEST = 40_000  # characters of one event's text, at most 240,000 bytes of JSON
_SPECIAL = re.compile(r"[\[`~\n]")
_MARKER = re.compile(r"\[ *[0-9]{1,3}(?: *[,;] *[0-9]{1,3})* *\]")
_BEGINNING = re.compile(r"\[[0-9 ,;]*")
_NUMBER = re.compile(r"[0-9]+")
_BLANK = ("", " ", "\n")


class CitationWriter:
    """Rewrite the markers of one answer; number ``n`` in the model's text means ``sources[n - 1]``."""

    __slots__ = ("_closing_up", "_code", "_held", "_kept", "_last", "_length", "_numbers", "_sources")

    def __init__(self, sources: Sequence[str]) -> None:
        self._sources = list(sources)  # ids
        self._kept: tuple[dict[int, int], int] = ({}, 0)
        self.restart()

    def add(self, sources: Sequence[str]) -> None:
        """Number further sources on."""
        self._sources += sources

    def keep(self) -> None:
        """Let ``restart`` come back to here."""
        self._kept = (dict(self._numbers), self._length)

    def restart(self) -> None:
        """Begin anew: what was written before, and not kept, is to be forgotten."""
        numbers, self._length = self._kept  # code points said
        self._numbers = dict(numbers)  # the model's number -> the number said
        self._held = ""  # what may be the beginning of a marker
        self._last = ""  # the last character said
        self._closing_up = False  # a marker was dropped after a blank: another one would be too many
        self._code = _Code()

    def write(self, text: str) -> tuple[str, Sequence[Citation]]:
        """Take more of the model's text; return what can be said now, and the citations in it."""
        return (text, ()) if self.passes(text) else self._rewrite(text, last=False)

    def passes(self, text: str) -> bool:
        """Take more of the model's text if it can be said as it is; else take nothing."""
        if self._held or self._closing_up or _SPECIAL.search(text) is not None:
            return False
        self._code.plain(text)
        self._length += len(text)
        self._last = text[-1:] or self._last
        return True

    def finish(self) -> tuple[str, Sequence[Citation]]:
        """Return what was held back: it did not become a marker."""
        return self._rewrite("", last=True)

    def discard(self) -> None:
        """Forget what was held back: whoever goes on has not seen it."""
        self._held = ""

    def _rewrite(self, text: str, *, last: bool) -> tuple[str, Sequence[Citation]]:
        text, self._held = self._held + text, ""
        said: list[str] = []
        citations: list[Citation] = []
        at = 0
        while at < len(text):
            special = _SPECIAL.search(text, at)
            piece = text[at : special.start() if special else len(text)] or text[at]
            if self._closing_up:
                self._closing_up = False
                if piece[0] == " ":
                    at += 1
                    continue
            if piece == "[" and not self._code.bracket():
                marker = _MARKER.match(text, at)
                if marker and marker.end() - at <= LONGEST:
                    at = marker.end()
                    said.append(self._renumber(marker.group(), citations))
                    self._code.plain(said[-1])
                    self._closing_up = not said[-1] and self._last in _BLANK
                    self._last = said[-1][-1:] or self._last
                    continue
                if not last and len(text) - at < LONGEST and _BEGINNING.fullmatch(text, at):
                    self._held = text[at:]
                    break
            self._code.take(piece)
            said.append(piece)
            self._length += len(piece)
            self._last = piece[-1]
            at += len(piece)
        return "".join(said), citations

    def _renumber(self, marker: str, citations: list[Citation]) -> str:
        said = ""
        for number in dict.fromkeys(int(digits) for digits in _NUMBER.findall(marker)):
            if not 1 <= number <= len(self._sources):
                continue
            one = f"[{self._numbers.setdefault(number, len(self._numbers) + 1)}]"
            start, self._length = self._length, self._length + len(one)
            citations.append(Citation(source_id=self._sources[number - 1], start=start, end=self._length))
            said += one
        return said


class _Code:
    """Whether the text stands in code, after CommonMark: fences at the head of a line, runs of backticks.

    A run counts once it is over. A span that is still open at the end of its paragraph was none.
    """

    __slots__ = ("_at_head", "_fence", "_in_info", "_run", "_run_at_head", "_span")

    def __init__(self) -> None:
        self._fence = ""  # the run that opened the fence
        self._in_info = False  # still on the line that opened it
        self._span = 0  # the length of the run that opened the span
        self._run = ""  # backticks or tildes, as yet
        self._run_at_head = False
        self._at_head = True  # nothing but blanks on this line so far

    def bracket(self) -> bool:
        """Return whether a bracket would stand in code here."""
        self._end_run()
        return bool(self._fence or self._span)

    def take(self, piece: str) -> None:
        """Take a single special character, or text without any."""
        if piece == "\n":
            self._newline()
        elif piece in ("`", "~"):
            self._mark(piece)
        else:
            self.plain(piece)

    def plain(self, text: str) -> None:
        """Take text without special characters, or a bracket."""
        if self._run and text:
            self._end_run()
        if self._at_head and text and not text.isspace():
            self._at_head = False

    def _newline(self) -> None:
        self._end_run()
        if self._at_head:
            self._span = 0  # a blank line ends the paragraph
        self._at_head, self._in_info = True, False

    def _mark(self, character: str) -> None:
        if self._run and self._run[0] != character:
            self._end_run()
        if not self._run:
            self._run_at_head = self._at_head
        self._run += character
        self._at_head = False

    def _end_run(self) -> None:
        run, self._run = self._run, ""
        if not run:
            return
        if self._fence and self._in_info and run[0] == self._fence[0] == "`":
            self._span, self._fence = len(self._fence), ""  # backticks in the info string: it is a span
        if self._fence:
            if self._run_at_head and run.startswith(self._fence):
                self._fence = ""
        elif self._span:
            if run[0] == "`" and len(run) == self._span:
                self._span = 0
        elif self._run_at_head and len(run) >= 3:
            self._fence, self._in_info = run, True
        elif run[0] == "`":
            self._span = len(run)


def text_events(text: str, citations: Sequence[Citation], *, refusal: bool = False) -> Iterator[StreamEvent]:
    """Yield what ``CitationWriter`` returned as events, none of them large."""
    for start in range(0, len(text), LARGEST):
        delta = TextDelta(content=text[start : start + LARGEST], refusal=refusal)
        yield StreamEvent(type=EventType.TEXT_DELTA, text_delta=delta)
    for citation in citations:
        yield StreamEvent(type=EventType.CITATION, citation=citation)


def as_written(text: str, citations: Sequence[Citation], sources: Sequence[str], *, start: int = 0) -> str:
    """Return ``text`` from ``start`` on with the numbers that its model knows: the inverse of renumbering."""
    known = [f"[{sources.index(citation.source_id) + 1}]" for citation in citations]
    return _marked(text, citations, known, start)


def without_markers(text: str, citations: Sequence[Citation]) -> str:
    """Return ``text`` without its markers, for a reader who cannot know what they meant."""
    return _marked(text, citations, [""] * len(citations), 0)


def _marked(text: str, citations: Sequence[Citation], markers: Sequence[str], at: int) -> str:
    pieces: list[str] = []
    for citation, marker in zip(citations, markers, strict=True):
        pieces += (text[at : citation.start], marker)
        at = citation.end
    return "".join([*pieces, text[at:]])
