"""``ragstream doctor``: what is set, what can be reached, what is installed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from ragstream.settings import Settings

__all__ = ["doctor"]

_WIDTH = 160  # columns where there is no terminal: lines that are read by programs should not be broken
_PACKAGES = ("ragstream", "fastapi", "uvicorn", "openai", "sqlalchemy", "tantivy", "asyncpg", "redis")
_STYLES = {"ok": "green", "note": "yellow", "failed": "bold red"}


def doctor(
    data_dir: Annotated[
        Path | None, typer.Option(help="Where index, history and logs are kept. Default: ./.ragstream.")
    ] = None,
) -> None:
    """Show the settings in force and where each came from, what can be reached, and versions.

    Nothing is changed, and no key is shown. The exit code is 1 if something that a server needs is missing.
    """
    import asyncio

    from rich.console import Console

    from ragstream.settings import load

    settings = load({"data_dir": data_dir} if data_dir else {})
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    _table(console, "Settings", ("setting", "value", "from"), _settings(settings))
    well = asyncio.run(_show_checks(console, settings))
    _table(console, "Versions", ("", ""), _versions())
    sys.exit(0 if well else 1)


def _settings(settings: Settings) -> Iterable[tuple[str, str, str]]:
    from ragstream.settings import origins, variable

    for name, origin in origins(settings).items():
        yield variable(name), _shown(settings, name), origin


def _shown(settings: Settings, name: str) -> str:
    """Return a setting's value for human eyes, without secrets."""
    from pydantic import SecretStr

    value = getattr(settings, name)
    match value:
        case None:
            return ""
        case SecretStr():
            return "set, not shown"
        case bool():
            return str(value).lower()
        case frozenset():
            return ", ".join(sorted(value))
        case tuple() if name == "api_keys":
            return ", ".join(f"{who}: not shown" for who, _ in value)
        case tuple():
            return ", ".join(": ".join(item) if isinstance(item, tuple) else str(item) for item in value)
        case float():
            return f"{value:g}"
        case _:
            return str(value)


async def _show_checks(console: Console, settings: Settings) -> bool:
    from ragstream.bootstrap.checks import checks

    done = [check async for check in checks(settings)]
    rows = ((check.what, f"[{_STYLES[check.state]}]{check.state}[/]", check.words) for check in done)
    _table(console, "What can be reached", ("", "", ""), rows, markup_column=1)
    return all(check.state != "failed" for check in done)


def _versions() -> Iterable[tuple[str, str]]:
    import platform
    import sqlite3
    from importlib.metadata import PackageNotFoundError, version

    yield "python", f"{platform.python_version()} on {platform.platform()}"
    yield "sqlite", sqlite3.sqlite_version
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield package, "not installed"


def _table(
    console: Console,
    title: str,
    headings: tuple[str, ...],
    rows: Iterable[tuple[str, ...]],
    *,
    markup_column: int = -1,
) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, show_header=any(headings), pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(cell if at == markup_column else escape(cell) for at, cell in enumerate(row)))
    console.print(table, "")
