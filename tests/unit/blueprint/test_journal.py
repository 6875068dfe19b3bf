"""What operators are told of each step: the line to the letter, the span, the figures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from types import ModuleType
from typing import Any, Literal

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from ragstream.blueprint import Kind, Lane, Node, State, bind, load_diagram, run, step, walk
from ragstream.errors import InvalidField, ReaderLeft, StorageUnavailable
from ragstream.events import EventType, StreamEvent, TextDelta
from ragstream.telemetry import LogLine, Metrics, recorded_log, start_tracing, stop_tracing

LINE = """\
    Begin(["S001 · Begin"]) --> Work["S002 · Work"]
    Work --> Finish(["S003 · Finish"])"""

NOTES: dict[str, dict[str, Any]] = {
    "StreamSetup": {
        "streaming_requested": True,
        "streaming_setup": True,
        "headers_configured": True,
        "stream_context_prepared": True,
    },
    "AsyncGen": {"generator_created": True, "generator_configured": True},
}
ROUTE = {"ValidCheck": "yes", "StreamCheck": "yes", "ReadAs": "stream"}
TEXT = StreamEvent(type=EventType.TEXT_DELTA, text_delta=TextDelta(content="secret words"))

Build = Callable[..., Lane]


def _function(node: Node) -> Callable[..., Any]:
    """Do nothing but note what the real step notes, or take the streamed route."""
    if node.kind is Kind.DECISION:

        def decide(state: State) -> Any:
            return ROUTE[node.id]

        decide.__annotations__["return"] = Literal[tuple(node.outcomes)]
        return step(node.id)(decide)

    async def process(state: State, kit: object) -> None:
        state.note(**NOTES.get(node.id, {}))

    return step(node.id)(process)


@pytest.fixture
def request_lane() -> Lane:
    diagram, module = load_diagram().only("request"), ModuleType("steps")
    for node in diagram.nodes:
        setattr(module, node.id, _function(node))
    return bind(diagram, [module]).lane("request")


@pytest.fixture
def log() -> Iterator[list[LogLine]]:
    with recorded_log("ragstream.steps") as lines:
        yield lines


@step("Begin")
async def begin(state: State, kit: object) -> None: ...


@step("Finish")
async def finish(state: State, kit: object) -> None: ...


def _work(error: BaseException | None = None) -> Callable[..., Any]:
    @step("Work")
    async def work(state: State, kit: object) -> AsyncGenerator[StreamEvent, None]:
        state.note(provider="somewhere", tokens=None)
        yield TEXT
        if error is not None:
            raise error

    return work


def _of(log: list[LogLine], number: int, stage: str) -> LogLine:
    (line,) = [
        line
        for line in log
        if line.attributes["step"] == number and line.attributes["processing_stage"] == stage
    ]
    return line


# ---- the log line


async def test_the_lines_of_set_up_and_generator_to_the_letter(
    request_lane: Lane, log: list[LogLine]
) -> None:
    await run(request_lane, State(request_id="r1"), None)
    assert _of(log, 105, "completed").text == (
        "RAG STEP 105 (RAG.streaming.chatbotcontroller.chat.stream.setup.sse): "
        'ChatbotController.chat_stream Setup SSE | attrs={"step":105,"request_id":"r1",'
        '"streaming_requested":true,"streaming_setup":true,"headers_configured":true,'
        '"stream_context_prepared":true,"next_step":106,"processing_stage":"completed"}'
    )
    assert _of(log, 106, "completed").text == (
        "RAG STEP 106 (RAG.platform.create.async.generator): Create async generator | "
        'attrs={"step":106,"request_id":"r1","generator_created":true,"generator_configured":true,'
        '"next_step":107,"processing_stage":"completed"}'
    )


async def test_attributes_come_in_their_fixed_order(request_lane: Lane, log: list[LogLine]) -> None:
    await run(request_lane, State(request_id="r1"), None)
    assert list(_of(log, 105, "completed").attributes) == [
        "step",
        "request_id",
        "streaming_requested",
        "streaming_setup",
        "headers_configured",
        "stream_context_prepared",
        "next_step",
        "processing_stage",
    ]
    assert list(_of(log, 106, "completed").attributes) == [
        "step",
        "request_id",
        "generator_created",
        "generator_configured",
        "next_step",
        "processing_stage",
    ]


async def test_each_step_is_told_as_it_starts_and_as_it_completes(
    request_lane: Lane, log: list[LogLine]
) -> None:
    await run(request_lane, State(request_id="r1"), None)
    walked = [2, 1, 3, 104, 105, 106, 107, 116, 108, 109, 110, 112]
    stages = [(line.level, line.attributes["step"], line.attributes["processing_stage"]) for line in log]
    assert stages == [
        told for number in walked for told in (("debug", number, "started"), ("info", number, "completed"))
    ]


async def test_a_decision_tells_its_outcome_and_where_it_leads(
    request_lane: Lane, log: list[LogLine]
) -> None:
    await run(request_lane, State(request_id="r1"), None)
    assert _of(log, 104, "completed").attributes == {
        "step": 104,
        "request_id": "r1",
        "outcome": "yes",
        "next_step": 105,
        "processing_stage": "completed",
    }
    assert _of(log, 112, "completed").attributes["next_step"] is None


async def test_notes_belong_to_one_step(request_lane: Lane, log: list[LogLine]) -> None:
    await run(request_lane, State(request_id="r1"), None)
    told = [line.attributes["step"] for line in log if "generator_created" in line.attributes]
    assert told == [106]


async def test_a_note_may_have_any_name(build: Build, log: list[LogLine]) -> None:
    @step("Work")
    async def work(state: State, kit: object) -> None:
        state.note(event="odd", level="odd", logger="odd", exc_info="odd")

    await run(build(LINE, begin, work, finish), State(request_id="r1"), None)
    assert _of(log, 2, "completed").attributes["event"] == "odd"


async def test_what_is_said_is_not_told_to_operators(build: Build, log: list[LogLine]) -> None:
    await run(build(LINE, begin, _work(), finish), State(request_id="r1"), None)
    assert not any("secret words" in line.text for line in log)


@pytest.mark.parametrize(
    ("error", "level", "code", "words"),
    [
        (
            StorageUnavailable("The database is locked."),
            "error",
            "storage_unavailable",
            "The database is locked.",
        ),
        (ValueError("hush"), "error", "internal", None),
        (ReaderLeft("It left."), "info", "reader_left", None),
        (InvalidField("No such option."), "info", "invalid_field", None),
        (asyncio.CancelledError(), "info", "cancelled", None),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_failure_is_told_with_its_code_and_by_whose_fault_it_is(
    build: Build, log: list[LogLine], error: BaseException, level: str, code: str, words: str | None
) -> None:
    with pytest.raises(type(error)):
        await run(build(LINE, begin, _work(error), finish), State(request_id="r1"), None)
    line = _of(log, 2, "failed")
    assert line.level == level
    assert line.attributes == {
        "step": 2,
        "request_id": "r1",
        "provider": "somewhere",
        "tokens": None,
        "next_step": None,
        "processing_stage": "failed",
        "code": code,
    } | ({"error": words} if words else {})
    assert line.exception is None  # whoever catches it tells it in full
    assert "hush" not in line.text


async def test_a_walk_that_is_closed_is_told_as_cancelled(build: Build, log: list[LogLine]) -> None:
    async with aclosing(walk(build(LINE, begin, _work(), finish), State(request_id="r1"), None)) as events:
        await anext(events)
    assert _of(log, 2, "failed").attributes["code"] == "cancelled"
    assert log[-1].level == "info"


async def test_a_level_that_is_off_says_nothing(build: Build) -> None:
    with recorded_log("ragstream.steps", level=30) as log:
        await run(build(LINE, begin, _work(), finish), State(request_id="r1"), None)
    assert log == []


# ---- figures


async def test_durations_and_failures_are_counted_by_step(build: Build) -> None:
    metrics = Metrics()
    lane = build(LINE, begin, _work(ReaderLeft("It left.")), finish, metrics=metrics)
    with pytest.raises(ReaderLeft):
        await run(lane, State(request_id="r1"), None)
    values = {(s.name, *s.labels.values()): s.value for m in metrics.registry.collect() for s in m.samples}
    assert values["ragstream_step_seconds_count", "RAG.test.begin"] == 1
    assert values["ragstream_step_seconds_count", "RAG.test.work"] == 1
    assert values["ragstream_step_seconds_count", "RAG.test.finish"] == 0
    assert values["ragstream_step_failures_total", "RAG.test.work", "reader_left"] == 1


# ---- spans


@pytest.fixture
def spans() -> Iterator[Callable[[], dict[str, ReadableSpan]]]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    start_tracing(provider)
    yield lambda: {span.name: span for span in exporter.get_finished_spans()}
    stop_tracing()
    provider.shutdown()


Spans = Callable[[], dict[str, ReadableSpan]]


async def test_each_step_is_a_span_of_its_lanes(build: Build, spans: Spans) -> None:
    await run(build(LINE, begin, _work(), finish), State(request_id="r1"), None)
    made = spans()
    assert set(made) == {"RAG lane", "RAG.test.begin", "RAG.test.work", "RAG.test.finish"}
    parents = {span.parent.span_id for name, span in made.items() if span.parent is not None}
    context = made["RAG lane"].context
    assert context is not None
    assert parents == {context.span_id}
    assert made["RAG lane"].attributes == {"ragstream.request_id": "r1"}
    assert made["RAG.test.work"].attributes == {
        "ragstream.step": 2,
        "ragstream.request_id": "r1",
        "ragstream.provider": "somewhere",
        "ragstream.next_step": 3,
        "ragstream.processing_stage": "completed",
    }


async def test_a_failure_marks_its_span_and_leaving_does_not(build: Build, spans: Spans) -> None:
    for error, status in ((ValueError("hush"), StatusCode.ERROR), (ReaderLeft("It left."), StatusCode.UNSET)):
        with pytest.raises(type(error)):
            await run(build(LINE, begin, _work(error), finish), State(request_id="r1"), None)
        span = spans()["RAG.test.work"]
        assert span.status.status_code is status
        assert span.attributes is not None
        assert span.attributes["error.type"] in ("internal", "reader_left")
        assert not span.events


async def test_the_span_is_current_inside_the_step_and_nowhere_else(build: Build, spans: Spans) -> None:
    inside: list[str] = []

    def look() -> None:
        inside.append(str(getattr(trace.get_current_span(), "name", None)))

    @step("Begin")
    async def looking(state: State, kit: object) -> None:
        look()

    @step("Work")
    async def speaking(state: State, kit: object) -> AsyncGenerator[StreamEvent, None]:
        look()
        yield TEXT
        look()

    outside = trace.get_current_span()
    async with aclosing(walk(build(LINE, looking, speaking, finish), State(request_id="r1"), None)) as events:
        async for _ in events:
            assert trace.get_current_span() is outside
    assert trace.get_current_span() is outside
    assert inside == ["RAG.test.begin", "RAG.test.work", "RAG.test.work"]


async def test_a_walk_that_is_closed_ends_its_spans(build: Build, spans: Spans) -> None:
    async with aclosing(walk(build(LINE, begin, _work(), finish), State(request_id="r1"), None)) as events:
        await anext(events)
    assert set(spans()) == {"RAG lane", "RAG.test.begin", "RAG.test.work"}


async def test_without_tracing_there_are_no_spans(build: Build) -> None:
    current: list[trace.Span] = []

    @step("Work")
    async def looking(state: State, kit: object) -> None:
        current.append(trace.get_current_span())

    await run(build(LINE, begin, looking, finish), State(request_id="r1"), None)
    assert not current[0].get_span_context().is_valid
