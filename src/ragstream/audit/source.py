"""Python code, read and not run, a file at a time: what could do a step, and what each says of itself.

Functions, methods and classes are symbols, and so is what a module does when it is run. Tests are passed
over, because they use a step rather than do it; so are functions that are only declared.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FIELDS", "Module", "Symbol", "modules", "read_module"]

FIELDS = ("name", "place", "docstring", "calls", "text")  # of a symbol; what it says of itself, and where

_PASSED_OVER = {
    "tests",
    "test",
    "testing",
    "node_modules",
    "__pycache__",
    "venv",
    "site-packages",
    "build",
    "dist",
}
_LARGEST = 2_000_000  # bytes of a file: what is larger is data
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of what a symbol says, and where."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """Something that could do a step."""

    file: str
    line: int
    name: str  # qualified below its module
    said: dict[str, list[Said]]  # by field
    registered: bool  # decorated, or called by the language: somebody other than a visible call leads to it


@dataclass(frozen=True, slots=True)
class Module:
    """A file that was read."""

    file: str
    lines: int
    symbols: tuple[Symbol, ...]
    used: frozenset[str]  # names that are called or handed on


def modules(root: Path) -> Iterator[Module]:
    """Yield the Python files below ``root``, or ``root`` itself, one at a time; none that does not parse."""
    base = root if root.is_dir() else root.parent
    for path in sorted(root.rglob("*.py")) if root.is_dir() else filter(Path.is_file, [root]):
        below = path.relative_to(base)
        if _is_code(below) and path.stat().st_size <= _LARGEST:
            try:
                yield read_module(path.read_bytes(), below.as_posix())
            except (OSError, SyntaxError, ValueError, RecursionError):
                continue  # Python 2, a template, a null byte: whatever it is, it cannot be bound to a step


def _is_code(path: Path) -> bool:
    hidden = any(part.startswith(".") or part in _PASSED_OVER for part in path.parts[:-1])
    return not hidden and not path.name.startswith("test_") and path.name not in ("conftest.py", "setup.py")


def read_module(source: bytes, file: str) -> Module:
    """Return what ``source`` has.

    Raises:
        SyntaxError: it is not Python.
        ValueError: it has null bytes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the parser thinks of other people's escapes
        tree = ast.parse(source)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    symbols = (*_symbols(tree, file, []), *_main(tree, file))
    return Module(file, source.count(b"\n") + 1, symbols, frozenset(used))


def _symbols(parent: ast.AST, file: str, within: list[str]) -> Iterator[Symbol]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, _Function):
            if not _is_hollow(node) and node.name != "__init__":
                yield _symbol(node, file, within, list(ast.walk(node)))
            yield from _symbols(node, file, [*within, node.name])
        elif isinstance(node, ast.ClassDef):
            own = [
                child for child in node.body if not isinstance(child, _Function) or child.name == "__init__"
            ]
            yield _symbol(node, file, within, [part for child in own for part in ast.walk(child)])
            yield from _symbols(node, file, [*within, node.name])
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _symbols(node, file, within)


def _symbol(node: _Function | ast.ClassDef, file: str, within: list[str], parts: list[ast.AST]) -> Symbol:
    line = node.lineno
    said = _said(parts, ast.get_docstring(node), line)
    said["name"] = [Said(node.name, line)]
    said["place"] = [Said(" ".join([*within, file.removesuffix(".py").removesuffix("__init__")]), line)]
    registered = bool(node.decorator_list) or node.name.startswith("__") or isinstance(node, ast.ClassDef)
    return Symbol(file, line, ".".join([*within, node.name]), said, registered and not _is_passive(node))


def _is_passive(node: _Function | ast.ClassDef) -> bool:
    """Whether decorators only say what kind of function it is, and classes nothing of who makes them."""
    plain = {"staticmethod", "classmethod", "property", "abstractmethod", "override", "dataclass", "cache"}
    names = {ast.unparse(mark).partition("(")[0].rpartition(".")[2] for mark in node.decorator_list}
    return not node.name.startswith("__") and names <= plain


def _main(tree: ast.Module, file: str) -> Iterator[Symbol]:
    """Yield what the module does when it is run, if it does more than define."""
    defines = (_Function, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
    body = [node for node in tree.body if not isinstance(node, defines)][
        1 if ast.get_docstring(tree) else 0 :
    ]
    if any(isinstance(part, ast.Call) for node in body for part in ast.walk(node)):
        said = _said([part for node in body for part in ast.walk(node)], ast.get_docstring(tree), 1)
        said["name"] = [Said(Path(file).stem, 1)]
        said["place"] = [Said(file.removesuffix(".py"), 1)]
        yield Symbol(file, body[0].lineno, "<module>", said, registered=True)


def _said(parts: list[ast.AST], docstring: str | None, line: int) -> dict[str, list[Said]]:
    said: dict[str, list[Said]] = {field: [] for field in FIELDS}
    if docstring:
        said["docstring"] = [Said(docstring, line + 1)]
    for part in parts:
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name | ast.Attribute):
            said["calls"].append(Said(ast.unparse(part.func)[-60:], part.lineno))
        elif isinstance(part, ast.Constant) and isinstance(part.value, str) and part.lineno > line + 1:
            said["text"].append(Said(part.value[:200], part.lineno))
        elif isinstance(part, ast.arg):
            said["text"].append(Said(part.arg, part.lineno))
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            said["text"].append(Said(part.id, part.lineno))
    return said


def _is_hollow(node: _Function) -> bool:
    """Whether it has nothing in it: a Protocol's method, an abstract one, one still to be written."""
    return all(map(_says_nothing, node.body))


def _says_nothing(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Expr(ast.Constant()):
            return True
        case ast.Raise():
            return "NotImplemented" in ast.unparse(statement)
    return False
