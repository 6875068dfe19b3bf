"""What operators learn of each attempt: a log line always, metrics and traces where they are wanted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from ragstream.errors import ProviderError
from ragstream.events import StreamEvent
from ragstream.llm.base import ChatRequest, Provider

__all__ = ["LogObserver", "Observation", "Observer", "Outcome"]

_log = logging.getLogger("ragstream.llm")
_log.addHandler(logging.NullHandler())  # where nobody asked for logs, there are none


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt went. Neither completion nor error: whoever asked has left."""

    completion: StreamEvent | None
    error: ProviderError | None

    @property
    def word(self) -> str:
        """The error's code, "complete" or "left"."""
        if self.error is not None:
            return str(self.error.code)
        return "complete" if self.completion is not None else "left"


class Observation(Protocol):
    """One attempt being watched."""

    def spoke(self) -> None:
        """The first event has come."""

    def ended(self, outcome: Outcome) -> None:
        """The attempt is over."""


class Observer(Protocol):
    """Somebody who watches attempts; must neither raise nor block."""

    def began(self, provider: Provider, request: ChatRequest) -> Observation:
        """Watch an attempt from its beginning."""
        ...


class LogObserver:
    """Write one line an attempt to the logger ``ragstream.llm``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def began(self, provider: Provider, request: ChatRequest) -> Observation:
        """Note when the attempt began."""
        return _LogLine(provider.name, request.model or provider.model, self._clock)


class _LogLine:
    def __init__(self, provider: str, model: str, clock: Callable[[], float]) -> None:
        self._provider, self._model, self._clock = provider, model, clock
        self._began = clock()
        self._first: float | None = None

    def spoke(self) -> None:
        self._first = self._clock()

    def ended(self, outcome: Outcome) -> None:
        level = logging.WARNING if outcome.error is not None else logging.INFO
        if not _log.isEnabledFor(level):
            return
        facts = {
            "provider": self._provider,
            "model": self._model,
            "outcome": outcome.word,
            "first_token_ms": None if self._first is None else round((self._first - self._began) * 1e3, 1),
            "duration_ms": round((self._clock() - self._began) * 1e3, 1),
        }
        words = " ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
        _log.log(level, "llm attempt: %s", words, extra=facts)
