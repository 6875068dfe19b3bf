"""``ragstream ingest``: read documents into the data directory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ragstream.feeds import IngestStatus
    from ragstream.settings import Settings

__all__ = ["ingest"]

_INTERRUPTED = 130  # what a shell expects of a program that Ctrl-C ended


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Documents and folders to read.", show_default=False)],
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the index is kept. Default: ./.ragstream.")
    ] = None,
) -> None:
    """Read Markdown, text, HTML and PDF files, so that questions can be asked about them.

    Only what is new or has changed is read again; what is gone from the folders leaves the index. A file that
    cannot be read is reported at the end and does not stop the rest. A running server sees the changes.
    """
    import asyncio

    from ragstream.settings import load

    settings = load({"data_dir": data_dir} if data_dir else {})
    try:
        sys.exit(asyncio.run(_ingest(settings, paths)))
    except KeyboardInterrupt:
        print("Stopped. What was read is kept.", file=sys.stderr)  # noqa: T201
        sys.exit(_INTERRUPTED)


async def _ingest(settings: Settings, paths: list[Path]) -> int:
    from ragstream.bootstrap.wiring import library
    from ragstream.cli.progress import progress_on

    with progress_on(sys.stdout) as progress:
        reader, documents = library(settings, progress=progress)
        async with documents:
            status = await reader.run(paths)
    _report(status)
    return 1 if status.failed else 0


def _report(status: IngestStatus) -> None:
    from ragstream.cli.progress import printable

    counts = ("added", "changed", "unchanged", "removed")
    told = ", ".join(f"{getattr(status, name)} {name}" for name in counts)
    print(f"{told}; {status.chunks} chunks in {status.seconds:.1f} s")  # noqa: T201
    if status.failed:
        print(f"{len(status.failed)} could not be read:", file=sys.stderr)  # noqa: T201
    for failed in status.failed:
        print(f"  {printable(failed.uri)}: {failed.reason}", file=sys.stderr)  # noqa: T201
