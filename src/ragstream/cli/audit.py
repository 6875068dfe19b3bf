"""``ragstream audit``: hold a diagram, code, pages and tests against each other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ragstream.audit import Account, Folder
    from ragstream.blueprint import Diagram

__all__ = ["audit"]


def audit(
    diagram: Annotated[
        Path | None, typer.Option(help="A Mermaid flowchart, alone or in a Markdown file. Default: our own.")
    ] = None,
    code: Annotated[
        Path | None, typer.Option(help="The Python code that is to do what the diagram draws.")
    ] = None,
    pages: Annotated[
        Path | None, typer.Option(help="The folder for registry and pages of that code. Default: ./audit.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Bring registry and pages up to date.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if anything is not as it is drawn or written.")
    ] = False,
    form: Annotated[
        Literal["text", "json"], typer.Option("--format", help="How the outcome is printed.")
    ] = "text",
    trace: Annotated[
        Path | None, typer.Option(help="A log in JSON form: name its transitions that are not drawn.")
    ] = None,
) -> None:
    """Audit a pipeline: which steps of its diagram are built, wired and tested.

    Alone it audits Ragstream itself, in a checkout. With --diagram and --code it reads any Python code.
    """
    from ragstream.audit import as_json, as_text
    from ragstream.errors import ConfigError

    if trace is not None:
        _end(_trace(diagram, trace), form)
    if (diagram is None) != (code is None):
        raise ConfigError("--diagram and --code belong together; name both, or neither to audit Ragstream")
    if pages is not None and code is None:
        raise ConfigError(
            "--pages needs --diagram and --code; Ragstream's own are in docs/architecture/steps"
        )
    audited = (
        _project() if diagram is None or code is None else _foreign(diagram, code, pages or Path("audit"))
    )
    accounts, folder, findings = audited
    if write:
        for path in folder.write(accounts):
            typer.echo(f"wrote {path}", err=True)
    if check:
        _end(findings, form)
    typer.echo((as_json if form == "json" else as_text)(accounts))


def _project() -> tuple[Sequence[Account], Folder, Iterator[str]]:
    from ragstream.audit import Project
    from ragstream.blueprint import load_diagram, marked
    from ragstream.bootstrap.binding import STEP_MODULES

    project = Project(Path(), load_diagram(), marked(STEP_MODULES))
    return project.accounts, project.folder, project.findings()


def _foreign(diagram: Path, code: Path, pages: Path) -> tuple[Sequence[Account], Folder, Iterator[str]]:
    from ragstream.audit import Folder, Place, gaps, hints, search_code

    drawn = _drawn(diagram)
    for hint in hints(drawn):
        typer.echo(f"{diagram}, {hint}", err=True)
    accounts = search_code(drawn, code)
    command = f"ragstream audit --diagram {diagram} --code {code} --pages {pages} --write"
    root = code if code.is_dir() else code.parent
    folder = Folder(Place(pages, root, diagram, pages / "rag_steps.yml"), "The steps", command)
    findings = (finding for each in (gaps(accounts), folder.findings(accounts)) for finding in each)
    return accounts, folder, findings


def _drawn(path: Path) -> Diagram:
    from ragstream.audit import read_any
    from ragstream.errors import BlueprintError, ConfigError

    try:
        return read_any(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--diagram {path}: {error}; name a Mermaid flowchart") from None
    except BlueprintError as error:
        raise BlueprintError(f"{path}, {error}") from None


def _trace(diagram: Path | None, path: Path) -> Iterable[str]:
    from ragstream.audit import audit_trace
    from ragstream.blueprint import load_diagram
    from ragstream.errors import ConfigError

    drawn = load_diagram() if diagram is None else _drawn(diagram)
    try:
        with path.open("rb") as lines:
            yield from audit_trace(drawn, lines)
    except OSError as error:
        raise ConfigError(f"--trace {path}: {error.strerror}; name a log in JSON form") from None


def _end(findings: Iterable[str], form: str) -> None:
    """Print ``findings``, a line each, and leave: with 1 if there are any."""
    import msgspec

    count = 0
    for finding in findings:
        typer.echo(msgspec.json.encode({"finding": finding}) if form == "json" else finding)
        count += 1
    sys.exit(1 if count else 0)
