"""The documentation agrees with the tree: links lead somewhere, examples are valid, commands exist."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import AsyncGenerator, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

import ragstream.cli
from ragstream import ChatRequest, Ragstream
from ragstream.settings import Settings, variable

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    line: int


@cache
def _page(path: Path) -> str:
    return path.read_text("utf-8")


def _blocks(path: Path, *languages: str) -> Iterator[Block]:
    text = _page(path)
    for match in FENCE.finditer(text):
        language = match.group(1).split(" ")[0]
        if language in languages:
            yield Block(language, match.group(2), text.count("\n", 0, match.start()) + 1)


def _prose(path: Path) -> str:
    return FENCE.sub("", _page(path))


def _anchors(path: Path) -> set[str]:
    """Return the fragments that GitHub gives to the page's headings."""
    headings = re.findall(r"^#+ (.*)$", _prose(path), re.MULTILINE)
    bare = [re.sub(r"\[([^]]*)]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in bare}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_links_lead_somewhere(path: Path) -> None:
    lost = []
    for link in LINK.findall(_prose(path)):
        target, _, fragment = link.partition("#")
        if ":" in target:
            continue  # another site
        there = (path.parent / target).resolve() if target else path
        anchored = not fragment or (there.suffix == ".md" and there.is_file() and fragment in _anchors(there))
        if not there.exists() or not anchored:
            lost.append(link)
    assert not lost


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(_page(index))}
    written = {path for path in PAGES if path.is_relative_to(index.parent)} - {index}
    missing = [_name(path) for path in written - linked if "architecture" not in path.parts]
    assert not missing


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_python_blocks_compile_and_import_what_is_there(path: Path) -> None:
    for block in _blocks(path, "python"):
        where = f"{_name(path)}:{block.line}"
        tree = compile(block.text, where, "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ragstream":
                module = importlib.import_module(node.module or "")
                assert [a.name for a in node.names if not hasattr(module, a.name)] == [], where


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_json_blocks_are_json(path: Path) -> None:
    for block in _blocks(path, "json"):
        json.loads(block.text)


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_make_targets_exist(path: Path) -> None:
    assert _named_targets(path) <= _targets()


def test_contributing_tells_of_every_make_target() -> None:
    assert _named_targets(ROOT / "CONTRIBUTING.md") == _targets()


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def _named_targets(path: Path) -> set[str]:
    commands = [block.text for block in _blocks(path, "sh", "bash", "console", "shell")]
    commands += re.findall(r"`([^`]+)`", _prose(path))
    return {target for text in commands for target in re.findall(r"\bmake\s+([a-z-]+)", text)}


@cache
def _help(command: str) -> str:
    shown = CliRunner().invoke(ragstream.cli.app, [command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, f"there is no command {command!r}"
    return shown.output


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_commands_and_their_options_exist(path: Path) -> None:
    written = "\n".join(block.text for block in _blocks(path, "sh", "ini"))
    inline = "\n".join(re.findall(r"`([^`\n]+)`", _prose(path)))
    for line in re.findall(r"(?:^|/|= )ragstream ([a-z]+.*)$", f"{written}\n{inline}", re.MULTILINE):
        command, *words = line.split()
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert option in _help(command), line
        assert _help(command)


def test_quoted_help_is_current() -> None:
    subprocess.run([sys.executable, ROOT / "scripts/docs.py", "--check"], check=True)


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_settings_exist(path: Path) -> None:
    known = {variable(name) for name in Settings.model_fields}
    assert set(re.findall(r"\bRAGSTREAM_[A-Z_]+\b", _page(path))) <= known


def test_the_http_reference_has_every_route() -> None:
    app = Ragstream(_nothing).service.app
    served = {
        f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods
    }
    headings = re.findall(r"^### `(.*)`$", _page(ROOT / "docs/reference/http.md"), re.MULTILINE)
    assert set(headings) == served


async def _nothing(request: ChatRequest) -> AsyncGenerator[str, None]:
    yield ""


def test_the_house_shows_every_room() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = contract["tool"]["importlinter"]["contracts"][0]["layers"]
    built = [re.sub(r"\s*\|?\s*\(\w+\)", "", layer) for layer in layers]  # in brackets: not built yet
    drawing = next(_blocks(ROOT / "docs/explanation/the-house.md", "text")).text
    drawn = [re.split(r"\s{2,}", line)[0] for line in drawing.splitlines()]
    assert drawn == built


def test_decisions_justify_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    declared = [
        *project["project"]["dependencies"],
        *(line for extra in extras for line in extra),
        *project["dependency-groups"]["dev"],
    ]
    decisions = _page(ROOT / "docs/explanation/decisions.md").lower()
    names = {re.split(r"[^\w.-]", line)[0].lower() for line in declared}
    words = set(re.findall(r"[a-z0-9-]+", decisions))
    assert sorted(names - words) == []
