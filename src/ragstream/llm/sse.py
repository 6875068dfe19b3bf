"""Server-sent events as bytes come in: nothing here knows what the data means.

"Lines must be separated by either a CRLF pair, a single LF, or a single CR" (HTML, 9.2.5). Those three are
also what ``bytes.splitlines`` splits on; ``str.splitlines`` splits on eight more. Lines stay bytes, so a
character that was cut in two by the network is whole again before anybody decodes it.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["LINE_CAP", "EventData", "LineTooLong"]

LINE_CAP = 1 << 20  # bytes of one event's data, so also of one line

_BOM = b"\xef\xbb\xbf"
_LF, _CR = 10, 13  # as numbers: to look for bytes costs ten times as much, for an error that nobody sees
_FIELDS = (b"event", b"id", b"retry", b"data")


class LineTooLong(ValueError):
    """More than the cap arrived without the event coming to its end."""


class EventData:
    """Collect bytes, give back the data of each event that is complete.

    ``foreign`` becomes true when a line is nothing that a server-sent event has, and ``seen`` when any data
    was: a body with the first and without the second is some other document, an error page for example.
    """

    __slots__ = ("_after_cr", "_data", "_first", "_rest", "_size", "cap", "foreign", "seen")

    def __init__(self, cap: int = LINE_CAP) -> None:
        self.cap = cap
        self.foreign = False
        self.seen = False
        self._first = True  # no line is complete yet: it may begin with a byte order mark
        self._after_cr = False  # the last byte was CR, an LF now would belong to it
        self._rest = bytearray()  # a line without its end
        self._data: list[bytes] = []  # data lines of the event under way
        self._size = 0  # bytes in them

    def alone(self, piece: bytes) -> bytes:
        """Return the data of a piece that is one event of one line, as tokens come; else take nothing."""
        end = len(piece) - 2
        if (
            piece[:5] != b"data:"
            or piece.find(b"\n") != end
            or piece[-1] != _LF
            or self._rest
            or self._data
            or _CR in piece
            or end > self.cap
        ):
            return b""
        self._first = self._after_cr = False
        self.seen = True
        return piece[5:end]

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the data of every event that ``piece`` completes.

        Raises:
            LineTooLong: the event under way is larger than the cap.
        """
        for line in self._lines(piece):
            if line.startswith(b"data:"):
                self._keep(line[5:])
            elif not line:
                if self._data:
                    yield self._take()
            elif line.startswith(b"{"):
                self._keep(line)  # JSON without a field name: how some servers say an error
            elif line[:1] != b":" and line.split(b":", 1)[0] not in _FIELDS:
                self.foreign = True

    def end(self) -> Iterator[bytes]:
        """Yield what stands at the end of the input without its blank line, cut or not."""
        rest = bytes(self._rest)
        self._rest.clear()
        if rest.startswith(b"data:"):
            self._data.append(rest[5:])
        elif rest.startswith(b"{"):
            self._data.append(rest)
        elif not any(field.startswith(rest.split(b":", 1)[0]) for field in _FIELDS):  # not even a cut one
            self.foreign = True
        if self._data:
            yield self._take()

    def _lines(self, piece: bytes) -> list[bytes]:
        if self._after_cr and piece[:1] == b"\n":
            piece = piece[1:]
            self._after_cr = False
        if not piece:
            return []
        lines = piece.splitlines()
        self._after_cr = piece[-1] == _CR
        ended = self._after_cr or piece[-1] == _LF
        if self._rest:
            self._rest += lines[0]
            lines[0] = bytes(self._rest) if ended or len(lines) > 1 else b""
            if not lines[0]:
                self._check(len(self._rest))
                return []
            self._rest.clear()
        if not ended:
            self._rest += lines.pop()
            self._check(len(self._rest))
        if self._first and lines:
            self._first = False
            lines[0] = lines[0].removeprefix(_BOM)
        return lines

    def _keep(self, data: bytes) -> None:
        self._data.append(data)
        self._size += len(data)
        self._check(self._size)

    def _take(self) -> bytes:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        self._size = 0
        self.seen = True
        return data

    def _check(self, size: int) -> None:
        if size > self.cap:
            raise LineTooLong(f"a line or event of more than {self.cap} bytes")
