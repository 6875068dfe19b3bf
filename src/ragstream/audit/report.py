"""What an audit has to say of a step, whichever way it was found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ragstream.blueprint import Node

__all__ = ["Account", "Candidate", "Status", "Task"]


class Status(Enum):
    """How far a step that is drawn is built."""

    IMPLEMENTED = "✅"
    PARTIAL = "🟡"
    NOT_WIRED = "🔌"  # there, but nothing leads to it
    MISSING = "❌"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A place in the code that does the step, or may do it."""

    file: str  # below the root of the code
    line: int
    symbol: str
    score: float  # 0 to 1
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """A box of the task list."""

    title: str
    done: bool
    words: str
    tests: tuple[str, ...] = ()  # ids of tests that show it


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A step of the diagram as it was found."""

    node: Node
    status: Status
    confidence: float  # 0 to 1
    intent: str
    candidates: tuple[Candidate, ...]  # the best first
    behaviour: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    risks: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    actions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tests: dict[str, list[str]] = field(default_factory=dict)  # by kind; see evidence.py
    taken: frozenset[str] = frozenset()  # the outcomes that tests took
    milliseconds: float | None = None  # it took in the last benchmark
