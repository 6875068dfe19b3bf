"""The shape of the source: what a module exports, how long it and its functions may be."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "ragstream"
MODULES = sorted(SOURCE.rglob("*.py"))
LONGEST_FUNCTION = 60  # lines
LONGEST_MODULE = 600
LONGEST_SEAM = 90  # a base.py, blank lines apart: a few Protocols and their frozen values


def _name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def _exports(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            exported: list[str] = ast.literal_eval(node.value)
            return exported
    return None


def _module(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


EXPORTS = {_module(path): _exports(ast.parse(path.read_text("utf-8"))) for path in MODULES}


@pytest.mark.parametrize("name", [name for name, exported in EXPORTS.items() if exported])
def test_what_a_module_exports_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert [export for export in EXPORTS[name] or [] if not hasattr(module, export)] == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_takes_from_others_only_what_they_export(path: Path) -> None:
    taken = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in EXPORTS
        for alias in node.names
        if alias.name not in (EXPORTS[node.module] or []) and f"{node.module}.{alias.name}" not in EXPORTS
    ]
    assert not taken


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_modules_and_functions_are_short(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= LONGEST_MODULE
    if path.name == "base.py":
        assert sum(bool(line.strip()) for line in text.splitlines()) <= LONGEST_SEAM
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= LONGEST_FUNCTION
    ]
    assert not long


@pytest.mark.parametrize("path", [p for p in MODULES if p.stat().st_size], ids=_name)
def test_a_module_says_why_it_is_there(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))
