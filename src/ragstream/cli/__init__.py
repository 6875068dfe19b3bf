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
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Begin with: [bold]ragstream serve ./docs[/bold], then open http://127.0.0.1:8000.",
)
app.command()(serve)
app.command()(ask)
app.command()(ingest)
app.command()(doctor)
app.command()(audit)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=lambda v: _version(v)),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run the command line; an error is one line with the fix, its traceback only with ``--debug``."""
    try:
        app()
    except RagstreamError as error:
        if "--debug" in sys.argv:
            raise
        print(f"ragstream: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2 if isinstance(error, ConfigError) else 1)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ragstream {version('ragstream')}")
        raise typer.Exit
