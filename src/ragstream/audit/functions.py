"""What a function of a step says about itself: where it is, what it is for, what it uses."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["behaviour", "intent", "marked_in", "place", "settings_read"]


def place(function: Callable[..., Any], root: Path) -> tuple[str, int]:
    """Return the file of ``function``, below ``root`` where it is, and its line."""
    path = Path(inspect.getsourcefile(function) or "")
    line = inspect.getsourcelines(function)[1]
    return (str(path.relative_to(root)) if path.is_relative_to(root) else str(path)), line


def intent(function: Callable[..., Any]) -> str:
    """Return the docstring of ``function``."""
    return inspect.getdoc(function) or ""


def behaviour(function: Callable[..., Any]) -> Iterator[str]:
    """Yield what can be seen of what ``function`` does."""
    if inspect.isasyncgenfunction(function):
        yield "An async generator: it says events."
    elif inspect.iscoroutinefunction(function):
        yield "A coroutine: it says nothing and writes on the state."
    else:
        yield "A plain function: it decides on the state alone and changes nothing."
    tree = _tree(function)
    if parts := sorted({name for chain in _chains(tree, "kit") for name in chain[:1]} - {"settings"}):
        yield f"Uses of the kit: {', '.join(f'`{part}`' for part in parts)}."
    if names := settings_read(function):
        yield f"Reads the settings {', '.join(f'`{name}`' for name in names)}."
    if notes := list(_notes(tree)):
        yield f"Adds to its log line: {', '.join(f'`{note}`' for note in notes)}."


def settings_read(function: Callable[..., Any]) -> list[str]:
    """Return the settings that ``function`` itself reads from its kit."""
    return sorted(
        {chain[1] for chain in _chains(_tree(function), "kit") if len(chain) > 1 and chain[0] == "settings"}
    )


def marked_in(folder: Path) -> Iterator[tuple[str, Path, int, str]]:
    """Yield node, file, line and name of each function below ``folder`` that is marked, bound or not."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for mark in node.decorator_list:
                    match mark:
                        case ast.Call(func=ast.Name("step"), args=[ast.Constant(str(name))]):
                            yield name, path, node.lineno, node.name


def _tree(function: Callable[..., Any]) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


def _chains(tree: ast.AST, name: str) -> Iterator[list[str]]:
    """Yield the attributes read from ``name``: ``kit.settings.top`` is ["settings", "top"]."""
    for node in ast.walk(tree):
        chain: list[str] = []
        while isinstance(node, ast.Attribute):
            chain.insert(0, node.attr)
            node = node.value
        if chain and isinstance(node, ast.Name) and node.id == name:
            yield chain


def _notes(tree: ast.AST) -> Iterator[str]:
    """Yield the names of what is added with ``state.note(...)``, each once."""
    seen: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "note":
            for keyword in node.keywords:
                if keyword.arg and keyword.arg not in seen:
                    seen.add(keyword.arg)
                    yield keyword.arg
