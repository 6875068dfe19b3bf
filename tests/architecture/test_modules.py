"""The shape of the source: what modules export, and how long they and their functions may be."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "ragstream"
LONGEST_FUNCTION = 60  # lines
LONGEST_MODULE = 600
LONGEST_SEAM = 90  # a base.py, blank lines apart: a few Protocols and their frozen values


def _module(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _exports(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            exported: list[str] = ast.literal_eval(node.value)
            return exported
    return []


TEXTS = {_module(path): path.read_text("utf-8") for path in sorted(SOURCE.rglob("*.py"))}
TREES = {name: ast.parse(text) for name, text in TEXTS.items()}
EXPORTS = {name: _exports(tree) for name, tree in TREES.items()}


def test_what_a_module_exports_is_there() -> None:
    missing = [
        f"{name}.{export}"
        for name, exported in EXPORTS.items()
        if exported
        for export in exported
        if not hasattr(importlib.import_module(name), export)
    ]
    assert not missing


def test_a_module_takes_from_others_only_what_they_export() -> None:
    taken = [
        f"{name} takes {alias.name} of {node.module}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in EXPORTS
        for alias in node.names
        if alias.name not in EXPORTS[node.module] and f"{node.module}.{alias.name}" not in EXPORTS
    ]
    assert not taken


def test_modules_are_short() -> None:
    long = [name for name, text in TEXTS.items() if text.count("\n") > LONGEST_MODULE]
    assert not long


def test_seams_are_short() -> None:
    seams = {name: text for name, text in TEXTS.items() if name.endswith(".base")}
    long = {name: sum(bool(line.strip()) for line in text.splitlines()) for name, text in seams.items()}
    assert {name: lines for name, lines in long.items() if lines > LONGEST_SEAM} == {}


def test_functions_are_short() -> None:
    long = [
        f"{name}.{node.name}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]
    assert not long


def test_a_module_says_why_it_is_there() -> None:
    silent = [name for name, tree in TREES.items() if tree.body and not ast.get_docstring(tree)]
    assert not silent
