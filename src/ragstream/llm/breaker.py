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

    Every attempt calls ``enter`` first and one of ``succeeded``, ``failed`` or ``abandoned`` at its end.
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

    def succeeded(self) -> None:
        """Close the circuit: the provider answered."""
        self._failures, self._opened, self._probing = 0, None, False

    def failed(self, error: ProviderError) -> None:
        """Count the failure, if it says something about the provider rather than the request."""
        if error.code not in _FAULTS:
            self.abandoned()
            return
        self._failures += 1
        if self._probing or self._failures >= self._limit:
            self._opened = self._clock()
        self._probing = False

    def abandoned(self) -> None:
        """Draw no conclusion: whoever asked has left."""
        self._probing = False
