"""Labelled cases: small pipelines, and which of their functions does which step of their diagram, if any.

They ship so that the calibration of the audit of foreign code can be repeated: see ``calibration``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from ragstream.audit.sketch import read_any
from ragstream.audit.source import Module, read_module
from ragstream.blueprint import Diagram

__all__ = ["Case", "load_cases"]


@dataclass(frozen=True, slots=True)
class Case:
    """A diagram, code, and what is true of them."""

    name: str
    diagram: Diagram
    code: tuple[Module, ...]
    labels: dict[str, tuple[str, str] | None]  # by node: file and symbol, or None where nothing does it


def load_cases() -> Iterator[Case]:
    """Yield the cases that ship."""
    folder = resources.files("ragstream.audit.cases")
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.endswith(".txt"):
            yield _case(path.name.removesuffix(".txt"), path.read_text("utf-8"))


def _case(name: str, text: str) -> Case:
    _, *parts = re.split(r"^=== (.+)\n", text, flags=re.MULTILINE)
    files = dict(zip(parts[::2], parts[1::2], strict=True))
    diagram, labels = files.pop("diagram"), files.pop("labels")
    return Case(
        name,
        read_any(diagram),
        tuple(read_module(source.encode(), file) for file, source in files.items()),
        dict(_label(line) for line in labels.splitlines()),
    )


def _label(line: str) -> tuple[str, tuple[str, str] | None]:
    node, file, *symbol = line.split()
    return node, ((file, symbol[0]) if symbol else None)
