"""The engine's rules, each on a lane of a few steps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from ragstream.blueprint import Lane, State, engine, run, step, walk
from ragstream.errors import BlueprintError, ErrorCode, ProviderError, StorageUnavailable
from ragstream.events import (
    Cancelled,
    EventError,
    EventType,
    StepInfo,
    StreamEvent,
    TextDelta,
)
from ragstream.telemetry import recorded_log

LINE = """\
    Begin(["S001 · Begin"]) --> Work["S002 · Work"]
    Work --> Finish(["S003 · Finish"])"""

LOOP = """\
    Begin(["S001 · Begin"]) --> Work["S002 · Work"]
    Work --> Check{"S003 · Done?"}
    Check -->|no| Work
    Check -->|yes| Finish(["S004 · Finish"])"""

TURN = """\
    Begin(["S001 · Begin"]) --> Work["S002 · Work"]
    Work --> End["S003 · End"]
    Rescue[["S004 · Rescue"]] --> Persist["S005 · Persist"]
    End --> Persist
    Persist --> Count["S006 · Count"]
    Count --> Finish(["S007 · Finish"])"""

COMPLETE = StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="stop")
CANCELLED = StreamEvent(type=EventType.CANCELLED, cancelled=Cancelled(by="somebody"))
FAILED = StreamEvent(
    type=EventType.ERROR, error=EventError(code="storage_unavailable", message="Not stored.")
)

Build = Callable[..., Lane]


@dataclass(slots=True, kw_only=True)
class Walk(State):
    """A state that remembers what the steps did."""

    done: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


def _text(content: str) -> StreamEvent:
    return StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content=content))


def _process(node: str, action: Callable[[Walk], Awaitable[None]] | None = None) -> Callable[..., Any]:
    @step(node)
    async def process(state: Walk, kit: object) -> None:
        state.done.append(node)
        if action is not None:
            await action(state)

    return process


def _speaker(node: str, *contents: str, ends: StreamEvent | None = None) -> Callable[..., Any]:
    """Say each of ``contents``, letting go of the loop before each and while being closed."""

    @step(node)
    async def speaker(state: Walk, kit: object) -> AsyncGenerator[StreamEvent, None]:
        state.done.append(node)
        try:
            for content in contents:
                await asyncio.sleep(0)
                yield _text(content)
            if ends is not None:
                state.ending = ends
        finally:
            state.closed.append(node)
            await asyncio.sleep(0)

    return speaker


async def _end(state: Walk) -> None:
    state.ending = COMPLETE


async def _hang(state: Walk) -> None:
    await asyncio.get_running_loop().create_future()


async def _break(state: Walk) -> None:
    raise ValueError("broken")


async def _pull(said: list[StreamEvent], lane: Lane, state: State, **options: Any) -> None:
    async with asyncio.timeout(10), aclosing(walk(lane, state, None, **options)) as events:
        async for event in events:
            said.append(event)  # noqa: PERF401 - what came before an error counts


async def _pulled(lane: Lane, state: State, **options: Any) -> list[StreamEvent]:
    said: list[StreamEvent] = []
    await _pull(said, lane, state, **options)
    return said


@pytest.fixture
def state() -> Walk:
    return Walk(request_id="r1")


@pytest.fixture
def turn(build: Build) -> Callable[..., Lane]:
    """Build the lane of a turn; steps that are not given do nothing, but End completes and Rescue cancels."""

    def build_turn(**actions: Callable[..., Any]) -> Lane:
        async def cancel(state: Walk) -> None:
            state.ending = state.ending or CANCELLED

        usual = {node: _process(node) for node in ("Begin", "Work", "Persist", "Count", "Finish")}
        usual |= {"End": _process("End", _end), "Rescue": _process("Rescue", cancel)}
        return build(TURN, *(usual | actions).values())

    return build_turn


@pytest.fixture
def short_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CLOSING_SECONDS", 0.05)


# ---- walking


async def test_steps_run_in_the_diagrams_order_and_their_events_are_passed_on(
    build: Build, state: Walk
) -> None:
    lane = build(LINE, _process("Begin"), _speaker("Work", "a", "b"), _speaker("Finish", "c"))
    assert await _pulled(lane, state) == [_text("a"), _text("b"), _text("c")]
    assert state.done == ["Begin", "Work", "Finish"]
    assert state.closed == ["Work", "Finish"]


async def test_steps_are_handed_the_state_and_the_kit(build: Build, state: Walk) -> None:
    handed: list[object] = []

    @step("Work")
    async def work(state: Walk, kit: object) -> None:
        handed.extend([state, kit])

    kit = object()
    await run(build(LINE, _process("Begin"), work, _process("Finish")), state, kit)
    assert handed[0] is state
    assert handed[1] is kit


async def test_a_decision_chooses_the_edge(build: Build, state: Walk) -> None:
    @step("Check")
    def check(state: Walk) -> Literal["yes", "no"]:
        return "yes" if state.done.count("Work") == 3 else "no"

    await run(build(LOOP, _process("Begin"), _process("Work"), check, _process("Finish")), state, None)
    assert state.done == ["Begin", "Work", "Work", "Work", "Finish"]


async def test_an_outcome_that_no_edge_carries_is_an_error(build: Build, state: Walk) -> None:
    @step("Check")
    def check(state: Walk) -> Literal["yes", "no"]:
        return "perhaps"  # type: ignore[return-value]

    lane = build(LOOP, _process("Begin"), _process("Work"), check, _process("Finish"))
    with pytest.raises(BlueprintError, match="S003 Check: it returned 'perhaps'"):
        await run(lane, state, None)


async def test_nothing_runs_before_the_first_pull(build: Build, state: Walk) -> None:
    events = walk(build(LINE, _process("Begin"), _process("Work"), _process("Finish")), state, None)
    await events.aclose()
    assert state.done == []


async def test_a_lane_without_an_ending_says_none(build: Build, state: Walk) -> None:
    assert await _pulled(build(LINE, *map(_process, ("Begin", "Work", "Finish"))), state) == []


# ---- the ending


async def test_the_ending_is_said_once_and_last(turn: Build, state: Walk) -> None:
    assert await _pulled(turn(Work=_speaker("Work", "a")), state) == [_text("a"), COMPLETE]
    assert state.done == ["Begin", "Work", "End", "Persist", "Count", "Finish"]


async def test_the_step_that_stores_the_ending_may_replace_it(turn: Build, state: Walk) -> None:
    async def persist(state: Walk) -> None:
        state.ending = FAILED

    assert await _pulled(turn(Persist=_process("Persist", persist)), state) == [FAILED]


async def test_a_walk_from_the_rescue_node_runs_the_closing_steps(turn: Build, state: Walk) -> None:
    lane = turn()
    assert await _pulled(lane, state, start=lane.rescue) == [CANCELLED]
    assert state.done == ["Rescue", "Persist", "Count", "Finish"]


async def test_an_ending_set_before_the_rescue_stays(turn: Build) -> None:
    lane, state = turn(), Walk(request_id="r1", ending=COMPLETE)
    assert await _pulled(lane, state, start=lane.rescue) == [COMPLETE]


async def test_an_error_before_the_ending_leaves_the_walk(turn: Build, state: Walk) -> None:
    said: list[StreamEvent] = []

    @step("Work")
    async def work(state: Walk, kit: object) -> AsyncGenerator[StreamEvent, None]:
        yield _text("a")
        raise StorageUnavailable("The database is locked.")

    with pytest.raises(StorageUnavailable):
        await _pull(said, turn(Work=work), state)
    assert said == [_text("a")]
    assert state.done == ["Begin"]


@pytest.mark.parametrize("broken", ["Persist", "Count", "Finish"])
async def test_an_error_in_a_closing_step_is_logged_and_the_walk_goes_on(
    turn: Build, state: Walk, broken: str
) -> None:
    with recorded_log("ragstream.steps") as log:
        assert await _pulled(turn(**{broken: _process(broken, _break)}), state) == [COMPLETE]
    assert state.done == ["Begin", "Work", "End", "Persist", "Count", "Finish"]
    (line,) = [line for line in log if line.level == "error"]
    assert (line.attributes["processing_stage"], line.attributes["code"]) == ("failed", "internal")
    assert isinstance(line.exception, ValueError)


@pytest.mark.usefixtures("short_closing")
@pytest.mark.parametrize("stuck", ["Persist", "Count", "Finish"])
async def test_a_closing_step_that_hangs_is_ended_and_the_walk_goes_on(
    turn: Build, state: Walk, stuck: str
) -> None:
    with recorded_log("ragstream.steps") as log:
        assert await _pulled(turn(**{stuck: _process(stuck, _hang)}), state) == [COMPLETE]
    assert state.done == ["Begin", "Work", "End", "Persist", "Count", "Finish"]
    assert [line.attributes["code"] for line in log if line.level == "error"] == ["timeout"]


@pytest.mark.usefixtures("short_closing")
async def test_the_time_is_for_all_closing_steps_together(turn: Build, state: Walk) -> None:
    async def wait_a_little(state: Walk) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        state.done.append("waited")

    lane = turn(Persist=_process("Persist", _hang), Count=_process("Count", wait_a_little))
    assert await _pulled(lane, state) == [COMPLETE]
    assert state.done == ["Begin", "Work", "End", "Persist", "Count", "Finish"]  # no time was left to wait


@pytest.mark.usefixtures("short_closing")
async def test_steps_before_the_ending_have_no_limit(turn: Build, state: Walk) -> None:
    async def slow(state: Walk) -> None:
        await asyncio.sleep(0.1)

    assert await _pulled(turn(Work=_process("Work", slow)), state) == [COMPLETE]


async def test_a_closing_step_may_still_speak(turn: Build) -> None:
    lane = turn(Rescue=_speaker("Rescue", "a"))
    state = Walk(request_id="r1", ending=COMPLETE)
    assert await _pulled(lane, state, start=lane.rescue) == [_text("a"), COMPLETE]


@pytest.mark.usefixtures("short_closing")
async def test_a_closing_step_that_hangs_while_speaking_is_closed(turn: Build) -> None:
    @step("Rescue")
    async def rescue(state: Walk, kit: object) -> AsyncGenerator[StreamEvent, None]:
        try:
            yield _text("a")
            await _hang(state)
        finally:
            state.closed.append("Rescue")

    lane, state = turn(Rescue=rescue), Walk(request_id="r1", ending=COMPLETE)
    assert await _pulled(lane, state, start=lane.rescue) == [_text("a"), COMPLETE]
    assert state.closed == ["Rescue"]


@pytest.mark.usefixtures("short_closing")
async def test_the_time_limit_never_strikes_whoever_pulls(turn: Build) -> None:
    lane = turn(Rescue=_speaker("Rescue", "a", "b"))
    state = Walk(request_id="r1", ending=COMPLETE)
    said = []
    async with asyncio.timeout(10), aclosing(walk(lane, state, None, start=lane.rescue)) as events:
        async for event in events:
            said.append(event)
            await asyncio.sleep(0.1)  # longer than all the closing time
    assert (said[0], said[-1]) == (_text("a"), COMPLETE)


async def test_no_more_close_at_once_than_there_are_places(turn: Build) -> None:
    closing = most = 0

    async def persist(state: Walk) -> None:
        nonlocal closing, most
        closing += 1
        most = max(most, closing)
        await asyncio.sleep(0)
        closing -= 1

    places = asyncio.Semaphore(3)
    lane = turn(Persist=_process("Persist", persist))
    await asyncio.gather(*(_pulled(lane, Walk(request_id="r", places=places)) for _ in range(20)))
    assert most == 3


async def test_a_walk_that_is_cancelled_gives_its_place_back(turn: Build) -> None:
    places = asyncio.Semaphore(1)
    lane = turn(Persist=_process("Persist", _hang))
    tasks = [asyncio.create_task(_pulled(lane, Walk(request_id="r", places=places))) for _ in range(3)]
    while not places.locked():  # noqa: ASYNC110 - it is locked within a few passes of the loop
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=10)
    assert all(task.cancelled() for task in tasks)
    assert not places.locked()


async def test_a_decision_that_breaks_while_closing_leaves_the_walk(build: Build, state: Walk) -> None:
    @step("Check")
    def check(state: Walk) -> Literal["yes", "no"]:
        raise ValueError("broken")

    lane = build(LOOP, _process("Begin"), _process("Work", _end), check, _process("Finish"))
    with pytest.raises(ValueError, match="broken"):
        await _pulled(lane, state)


# ---- cancellation


async def _passes(task: asyncio.Task[Any], passes: int) -> None:
    """Let the loop go round, then cancel the task, which may have ended."""
    for _ in range(passes):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=10)


async def _yielding(state: Walk) -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.mark.parametrize("passes", range(24))
async def test_cancellation_leaves_the_walk_wherever_it_comes_and_closes_the_generator(
    turn: Build, state: Walk, passes: int
) -> None:
    slow = {name: _process(name, _yielding) for name in ("Begin", "Persist", "Count", "Finish")}
    lane = turn(**slow, Work=_speaker("Work", "a", "b"), End=_speaker("End", "c", ends=COMPLETE))
    said: list[StreamEvent] = []

    async def pull() -> None:
        async with aclosing(walk(lane, state, None)) as events:
            async for event in events:
                said.append(event)
                await asyncio.sleep(0)

    task = asyncio.create_task(pull())
    await _passes(task, passes)
    assert task.done()
    assert state.closed == [name for name in state.done if name in ("Work", "End")]
    if task.cancelled():
        assert COMPLETE not in said or said[-1] is COMPLETE
        assert said == [_text("a"), _text("b"), _text("c"), COMPLETE][: len(said)]
    else:
        assert said[-1] is COMPLETE


async def test_every_step_of_that_walk_was_cancelled_somewhere(turn: Build) -> None:
    """The range of passes above reaches from before the first step to beyond the last."""
    slow = {name: _process(name, _yielding) for name in ("Begin", "Persist", "Count", "Finish")}
    lane = turn(**slow, Work=_speaker("Work", "a", "b"), End=_speaker("End", "c", ends=COMPLETE))
    last, ended = set(), False
    for passes in range(24):
        state = Walk(request_id="r1")
        task = asyncio.create_task(run(lane, state, None))
        await _passes(task, passes)
        last.add(state.done[-1] if state.done else None)
        ended = not task.cancelled()
    assert last == {None, "Begin", "Work", "End", "Persist", "Count", "Finish"}
    assert ended


@pytest.mark.parametrize("pulls", range(4))
async def test_closing_the_walk_closes_the_step_that_speaks(turn: Build, state: Walk, pulls: int) -> None:
    events = walk(turn(Work=_speaker("Work", "a", "b", "c")), state, None)
    for _ in range(pulls):
        await anext(events)
    await events.aclose()
    assert state.closed == [name for name in state.done if name == "Work"]
    assert "End" not in state.done


async def test_closing_the_walk_closes_a_closing_step_that_speaks(turn: Build) -> None:
    lane = turn(Rescue=_speaker("Rescue", "a", "b"))
    state = Walk(request_id="r1", ending=COMPLETE)
    events = walk(lane, state, None, start=lane.rescue)
    assert await anext(events) == _text("a")
    await events.aclose()
    assert state.closed == ["Rescue"]


# ---- STEP events


def _steps(events: list[StreamEvent]) -> list[StepInfo]:
    return [event.step for event in events if event.step is not None]


async def test_steps_are_said_up_to_the_one_that_decides_the_ending(turn: Build) -> None:
    state = Walk(request_id="r1", include_steps=True)
    said = await _pulled(turn(Work=_speaker("Work", "a")), state)
    assert [event.type for event in said] == [
        EventType.STEP,
        EventType.TEXT_DELTA,
        EventType.STEP,
        EventType.STEP,
        EventType.MESSAGE_COMPLETE,
    ]
    assert [(info.number, info.node, info.label) for info in _steps(said)] == [
        (1, "Begin", "Begin"),
        (2, "Work", "Work"),
        (3, "End", "End"),
    ]
    assert all(info.duration_ms >= 0 for info in _steps(said))


async def test_a_decision_says_its_outcome(build: Build) -> None:
    @step("Check")
    def check(state: Walk) -> Literal["yes", "no"]:
        return "yes"

    state = Walk(request_id="r1", include_steps=True)
    lane = build(LOOP, _process("Begin"), _process("Work"), check, _process("Finish"))
    said = _steps(await _pulled(lane, state))
    assert [(info.node, info.outcome) for info in said] == [
        ("Begin", None),
        ("Work", None),
        ("Check", "yes"),
        ("Finish", None),
    ]


async def test_a_step_that_fails_is_not_said(turn: Build) -> None:
    async def fail(state: Walk) -> None:
        raise ProviderError("No answer.", code=ErrorCode.UPSTREAM_TIMEOUT)

    said: list[StreamEvent] = []
    with pytest.raises(ProviderError):
        await _pull(said, turn(Work=_process("Work", fail)), Walk(request_id="r1", include_steps=True))
    assert [info.node for info in _steps(said)] == ["Begin"]
