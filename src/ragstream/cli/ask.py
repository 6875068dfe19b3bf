"""``ragstream ask``: one question, answered in the terminal, without a server."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ragstream.bootstrap.service import Service
    from ragstream.events import Answer, Source, StreamEvent
    from ragstream.settings import Settings

    Show = Callable[[StreamEvent, Answer], None]

__all__ = ["ask"]

_BEGINS_AGAIN = "[The model failed; another answer replaces what stands above.]"
_INTERRUPTED = 130  # what a shell expects of a program that Ctrl-C ended


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Documents and folders to read first.", show_default=False)
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where the index is kept. Default: ./.ragstream.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the events as JSON lines.")] = False,
) -> None:
    """Ask a question and read the answer as it is written; Ctrl-C stops it.

    Sources stand below the answer as footnotes.
    """
    import asyncio

    from ragstream.bootstrap.models import require_model
    from ragstream.bootstrap.paths import require_paths
    from ragstream.settings import load

    settings = load({"data_dir": data_dir} if data_dir else {})
    require_paths(paths or [])
    require_model(settings)
    sys.exit(asyncio.run(_ask(settings, question, paths or [], _print_json if as_json else _print_text)))


async def _ask(settings: Settings, question: str, paths: list[Path], show: Show) -> int:
    import asyncio

    from ragstream.bootstrap import wiring
    from ragstream.cli.progress import progress_on
    from ragstream.events import Answer

    answer = Answer()
    with progress_on(sys.stderr) as progress:
        desk = wiring.desk(settings, progress=progress)
        await desk.start()
        try:
            await _read(desk, paths)
        except BaseException:
            await desk.aclose()
            raise
    try:
        stream_id = await desk.ask(question)
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, desk.supervisor.stop, stream_id, "you")
        async with aclosing(desk.log.read(stream_id)) as records:
            async for batch in records:
                for record in batch:
                    answer.apply(record.event)
                    show(record.event, answer)
    finally:
        await desk.aclose()
    return _exit_code(answer.ending)


async def _read(desk: Service, paths: list[Path]) -> None:
    """Read the documents first, and tell what could not be read."""
    if not paths or desk.library is None:
        return
    status = await desk.library.run(paths)
    for failed in status.failed:
        print(f"ragstream: {failed.uri} was not read: {failed.reason}", file=sys.stderr)  # noqa: T201


def _exit_code(ending: StreamEvent | None) -> int:
    if ending is not None and ending.cancelled is not None:
        return _INTERRUPTED
    return 0 if ending is not None and ending.type == "message_complete" else 1


def _print_json(event: StreamEvent, answer: Answer) -> None:  # noqa: ARG001
    from ragstream.events import encode

    print(encode(event).decode(), flush=True)  # noqa: T201


def _print_text(event: StreamEvent, answer: Answer) -> None:
    if event.text_delta is not None:
        print(event.text_delta.content, end="", flush=True)  # noqa: T201
    elif event.reset is not None:  # what stands in a terminal cannot be taken back
        print(f"\n\n{_BEGINS_AGAIN}\n\n{event.reset.text}", end="", flush=True)  # noqa: T201
    elif event.terminal:
        _print_end(event, answer)


def _print_end(event: StreamEvent, answer: Answer) -> None:
    if answer.text and not answer.text.endswith("\n"):
        print()  # noqa: T201
    for number, source in _footnotes(answer):
        place = f", page {source.page}" if source.page else f", {source.heading}" if source.heading else ""
        print(f"[{number}] {source.title} ({source.uri}{place})")  # noqa: T201
    if event.error is not None:
        print(f"ragstream: {event.error}", file=sys.stderr)  # noqa: T201
    elif event.cancelled is not None:
        print("Stopped.", file=sys.stderr)  # noqa: T201
    elif event.interrupted is not None:
        print("Interrupted.", file=sys.stderr)  # noqa: T201


def _footnotes(answer: Answer) -> list[tuple[int, Source]]:
    """Return the cited sources with their numbers in the text, which count by first use."""
    cited = list(dict.fromkeys(citation.source_id for citation in answer.citations))
    sources = {source.id: source for source in answer.sources}
    return [(number, sources[name]) for number, name in enumerate(cited, 1) if name in sources]
