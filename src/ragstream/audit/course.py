"""Conformance: whether what steps reported is a walk that the diagram draws.

A lane's walk is a thread of lines: each names its step and the one to follow. Several walks may be under way
at once, in one lane and even for one request id, so what is kept is which step each of them announced. A line
must be the step that some walk announced; or its lane's start, which begins a walk; or its rescue node, which
takes over from one. A step that was never announced was reached by no edge.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ragstream.blueprint import Kind, Lane, Node, Step

__all__ = ["Conformance", "Course", "steps_of"]


class Course:
    """The ways that are drawn, by the numbers of their steps."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = {node.number: node for node in nodes}
        number = {node.id: node.number for node in self.nodes.values()}
        self.ways = {
            node.number: {edge.outcome: number[edge.target] for edge in node.edges}
            for node in self.nodes.values()
        }
        entered = {target for ways in self.ways.values() for target in ways.values()}
        self.rescues = {
            node.number
            for node in self.nodes.values()
            if node.kind is Kind.ERROR and node.number not in entered
        }
        self.entries = self.rescues | {node.number for node in self.nodes.values() if node.kind is Kind.START}


def steps_of(lane: Lane) -> dict[int, Step]:
    """Return the steps of a lane that is bound, by their numbers."""
    steps: dict[int, Step] = {}
    waiting = [step for step in (lane.start, lane.rescue) if step is not None]
    while waiting:
        step = waiting.pop()
        if step.node.number not in steps:
            steps[step.node.number] = step
            waiting += [*step.ways.values(), *([step.next] if step.next else [])]
    return steps


class Conformance:
    """Hears the lines of steps, in the order in which they were written, and says what is not drawn."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._announced: defaultdict[tuple[str, str], Counter[int]] = defaultdict(Counter)

    def hear(self, line: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with ``line``, the attributes of one step that completed or failed."""
        node = self._course.nodes.get(line["step"])
        request = str(line.get("request_id"))
        if node is None:
            yield f"request {request}: S{line['step']:03} is not drawn"
            return
        yield from self._arrive(node, request)
        yield from self._leave(node, request, line)

    def _arrive(self, node: Node, request: str) -> Iterator[str]:
        announced = self._announced[node.lane, request]
        if announced[node.number]:
            announced[node.number] -= 1
        elif node.number not in self._course.entries:
            before = [self._name(number) for number in sorted(+announced)]
            if len(before) == 1:
                yield f"request {request}: {before[0]} announced, but {node} came: no edge leads there"
                announced.clear()
            else:
                yield f"request {request}: {node} begins a walk, but is no start and no rescue node"

    def _leave(self, node: Node, request: str, line: Mapping[str, Any]) -> Iterator[str]:
        following, outcome = line.get("next_step"), line.get("outcome")
        announced = self._announced[node.lane, request]
        if following is None:
            if line.get("processing_stage") == "completed" and node.edges:
                yield f"request {request}: {node} -> nothing: the walk ended at a step that is no end"
        elif self._course.ways[node.number].get(outcome) == following:
            announced[following] += 1
        else:
            carried = f" with outcome {outcome!r}" if outcome is not None else ""
            yield (
                f"request {request}: {node} -> {self._name(following)}{carried}: "
                f"no such edge; drawn: {self._drawn(node)}"
            )
            announced[following] += 1  # its own mistake is told once, not again at the next line
        if not +announced:
            del self._announced[node.lane, request]

    def _drawn(self, node: Node) -> str:
        ways = self._course.ways[node.number].items()
        told = [f"{self._name(to)} ({outcome})" if outcome else self._name(to) for outcome, to in ways]
        return ", ".join(told) or "none, it is an end"

    def _name(self, number: int) -> str:
        node = self._course.nodes.get(number)
        return str(node) if node else f"S{number:03}"
