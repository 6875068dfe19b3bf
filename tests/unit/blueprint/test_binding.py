"""Diagram and functions are held against each other before anything runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from types import ModuleType
from typing import Any, Literal

import pytest

from ragstream.blueprint import State, bind, read_diagram, step
from ragstream.errors import BlueprintError
from ragstream.events import StreamEvent

DIAGRAM = """\
flowchart TD
  subgraph lane["a lane"]
    Begin(["S001 · Begin"]) --> Check{"S002 · Go on?"}
    Check -->|yes| Work["S003 · Work"]
    Check -->|no| Finish(["S004 · Finish"])
    Work --> Finish
  end
  class Begin,Check,Work,Finish test
"""


@step("Begin")
async def begin(state: State, kit: object) -> None: ...


@step("Check")
def check(state: State) -> Literal["yes", "no"]:
    return "yes"


@step("Work")
async def work(state: State, kit: object) -> AsyncGenerator[StreamEvent, None]:
    return
    yield


@step("Finish")
async def finish(state: State, kit: object) -> None: ...


def _module(*functions: Callable[..., Any]) -> ModuleType:
    module = ModuleType("steps")
    for number, function in enumerate(functions):
        setattr(module, f"step{number}", function)
    return module


def _message(*functions: Callable[..., Any]) -> str:
    with pytest.raises(BlueprintError) as caught:
        bind(read_diagram(DIAGRAM), [_module(*functions)])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_mark_changes_nothing_of_a_function() -> None:
    def plain(state: State) -> None: ...

    assert step("Anything")(plain) is plain


def test_every_node_gets_its_function_and_the_way_on() -> None:
    lane = bind(read_diagram(DIAGRAM), [_module(begin, check), _module(work, finish)]).lane("lane")
    assert lane.start.function is begin
    assert lane.start.next is not None
    assert lane.start.next.function is check
    ways = lane.start.next.ways
    assert {outcome: way.function for outcome, way in ways.items()} == {"yes": work, "no": finish}
    assert ways["yes"].next is ways["no"]
    assert lane.rescue is None


def test_a_function_seen_in_two_modules_is_one() -> None:
    module = _module(begin, check, work, finish)
    assert bind(read_diagram(DIAGRAM), [module, module]).lane("lane").start.function is begin


def test_an_unknown_lane_is_named() -> None:
    blueprint = bind(read_diagram(DIAGRAM), [_module(begin, check, work, finish)])
    with pytest.raises(BlueprintError, match="no lane 'attic' is drawn; there are lane"):
        blueprint.lane("attic")


def test_a_node_without_a_function() -> None:
    assert _message(begin, check, finish) == "S003 Work has no function; mark one with @step('Work')"


def test_a_function_without_a_node() -> None:
    @step("Wrok")
    async def typo(state: State, kit: object) -> None: ...

    assert "typo is marked 'Wrok', but no such node is drawn" in _message(begin, check, work, finish, typo)


def test_two_functions_for_one_node() -> None:
    @step("Work")
    async def other(state: State, kit: object) -> None: ...

    assert "are both marked 'Work'" in _message(begin, check, work, finish, other)


def test_an_outcome_without_an_edge() -> None:
    @step("Check")
    def maybe(state: State) -> Literal["yes", "no", "maybe"]:
        return "maybe"

    assert _message(begin, maybe, work, finish).endswith("it may return 'maybe', but no edge carries that")


def test_an_edge_without_an_outcome() -> None:
    @step("Check")
    def always(state: State) -> Literal["yes"]:
        return "yes"

    assert _message(begin, always, work, finish).endswith("an edge carries 'no', but it never returns that")


@step("Check")
async def asynchronous(state: State) -> Literal["yes", "no"]:
    return "yes"


@step("Check")
def undeclared(state: State) -> str:
    return "yes"


@step("Check")
def unannotated(state):  # type: ignore[no-untyped-def]
    return "yes"


@step("Check")
def with_kit(state: State, kit: object) -> Literal["yes", "no"]:
    return "yes"


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (asynchronous, "a decision only decides: write a plain def, without await"),
        (undeclared, "say what a decision may return"),
        (unannotated, "say what a decision may return"),
        (with_kit, "a decision takes the state alone"),
    ],
)
def test_a_decision_of_the_wrong_kind(decision: Callable[..., Any], words: str) -> None:
    message = _message(begin, decision, work, finish)
    assert message.startswith("S002 Check: ")
    assert decision.__name__ in message
    assert words in message


@step("Work")
def synchronous(state: State, kit: object) -> None: ...


@step("Work")
async def returning(state: State, kit: object) -> str:
    return "done"


@step("Work")
async def unsure(state: State, kit: object):  # type: ignore[no-untyped-def]
    return "done"


@step("Work")
async def speaking(state: State, kit: object) -> StreamEvent:  # type: ignore[misc]
    yield StreamEvent(type="step")  # type: ignore[arg-type]


@step("Work")
async def without_kit(state: State) -> None: ...


@pytest.mark.parametrize(
    ("process", "words"),
    [
        (synchronous, "only a decision is a plain def: write async def"),
        (returning, "only a decision returns something"),
        (unsure, "only a decision returns something"),
        (speaking, "AsyncGenerator[StreamEvent, None]"),
        (without_kit, "a step takes the state and the kit"),
    ],
)
def test_a_process_of_the_wrong_kind(process: Callable[..., Any], words: str) -> None:
    message = _message(begin, check, process, finish)
    assert message.startswith("S003 Work: ")
    assert process.__name__ in message
    assert words in message


def test_annotations_that_cannot_be_read() -> None:
    @step("Work")
    async def mystery(state: Unknown, kit: object) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert "mystery: its annotations cannot be read" in _message(begin, check, mystery, finish)
