"""A circuit breaker: a provider that keeps failing is left alone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

from ragstream.errors import CircuitOpen, ErrorCode, ProviderError

__all__ = ["Breaker"]

_FAULTS = {  # what says that the provider is not well; other errors are about one request
    ErrorCode.UPSTREAM_CONNECT_TIMEOUT,
    ErrorCode.UPSTREAM_FIRST_TOKEN_TIMEOUT,
    ErrorCode.UPSTREAM_PROTOCOL,
    ErrorCode.UPSTREAM_RATE_LIMITED,
    ErrorCode.UPSTREAM_TIMEOUT,
    ErrorCode.UPSTREAM_TRUNCATED,
    ErrorCode.UPSTREAM_UNAVAILABLE,
    ErrorCode.UPSTREAM_UNREACHABLE,
}


class Breaker:
    """Open after ``failures`` in a row; after ``cooldown`` seconds let one attempt try whether all is well.

    Every attempt calls ``enter`` first and ``leave`` at its end.
    """

    def __init__(
        self,
        provider: str,
        *,
        failures: int = 5,
        cooldown: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.provider = provider
        self._limit = failures
        self._cooldown = cooldown
        self._clock = clock
        self._failures = 0
        self._opened: float | None = None
        self._probing = False

    def enter(self) -> None:
        """Let an attempt through.

        Raises:
            CircuitOpen: the provider is left alone for now.
        """
        if self._opened is None:
            return
        left = self._opened + self._cooldown - self._clock()
        if left > 0 or self._probing:
            raise CircuitOpen(
                f"{self.provider} failed {self._failures} times in a row and is left alone for a while",
                provider=self.provider,
                retry_after=max(left, 0.0),
            )
        self._probing = True

    def leave(self, error: ProviderError | None, *, completed: bool) -> None:
        """Learn from the attempt's end; from one that was left by whoever asked there is nothing to learn."""
        if completed:
            self._failures, self._opened = 0, None
        elif error is not None and error.code in _FAULTS:
            self._failures += 1
            if self._probing or self._failures >= self._limit:
                self._opened = self._clock()
        self._probing = False
