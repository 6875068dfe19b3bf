"""The exact audit: the diagram, the functions that are marked for it, and what the tests have shown.

A step is implemented when a function is bound to its node and fits it, when its lane leads to it, and when
tests that passed went through it and left it by every way that is drawn. Anything less is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ragstream.audit.evidence import Evidence
from ragstream.audit.functions import behaviour, intent, marked_in, place, settings_read
from ragstream.audit.report import Account, Candidate, Status, Task
from ragstream.audit.shape import reached, risks
from ragstream.blueprint import Diagram, Edge, Kind, Node, disagreement

__all__ = ["Inspector", "way"]


class Inspector:
    """Audits the steps of one diagram, bound to functions of one tree."""

    def __init__(
        self,
        diagram: Diagram,
        functions: Mapping[str, Callable[..., Any]],
        evidence: Mapping[str, Evidence],
        root: Path,
    ) -> None:
        self._diagram, self._functions = diagram, functions
        self._evidence, self._root = evidence, root
        self._reached = reached(diagram)

    def account(self, node: Node) -> Account:
        """Return what is true of ``node``."""
        function, evidence = self._functions.get(node.id), self._evidence.get(node.id, Evidence())
        if function is None:
            return self._unbound(node)
        fault = disagreement(node, function)
        differences = [str(fault)] if fault else []
        wired = node.id in self._reached
        if not wired:
            differences.append("No edge leads to it from the start of its lane or from its rescue node.")
        untried = list(_untried(node, evidence))
        status = Status.IMPLEMENTED if not differences and not untried else Status.PARTIAL
        return Account(
            node=node,
            status=status if wired else Status.NOT_WIRED,
            confidence=1.0,
            intent=intent(function),
            candidates=(self._candidate(node, function, evidence, fitting=not fault),),
            behaviour=tuple(behaviour(function)),
            differences=tuple(differences + untried),
            risks=tuple(risks(node, self._diagram)),
            tasks=tuple(_tasks(node, function, evidence, fitting=not fault, wired=wired)),
            actions=tuple(_actions(node, evidence)),
            tests=evidence.tests,
            taken=evidence.taken,
            milliseconds=evidence.milliseconds,
        )

    def _candidate(
        self, node: Node, function: Callable[..., Any], evidence: Evidence, *, fitting: bool
    ) -> Candidate:
        file, line = place(function, self._root)
        said = [f'marked `@step("{node.id}")` and bound at start']
        if fitting and node.kind is Kind.DECISION:
            said.append(f"its outcomes are those drawn: {', '.join(sorted(node.outcomes))}")
        if evidence.taken or evidence.tests:
            said.append("tests that passed went through it, and its log line was written")
        symbol = f"{function.__module__}.{function.__qualname__}"
        return Candidate(file=file, line=line, symbol=symbol, score=1.0, evidence=tuple(said))

    def _unbound(self, node: Node) -> Account:
        source = self._root / "src"
        candidates = tuple(
            Candidate(
                file=str(path.relative_to(self._root)),
                line=line,
                symbol=name,
                score=1.0,
                evidence=(f'marked `@step("{node.id}")`, but its module is not handed to `bind`',),
            )
            for marked, path, line, name in marked_in(source)
            if marked == node.id
        )
        return Account(
            node=node,
            status=Status.NOT_WIRED if candidates else Status.MISSING,
            confidence=1.0,
            intent="",
            candidates=candidates,
            differences=("No function is bound to it.",),
            risks=tuple(risks(node, self._diagram)),
            tasks=(Task("Implementation changes", False, f'bind a function marked `@step("{node.id}")`'),),
            actions=(f'Write a test of `{node.id}`, then the function that is marked `@step("{node.id}")`.',),
        )


def way(node: Node, edge: Edge) -> str:
    """Return an edge as it is drawn."""
    return (
        f"`{node.id} -->|{edge.outcome}| {edge.target}`" if edge.outcome else f"`{node.id} --> {edge.target}`"
    )


def _untried(node: Node, evidence: Evidence) -> Iterator[str]:
    if not evidence.tests:
        yield "No test that passed went through it."
        return
    for edge in node.edges:
        if (edge.outcome or "") not in evidence.taken:
            yield f"No test took the way {way(node, edge)}."


def _tasks(
    node: Node, function: Callable[..., Any], evidence: Evidence, *, fitting: bool, wired: bool
) -> Iterator[Task]:
    tests = {kind: tuple(evidence.tests.get(kind, ())) for kind in ("unit", "parity", "integration")}
    for kind, found in tests.items():
        yield Task(f"{kind.capitalize()} tests", bool(found), "" if found else "none went through it", found)
    yield Task(
        "Implementation changes",
        fitting,
        "none needed: it fits its node" if fitting else "make it fit its node",
    )
    line = f"`RAG STEP {node.number} ({node.step_id}): {node.label} | attrs={{...}}`"
    heard = bool(evidence.tests)
    yield Task("Observability", heard, f"{line}, {'seen in test runs' if heard else 'not seen yet'}")
    names = settings_read(function)
    read = f"settings {', '.join(f'`{name}`' for name in names)}" if names else "it reads no setting itself"
    yield Task("Feature flag / config", bool(names), read)
    yield Task("Rollout plan", wired, "its lane leads to it" if wired else "draw an edge that leads to it")


def _actions(node: Node, evidence: Evidence) -> Iterator[str]:
    for edge in node.edges if evidence.tests else ():
        if (edge.outcome or "") not in evidence.taken:
            yield f"Test the way {way(node, edge)}."
    if "unit" not in evidence.tests:
        yield "Add a unit test that walks through it."
    if "integration" not in evidence.tests:
        yield "Add an integration test that walks through it."
