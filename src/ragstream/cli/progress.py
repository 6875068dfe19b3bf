"""Show how the reading of documents goes: a bar in a terminal, a line for each file elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from ragstream.feeds import FileOutcome, IngestStatus
    from ragstream.feeds import Progress as Told

__all__ = ["printable", "progress_on"]


@contextmanager
def progress_on(stream: TextIO) -> Iterator[Told]:
    """Give what is to be told of each file, and show it on the stream."""
    if not stream.isatty():
        yield _Lines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("Reading"), BarColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        yield _Moves(bar)


def printable(name: str) -> str:
    """Return a file's name without what would move the cursor."""
    return "".join(character if character.isprintable() else "?" for character in name)


class _Lines:
    """A line for each file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, file: FileOutcome, status: IngestStatus) -> None:  # noqa: ARG002
        detail = ""
        if file.reason:
            detail = f": {file.reason}"
        elif file.chunks:
            detail = f" ({file.chunks} chunk{'s' if file.chunks > 1 else ''})"
        print(f"{file.outcome:<9} {printable(file.uri)}{detail}", file=self._stream, flush=True)


class _Moves:
    """A bar that counts files, with chunks, rate and what is left."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None, told="looking for files")

    def __call__(self, file: FileOutcome, status: IngestStatus) -> None:  # noqa: ARG002
        told = (
            f"{status.files_done}/{status.files_total} files · {status.chunks} chunks · {status.rate:.0f}/s"
        )
        if status.eta is not None:
            told += f" · {_duration(status.eta)} left"
        self._bar.update(self._task, completed=status.files_done, total=status.files_total, told=told)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
