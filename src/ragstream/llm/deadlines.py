"""How long a provider may be silent, watched by one timer of the loop.

A token costs no task and no timeout object: it notes the time, and the timer, when it rings, looks at the
note and sets itself anew. Only waiting counts; a reader that takes its time costs the provider nothing.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from ragstream.errors import ConfigError, ErrorCode, ProviderError

__all__ = ["Deadlines", "Timeouts"]

_SOON = 0.5  # seconds until a reader who was busy is looked at again
_GRACE = 0.01  # seconds for the loop to notice what came while it was held up itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds that one attempt may take; how long connecting may take is the provider's own to know."""

    first_token: float = 120.0  # a model may think for long before it says anything
    between_tokens: float = 60.0
    total: float = 600.0

    def __post_init__(self) -> None:
        if min(self.first_token, self.between_tokens, self.total) <= 0:
            raise ConfigError("Timeouts: first_token, between_tokens and total must be above 0")

    def of_one_piece(self) -> Timeouts:
        """Return those of an answer that is not streamed: its silence tells nothing, until the total."""
        return replace(self, first_token=math.inf, between_tokens=math.inf)


class Deadlines:
    """Watch one attempt: ``wait()`` before each event, ``said()`` after it.

    Leaving the context while a deadline has passed turns the cancellation, by which the wait was ended, into
    the error that says which deadline it was.
    """

    __slots__ = (
        "_cancelling",
        "_doubted",
        "_expired",
        "_loop",
        "_provider",
        "_since",
        "_spoke",
        "_start",
        "_task",
        "_timeouts",
        "_timer",
    )

    def __init__(self, provider: str, timeouts: Timeouts) -> None:
        self._provider = provider
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._start = self._since = self._loop.time()
        self._spoke = False
        self._task: asyncio.Task[object] | None = None  # who waits; nobody, while the reader has the event
        self._cancelling = 0
        self._doubted = 0.0  # the beginning of a wait that seemed too long
        self._expired: ErrorCode | None = None
        self._timer = self._loop.call_at(self._due()[0], self._ring)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        task, self._task = self._task, None
        if self._expired and task and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise self._error(self._expired) from None

    def wait(self) -> None:
        """Begin to count; whoever calls this is the one to be woken."""
        task = self._task = asyncio.current_task(self._loop)
        if task is not None:
            self._cancelling = task.cancelling()
        self._since = self._loop.time()

    def said(self) -> None:
        """Stop counting: something was said."""
        if self._expired is None:
            self._task = None
        if not self._spoke:
            self._spoke = True
            self._timer.cancel()
            self._timer = self._loop.call_at(self._due()[0], self._ring)

    def _due(self) -> tuple[float, ErrorCode]:
        if self._spoke:
            silence = self._since + self._timeouts.between_tokens, ErrorCode.UPSTREAM_TIMEOUT
        else:
            silence = self._since + self._timeouts.first_token, ErrorCode.UPSTREAM_FIRST_TOKEN_TIMEOUT
        return min(silence, (self._start + self._timeouts.total, ErrorCode.UPSTREAM_TOTAL_TIMEOUT))

    def _ring(self) -> None:
        now = self._loop.time()
        due, code = self._due()
        if self._task is None:  # the reader is busy: look again when its next wait could be over
            shortest = min(self._timeouts.between_tokens, self._timeouts.first_token, _SOON)
            self._timer = self._loop.call_at(now + shortest, self._ring)
        elif now < due:
            self._timer = self._loop.call_at(due, self._ring)
        elif code is not ErrorCode.UPSTREAM_TOTAL_TIMEOUT and self._doubted != self._since:
            self._doubted = self._since
            self._timer = self._loop.call_at(now + _GRACE, self._ring)
        else:
            self._expired = code
            self._task.cancel()

    def _error(self, code: ErrorCode) -> ProviderError:
        message = {
            ErrorCode.UPSTREAM_FIRST_TOKEN_TIMEOUT: f"said nothing for {self._timeouts.first_token:g} s",
            ErrorCode.UPSTREAM_TIMEOUT: f"fell silent for {self._timeouts.between_tokens:g} s",
            ErrorCode.UPSTREAM_TOTAL_TIMEOUT: f"was not done after {self._timeouts.total:g} s",
        }[code]
        retryable = code is not ErrorCode.UPSTREAM_TOTAL_TIMEOUT
        return ProviderError(
            f"{self._provider} {message}", code=code, provider=self._provider, retryable=retryable
        )
