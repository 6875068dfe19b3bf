"""The journal of a walk: for each step a log line, a timing and, with tracing on, a span. So no step does.

A step's line has a fixed form: step, request_id, what the step noted, next_step and processing_stage. The
stage is ``started`` (DEBUG), ``completed`` (INFO) or ``failed`` with the error's code. A failure is an ERROR
where it is ours, a store's or a provider's. Leaving, stopping and having no room are not failing, and a
caller's mistake is not ours: these are told at INFO. An error that leaves the walk is told in full by
whoever catches it; one that ends here, in a closing step, comes with its traceback.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from ragstream.blueprint.binding import Lane, Step
from ragstream.blueprint.state import State
from ragstream.errors import (
    AnswerStopped,
    BlueprintError,
    ErrorCode,
    ProducerDied,
    RagstreamError,
    ReaderError,
    RequestError,
    Unavailable,
)
from ragstream.events import EventType, StepInfo, StreamEvent
from ragstream.telemetry import log_line, tracer

__all__ = ["Listener", "Visit", "journey", "overheard"]

Listener = Callable[[Lane, Mapping[str, Any]], None]  # takes the attributes of a step's line

_UNTRACED = nullcontext(None)
_listeners: list[Listener] = []
_logger = logging.getLogger("ragstream.steps")
_enabled = _logger.isEnabledFor
_STOPPED = (asyncio.CancelledError, GeneratorExit)  # the walk is cancelled, or its generator closed
_NOT_OURS = (*_STOPPED, ReaderError, RequestError, AnswerStopped, ProducerDied, Unavailable)


def journey(lane: Lane, state: State) -> AbstractContextManager[Context | None]:
    """Trace a walk: give the context that its steps' spans belong to, or None while tracing is off.

    The span is never made the current one here, because the walk yields and whoever pulls it has its own.
    """
    spans = tracer()
    return _UNTRACED if spans is None else _traced(spans, lane, state)


@contextmanager
def _traced(spans: Tracer, lane: Lane, state: State) -> Iterator[Context]:
    span = spans.start_span(f"RAG {lane.name}", attributes={"ragstream.request_id": state.request_id})
    try:
        yield set_span_in_context(span)
    finally:
        span.end()


@contextmanager
def overheard(listener: Listener) -> Iterator[None]:
    """Hand the line of each step that completed or failed to ``listener`` too, whatever the log's level."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class Visit:
    """One step being run, as a ``with`` block: where it leads, how long it took, how it ended.

    While closing, an error of a step that does not decide is told here and ends here: the walk goes on.
    """

    __slots__ = (
        "_began",
        "_closing",
        "_context",
        "_lane",
        "_state",
        "_step",
        "next",
        "outcome",
        "seconds",
        "span",
    )

    def __init__(
        self, lane: Lane, step: Step, state: State, context: Context | None, *, closing: bool
    ) -> None:
        self._lane, self._step, self._state, self._context = lane, step, state, context
        self._closing = closing
        self.next = step.next
        self.outcome: str | None = None
        self.seconds = 0.0
        self.span: Span | None = None

    def decide(self, outcome: str) -> None:
        """Take the way out that carries ``outcome``."""
        if outcome not in self._step.ways:
            raise BlueprintError(f"{self._step.node}: it returned {outcome!r}, but no edge carries that")
        self.outcome, self.next = outcome, self._step.ways[outcome]

    @property
    def event(self) -> StreamEvent:
        """What readers who asked for steps are told."""
        node = self._step.node
        info = StepInfo(
            node=node.id,
            label=node.label,
            number=node.number,
            outcome=self.outcome,
            duration_ms=round(self.seconds * 1000, 3),
        )
        return StreamEvent(type=EventType.STEP, step=info)

    def __enter__(self) -> Visit:
        if _enabled(logging.DEBUG):
            attributes = {"step": self._step.node.number, "request_id": self._state.request_id}
            log_line(_logger, logging.DEBUG, self._step.title, {**attributes, "processing_stage": "started"})
        if self._context is not None and (spans := tracer()) is not None:
            self.span = spans.start_span(self._step.node.step_id, self._context)
        self._began = perf_counter()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        step, state = self._step, self._state
        self.seconds = perf_counter() - self._began
        if step.observe is not None:
            step.observe(self.seconds)
        goes_on = error is None or (self._closing and not step.decides and isinstance(error, Exception))
        if not goes_on:
            self.next = None
        if error is not None:
            self._tell_failure(error, ends_here=goes_on)
        elif _listeners or _enabled(logging.INFO):
            self._tell(logging.INFO, self._attributes("completed"))
        if self.span is not None:
            self._end_span(self.span, error)
        if state.notes:
            state.notes = {}
        return goes_on

    def _attributes(self, stage: str) -> dict[str, Any]:
        said: dict[str, Any] = {"step": self._step.node.number, "request_id": self._state.request_id}
        said.update(self._state.notes)
        if self.outcome is not None:
            said["outcome"] = self.outcome
        said["next_step"] = self.next.node.number if self.next is not None else None
        said["processing_stage"] = stage
        return said

    def _tell_failure(self, error: BaseException, *, ends_here: bool) -> None:
        level = logging.INFO if isinstance(error, _NOT_OURS) else logging.ERROR
        if self._step.failed is not None:
            self._step.failed(_code(error))
        if not (_listeners or _enabled(level)):
            return
        said = self._attributes("failed") | {"code": _code(error)}
        if level == logging.ERROR and isinstance(error, RagstreamError):
            said["error"] = str(error)
        self._tell(level, said, error if ends_here else None)

    def _tell(self, level: int, said: dict[str, Any], error: BaseException | None = None) -> None:
        for listener in _listeners:
            listener(self._lane, said)
        log_line(_logger, level, self._step.title, said, error)

    def _end_span(self, span: Span, error: BaseException | None) -> None:
        for name, value in self._attributes("failed" if error else "completed").items():
            if value is not None:
                span.set_attribute(
                    f"ragstream.{name}", value if isinstance(value, int | float) else str(value)
                )
        if error is not None:
            span.set_attribute("error.type", _code(error))
            if not isinstance(error, _NOT_OURS):
                span.set_status(Status(StatusCode.ERROR, _code(error)))
        span.end()


def _code(error: BaseException) -> str:
    if isinstance(error, RagstreamError):
        return str(error.code)
    if isinstance(error, _STOPPED):
        return "cancelled"
    return "timeout" if isinstance(error, TimeoutError) else ErrorCode.INTERNAL.value
