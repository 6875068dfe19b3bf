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


def _public_names(tree: ast.Module) -> set[str]:
    """Return the names without an underscore that the module itself defines at its top."""
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return {name for name in names if not name.startswith("_")}


def _exports(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            exported: list[str] = ast.literal_eval(node.value)
            return exported
    return None


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "__init__.py"], ids=_name)
def test_a_module_exports_what_it_defines(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    defined, exported = _public_names(tree), _exports(tree)
    assert set(exported or []) == defined


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("__init__.py")), ids=_name)
def test_what_a_package_exports_is_there(path: Path) -> None:
    package = ".".join(path.parent.relative_to(SOURCE.parent).parts)
    module = importlib.import_module(package)
    exported = getattr(module, "__all__", [])
    assert [name for name in exported if not hasattr(module, name)] == []


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
