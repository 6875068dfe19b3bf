"""The answer lane on the real engine and store, with parts around it that let go of the loop at every call.

A stop can come wherever the loop is let go of, so a test that stops a turn at every pass of the loop has
stopped it at every await.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from ragstream.answer import MODULES, AnswerKit, AnswerSettings, LaneAnswerer
from ragstream.answer.run import LaneRun
from ragstream.blueprint import Lane, bind, load_diagram
from ragstream.events import Answer, EventType, Message, Passage, Question, Role, StreamEvent, ToolCall
from ragstream.llm import LLMClient, Price, Provider, RetryPolicy, ScriptedProvider, Tool
from ragstream.storage.base import Turn
from ragstream.storage.memory import MemoryTurns
from ragstream.telemetry import Metrics

Outcome = list[StreamEvent]


class Turns(MemoryTurns):
    """The memory store, slow enough to be stopped before and after each change."""

    fault: Exception | None = None  # of the next close
    silent = False  # close never returns

    async def open(self, turn: Turn) -> None:
        await asyncio.sleep(0)
        await super().open(turn)
        await asyncio.sleep(0)

    async def close(self, turn: Turn) -> None:
        await asyncio.sleep(0)
        if self.silent:
            await asyncio.get_running_loop().create_future()
        if self.fault:
            raise self.fault
        await super().close(turn)

    async def history(self, session_id: str, *, limit: int = 200) -> list[Turn]:
        await asyncio.sleep(0)
        return await super().history(session_id, limit=limit)


class Writer:
    """The end of a log that remembers."""

    stream_id = ""

    def __init__(self) -> None:
        self.events: Outcome = []
        self.acknowledged = 0
        self.fault: Exception | None = None  # of every flush

    def append(self, event: StreamEvent) -> int:
        self.events.append(event)
        return len(self.events)

    async def room(self) -> None:
        await asyncio.sleep(0)

    async def flush(self) -> None:
        await asyncio.sleep(0)
        if self.fault:
            raise self.fault
        self.acknowledged = len(self.events)

    async def close(self) -> None:
        pass


@dataclass
class Shelf:
    """A retriever that finds the same whatever it is asked, unless it was told otherwise."""

    passages: tuple[Passage, ...] = ()
    others: dict[str, tuple[Passage, ...]] = field(default_factory=dict)  # by query
    fault: Exception | None = None
    queries: list[str] = field(default_factory=list)

    async def retrieve(self, query: str, *, limit: int) -> tuple[Passage, ...]:
        await asyncio.sleep(0)
        self.queries.append(query)
        if self.fault:
            raise self.fault
        return self.others.get(query, self.passages)[:limit]


def scripted(*scripts: list[Any], **names: str) -> ScriptedProvider:
    """Return a provider whose pauses are one pass of the loop each."""
    return ScriptedProvider(*scripts, pause=lambda _: asyncio.sleep(0), **names)


def line(event: StreamEvent) -> str:
    """Return the event in few words."""
    what: object = ""
    match event.type:
        case EventType.SOURCES:
            what = [source.id for source in event.sources or ()]
        case EventType.TEXT_DELTA if event.text_delta:
            what = event.text_delta.content
        case EventType.REASONING_DELTA if event.reasoning_delta:
            what = event.reasoning_delta.content
        case EventType.CITATION if event.citation:
            what = f"{event.citation.source_id} {event.citation.start}-{event.citation.end}"
        case EventType.TOOL_CALL if event.tool_call:
            what = f"{event.tool_call.id} {event.tool_call.name} {event.tool_call.arguments}"
        case EventType.TOOL_RESULT if event.tool_result:
            what = f"{event.tool_result.id} {'error' if event.tool_result.is_error else 'ok'}"
        case EventType.RESET if event.reset:
            what = f"{event.reset.text!r} {len(event.reset.citations)}"
        case EventType.ERROR if event.error:
            what = event.error.code
        case EventType.MESSAGE_COMPLETE:
            what = event.model
    return f"{event.type.value} {what}" if what else event.type.value


def tool_call(name: str, arguments: str, call_id: str = "c1") -> StreamEvent:
    """Return a call, whole."""
    call = ToolCall(id=call_id, name=name, arguments=arguments)
    return StreamEvent(type=EventType.TOOL_CALL, tool_call=call)


def passage(number: int, text: str | None = None, **changes: Any) -> Passage:
    text = text or f"Fact {number} is that {number} comes before {number + 1}."
    made = Passage(
        id=f"p{number}",
        document_id=f"d{number}",
        title=f"Page {number}",
        uri=f"docs/{number}.md",
        text=text,
        start=100 * number,
        end=100 * number + len(text),
        score=0.5,
    )
    return msgspec.structs.replace(made, **changes)


class Rig:
    """An answer lane with its parts at hand."""

    def __init__(self, lane: Lane, *scripts: list[Any], **settings: Any) -> None:
        self.lane = lane
        self.provider = scripted(*scripts)
        self.providers: tuple[Provider, ...] = (self.provider,)
        self.policy = RetryPolicy(base_delay=0)
        self.prices: dict[str, Price] = {}
        self.budget: float | None = None
        self.tools: tuple[Tool, ...] = ()
        self.turns = Turns()
        self.shelf: Shelf | None = Shelf((passage(1), passage(2), passage(3)))
        self.metrics = Metrics()
        self.writer = Writer()
        self.settings = AnswerSettings(**settings)
        self._asked = 0

    @property
    def answerer(self) -> LaneAnswerer:
        kit = AnswerKit(
            turns=self.turns,
            llm=LLMClient(
                providers=self.providers, policy=self.policy, prices=self.prices, budget=self.budget
            ),
            retriever=self.shelf,
            meter=self.metrics,
            tools=self.tools,
            settings=self.settings,
        )
        return LaneAnswerer(self.lane, kit)

    def question(self, *texts: str, **changes: Any) -> Question:
        """Return a question: what user and assistant say in turn, the user last."""
        self._asked += 1
        roles: tuple[Role, Role] = ("assistant", "user")
        messages = tuple(
            Message(role=roles[(len(texts) - place) % 2], content=text) for place, text in enumerate(texts)
        )
        made = Question(
            stream_id=f"{self._asked:032x}",
            message_id=f"m{self._asked}",
            session_id="5e5510",
            request_id="r1",
            owner="ada",
            messages=messages,
            continues=False,
            created=1_795_242_213,
        )
        return msgspec.structs.replace(made, **changes)

    def prepare(self, question: Question) -> LaneRun:
        self.writer = Writer()
        run = self.answerer.prepare(question)
        run.attach(self.writer)
        return run

    async def ask(self, *texts: str, **changes: Any) -> Outcome:
        """Ask, and pull to the end."""
        run = self.prepare(self.question(*texts, **changes))
        await self.pull(run, run.events())
        return self.writer.events

    async def pull(self, run: LaneRun, generator: AsyncGenerator[StreamEvent, None]) -> None:
        """Pull as the supervisor does."""
        async with asyncio.timeout(10), aclosing(generator):
            async for event in generator:
                run.answer.apply(event)
                self.writer.append(event)
                await self.writer.room()

    async def stop_after(self, passes: int, cause: BaseException) -> bool:
        """Stop a turn after so many passes of the loop, as the supervisor does; False if it had ended."""
        run = self.prepare(self.question("Which?"))
        task = asyncio.create_task(self.pull(run, run.events()))
        for _ in range(passes):
            await asyncio.sleep(0)
        ended = task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert not self.open
        if run.answer.ending is None:
            await self.pull(run, run.rescue(cause))
        return not ended

    def check_ended_once(self) -> StreamEvent:
        """Check what every turn owes its readers; return its ending."""
        events, said = self.writer.events, Answer()
        for event in events:
            said.apply(event)
        assert [event.terminal for event in events].count(True) == 1
        assert events[-1].terminal
        assert events[0].type is EventType.MESSAGE_START
        row = self.row()
        assert (row.text, row.citations, row.sources) == (said.text, tuple(said.citations), said.sources)
        assert (row.ending, row.usage) == (events[-1], events[-1].usage)
        assert [message.text for message in row.question] == ["Which?"]
        assert not self.open
        assert self.counted("answers", status=row.status) == 1
        names = {source.id for source in row.sources}
        for citation in row.citations:
            assert row.text[citation.start : citation.end].strip("[]").isdigit()
            assert citation.source_id in names
        return events[-1]

    @property
    def open(self) -> int:
        """How many attempts are not closed."""
        return sum(getattr(provider, "open", 0) for provider in self.providers)

    def counted(self, name: str, **labels: str) -> float | None:
        """Return the value of a metric."""
        return self.metrics.registry.get_sample_value(f"ragstream_{name}_total", labels)

    def golden(self) -> list[str]:
        """Return what was said, a line an event."""
        return [line(event) for event in self.writer.events]

    def row(self) -> Turn:
        """Return the newest stored turn."""
        return list(self.turns.rows.values())[-1]


MakeRig = Callable[..., Rig]


@pytest.fixture(scope="session")
def answer_lane() -> Lane:
    return bind(load_diagram().only("answer"), MODULES).lane("answer")


@pytest.fixture
def make_rig(answer_lane: Lane) -> MakeRig:
    return lambda *scripts, **settings: Rig(answer_lane, *scripts, **settings)


@pytest.fixture
def make_passage() -> Callable[..., Passage]:
    return passage


@pytest.fixture
def make_provider() -> Callable[..., ScriptedProvider]:
    return scripted


@pytest.fixture
def make_call() -> Callable[..., StreamEvent]:
    return tool_call
