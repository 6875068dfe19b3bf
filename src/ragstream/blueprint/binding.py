"""Binding: functions are marked with a node's id, then diagram and functions are held against each other."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal, TypeVar, get_args, get_origin

from ragstream.blueprint.diagram import Diagram, Kind, Node, Track
from ragstream.errors import BlueprintError
from ragstream.telemetry import Metrics

__all__ = ["Blueprint", "Lane", "Step", "bind", "disagreement", "marked", "step"]

Function = TypeVar("Function", bound=Callable[..., Any])

_MARK = "__ragstream_node__"


def step(node: str) -> Callable[[Function], Function]:
    """Mark a function as the one that does the step drawn as ``node``; nothing else happens to it."""

    def mark(function: Function) -> Function:
        vars(function)[_MARK] = node
        return function

    return mark


@dataclass(slots=True, eq=False)
class Step:
    """A node with its function; all that a walk needs of it, looked up beforehand."""

    node: Node
    function: Callable[..., Any]
    decides: bool  # def (state) -> outcome
    speaks: bool  # an async generator of events
    title: str  # of its log line
    next: Step | None = None  # what follows a step that does not decide
    ways: Mapping[str, Step] = field(default_factory=dict)  # what follows a decision, by its outcome
    observe: Callable[[float], None] | None = None  # takes each duration, in seconds
    failed: Callable[[str], None] | None = None  # takes each error's code


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane that can be walked."""

    name: str
    start: Step
    rescue: Step | None


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A diagram whose every step has its function."""

    diagram: Diagram
    lanes: Mapping[str, Lane]

    def lane(self, name: str) -> Lane:
        """Return the lane of this name.

        Raises:
            BlueprintError: none is drawn.
        """
        if name not in self.lanes:
            raise BlueprintError(f"no lane {name!r} is drawn; there are {', '.join(self.lanes)}")
        return self.lanes[name]


def bind(diagram: Diagram, modules: Iterable[ModuleType], *, metrics: Metrics | None = None) -> Blueprint:
    """Give each node of ``diagram`` the function in ``modules`` that is marked with its id.

    Durations and failures of the steps are counted in ``metrics``, if given.

    Raises:
        BlueprintError: they disagree; one line that names the node and the function.
    """
    functions = marked(modules)
    nodes = {node.id: node for node in diagram.nodes}
    for name, function in functions.items():
        if name not in nodes:
            raise BlueprintError(f"{_place(function)} is marked {name!r}, but no such node is drawn")
    steps: dict[str, Step] = {}
    for node in diagram.nodes:
        if node.id not in functions:
            raise BlueprintError(f"{node} has no function; mark one with @step({node.id!r})")
        steps[node.id] = _step(node, functions[node.id])
        if metrics is not None:
            steps[node.id].observe, steps[node.id].failed = metrics.step(node.step_id)
    for each in steps.values():
        ways = {edge.outcome: steps[edge.target] for edge in each.node.edges}
        each.next = ways.pop(None, None)
        each.ways = {outcome: target for outcome, target in ways.items() if outcome is not None}
    return Blueprint(diagram, {track.name: _lane(track, steps) for track in diagram.tracks})


def marked(modules: Iterable[ModuleType]) -> dict[str, Callable[..., Any]]:
    """Return the functions in ``modules`` that are marked, by the id of their node.

    Raises:
        BlueprintError: two are marked with the same id.
    """
    functions: dict[str, Callable[..., Any]] = {}
    for module in modules:
        for function in vars(module).values():
            if not inspect.isfunction(function) or _MARK not in vars(function):
                continue
            name = vars(function)[_MARK]
            if functions.setdefault(name, function) is not function:
                raise BlueprintError(
                    f"{_place(functions[name])} and {_place(function)} are both marked {name!r}"
                )
    return functions


def disagreement(node: Node, function: Callable[..., Any]) -> BlueprintError | None:
    """Return what keeps ``function`` from doing the step that is drawn as ``node``, if anything does."""
    try:
        (_check_decision if node.kind is Kind.DECISION else _check_process)(node, function)
    except BlueprintError as error:
        return error
    return None


def _lane(track: Track, steps: Mapping[str, Step]) -> Lane:
    return Lane(track.name, steps[track.start.id], steps[track.rescue.id] if track.rescue else None)


def _step(node: Node, function: Callable[..., Any]) -> Step:
    if (error := disagreement(node, function)) is not None:
        raise error
    return Step(
        node=node,
        function=function,
        decides=node.kind is Kind.DECISION,
        speaks=inspect.isasyncgenfunction(function),
        title=f"RAG STEP {node.number} ({node.step_id}): {node.label}",
    )


def _check_decision(node: Node, function: Callable[..., Any]) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise _wrong(node, function, "a decision only decides: write a plain def, without await")
    _check_parameters(node, function, 1, "a decision takes the state alone")
    returned = _returned(function)
    if get_origin(returned) is not Literal:
        raise _wrong(node, function, 'say what a decision may return: -> Literal["yes", "no"]')
    outcomes = set(get_args(returned))
    if unknown := outcomes - node.outcomes:
        raise _wrong(node, function, f"it may return {_quoted(unknown)}, but no edge carries that")
    if unsaid := node.outcomes - outcomes:
        raise _wrong(node, function, f"an edge carries {_quoted(unsaid)}, but it never returns that")


def _check_process(node: Node, function: Callable[..., Any]) -> None:
    _check_parameters(node, function, 2, "a step takes the state and the kit")
    returned = _returned(function)
    if inspect.isasyncgenfunction(function):
        if get_origin(returned) not in (AsyncGenerator, AsyncIterator):
            raise _wrong(
                node, function, "a step that speaks is annotated -> AsyncGenerator[StreamEvent, None]"
            )
    elif not inspect.iscoroutinefunction(function):
        raise _wrong(node, function, "only a decision is a plain def: write async def")
    elif returned is not None:
        raise _wrong(
            node, function, "only a decision returns something: annotate -> None and write on the state"
        )


def _check_parameters(node: Node, function: Callable[..., Any], count: int, rule: str) -> None:
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        raise _wrong(node, function, rule) from None


def _returned(function: Callable[..., Any]) -> Any:
    try:
        return inspect.get_annotations(function, eval_str=True).get("return", Any)
    except NameError as error:
        raise BlueprintError(f"{_place(function)}: its annotations cannot be read: {error}") from None


def _wrong(node: Node, function: Callable[..., Any], what: str) -> BlueprintError:
    return BlueprintError(f"{node}: {_place(function)}: {what}")


def _quoted(outcomes: Iterable[str]) -> str:
    return ", ".join(sorted(map(repr, outcomes)))


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
