"""The command line: one command a file, thin; what is heavy is imported when a command runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ragstream.cli.ask import ask
from ragstream.cli.audit import audit
from ragstream.cli.doctor import doctor
from ragstream.cli.ingest import ingest
from ragstream.cli.serve import serve
from ragstream.errors import ConfigError, RagstreamError

__all__ = ["app", "main"]

app = typer.Typer(
    name="ragstream",
    help="Ragstream answers questions from your own documents and streams the answer while it is written.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its boxes cost twice what the rest of the page of help does
    epilog="Begin with: ragstream serve ./docs, then open http://127.0.0.1:8000.",
)
app.command(short_help="Answer questions from your documents, at a page.")(serve)
app.command(short_help="Ask one question, in the terminal.")(ask)
app.command(short_help="Read documents, so that questions can find them.")(ingest)
app.command(short_help="Say what is set, and what can be reached.")(doctor)
app.command(short_help="Audit a pipeline against its diagram.")(audit)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=lambda v: _version(v)),
    ] = False,
) -> None:
    """Take the options that stand before a command; ``--debug`` may stand anywhere."""


def main() -> None:
    """Run the command line; an error is one line with the fix, its traceback only with ``--debug``."""
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    given = [argument for argument in arguments[:end] if argument != "--debug"]
    debug = len(given) < end
    try:
        sys.exit(app(given + arguments[end:] or ["--help"], standalone_mode=False))
    except Exception as error:
        line, code = _told(error)
        if debug or line is None:
            raise
        print(line, file=sys.stderr)  # noqa: T201
        sys.exit(code)


def _told(error: Exception) -> tuple[str | None, int]:
    """Return an error in one line, or None for a fault of ours, and the exit code."""
    if isinstance(error, RagstreamError):
        return f"ragstream: {error}", 2 if isinstance(error, ConfigError) else 1
    words = getattr(error, "format_message", None)  # Typer's errors have no public class in common
    if words is None:
        return None, 1
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "ragstream"
    said = " ".join(words().split()).rstrip(".")
    return f"{command}: {said}. See {command} --help.", 2


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ragstream {version('ragstream')}")
        raise typer.Exit
