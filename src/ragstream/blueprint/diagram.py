"""A blueprint's diagram as frozen values: lanes, their nodes, and the edges between them.

Numbers, labels, categories and outcomes of the steps come from here and from nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from ragstream.errors import BlueprintError

__all__ = ["Diagram", "Edge", "Kind", "Node", "Track"]

_WORD = re.compile(r"[^\W_]+")


class Kind(Enum):
    """What a node is, by its shape."""

    PROCESS = "process"  # box: does something; one way out
    DECISION = "decision"  # rhombus: only decides; every way out carries an outcome
    ERROR = "error"  # double box: sets an unhappy ending, then goes on like a process
    START = "start"  # round, with nothing before it
    END = "end"  # round, with nothing after it


@dataclass(frozen=True, slots=True)
class Edge:
    """A way out of a node: control passes to ``target``, of a decision only for this outcome."""

    target: str
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step as it is drawn."""

    id: str
    number: int
    label: str
    kind: Kind
    category: str
    lane: str
    edges: tuple[Edge, ...]
    line: int  # of the diagram, for errors

    @property
    def step_id(self) -> str:
        """``RAG.<category>.<words of the label, lower case, joined by dots>``."""
        words = _WORD.findall(self.label.lower().replace("'", ""))
        return ".".join(["RAG", self.category, *words])

    @property
    def outcomes(self) -> frozenset[str]:
        """What a decision may return."""
        return frozenset(edge.outcome for edge in self.edges if edge.outcome is not None)

    def __str__(self) -> str:
        return f"S{self.number:03} {self.id}"


@dataclass(frozen=True)
class Track:
    """One lane as it is drawn."""

    name: str
    label: str
    nodes: tuple[Node, ...]

    @cached_property
    def start(self) -> Node:
        """Where control enters."""
        return next(node for node in self.nodes if node.kind is Kind.START)

    @cached_property
    def rescue(self) -> Node | None:
        """Where control comes when the lane is cancelled, times out, raises, or its process died."""
        return next(
            (node for node in self.nodes if node.kind is Kind.ERROR and not self.entries[node.id]), None
        )

    @cached_property
    def entries(self) -> dict[str, int]:
        """How many edges lead to each node."""
        targets = [edge.target for node in self.nodes for edge in node.edges]
        return {node.id: targets.count(node.id) for node in self.nodes}


@dataclass(frozen=True, slots=True)
class Diagram:
    """Everything that is drawn to be run: stores and dotted edges are for people."""

    tracks: tuple[Track, ...]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The steps of all lanes."""
        return tuple(node for track in self.tracks for node in track.nodes)

    def only(self, *lanes: str) -> Diagram:
        """Return the diagram of these lanes alone, for programs that run no others.

        Raises:
            BlueprintError: there is no such lane.
        """
        known = {track.name: track for track in self.tracks}
        for name in lanes:
            if name not in known:
                raise BlueprintError(f"no lane {name!r} is drawn; there are {', '.join(known)}")
        return Diagram(tuple(known[name] for name in lanes))
