"""What to do next, decided from what happened so far: pure functions, no clock, no network.

The client's own loop and the answer lane's decision steps call these same functions, so that both agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ragstream.errors import CircuitOpen, ConfigError, ErrorCode, ProviderError

__all__ = [
    "AfterDelta",
    "Attempt",
    "RetryPolicy",
    "Verdict",
    "affordable",
    "check_budget",
    "check_tools",
    "decide",
    "delay",
    "over_budget",
]

AfterDelta = Literal["fail", "continue", "replace"]
Verdict = Literal["same", "failover", "stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt that is over: who made it, what went wrong, and whether a delta had been said."""

    provider: str
    error: ProviderError | None
    delivered: bool  # text, reasoning, refusal or tool call deltas reached the reader
    calling: bool = False  # a tool call was begun: nobody can continue it in the middle


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often to try, how long to wait (seconds), and what a failure after the first delta means.

    ``after_delta``: "fail" ends the answer; "continue" gives another attempt what was said, to go on from
    there; "replace" tells the reader to forget it (RESET) and answers anew.
    """

    max_attempts: int = 3  # in all, failover included
    base_delay: float = 0.5
    max_delay: float = 20.0  # also caps a provider's Retry-After
    after_delta: AfterDelta = "fail"

    def __post_init__(self) -> None:
        if self.max_attempts < 1 or self.base_delay < 0 or self.max_delay < 0:
            raise ConfigError("RetryPolicy: max_attempts must be at least 1, delays at least 0")
        if self.after_delta not in ("fail", "continue", "replace"):
            raise ConfigError(f"RetryPolicy: after_delta is {self.after_delta!r}: fail, continue or replace")


def decide(attempts: Sequence[Attempt], policy: RetryPolicy, *, failover: bool = False) -> Verdict:
    """Decide what follows the last attempt; ``failover`` says whether another provider is left.

    Whoever just failed is likelier to fail again than somebody who did not, so another provider is taken
    at once and whatever the error; the same one is asked again only where its error is retryable.
    """
    last = attempts[-1]
    if last.error is None or len(attempts) >= policy.max_attempts:
        return "stop"
    if last.delivered and policy.after_delta == "fail":
        return "stop"
    if last.calling and policy.after_delta == "continue":
        return "stop"
    if last.error.code == ErrorCode.TOOL_ROUNDS_EXCEEDED:  # our own limit: it would be that of others, too
        return "stop"
    if failover:
        return "failover"
    return "same" if last.error.retryable and not isinstance(last.error, CircuitOpen) else "stop"


def delay(attempts: Sequence[Attempt], policy: RetryPolicy, jitter: float) -> float:
    """Return the seconds to wait before asking the same provider again.

    A Retry-After is honoured, up to the cap, and jitter never shortens it; otherwise the wait grows
    exponentially with the attempts that this provider has had, with "full jitter" (AWS Architecture
    Blog, "Exponential Backoff And Jitter").

    Args:
        attempts: what happened so far.
        policy: base and cap.
        jitter: a random number in [0, 1).
    """
    last = attempts[-1]
    if last.error is not None and last.error.retry_after is not None:
        return min(max(last.error.retry_after, 0.0) + jitter * policy.base_delay, policy.max_delay)
    earlier = sum(attempt.provider == last.provider for attempt in attempts) - 1
    return jitter * min(policy.base_delay * 2.0**earlier, policy.max_delay)


def check_budget(
    estimate: float | None, others: Sequence[float | None], budget: float | None
) -> Literal["yes", "cheaper", "no"]:
    """Decide whether a call may be made for ``budget``, or whether one of the ``others`` may.

    An estimate of ``None`` is a provider that was set up without prices: it is never held back, and never
    called cheaper.
    """
    if budget is None or estimate is None or estimate <= budget:
        return "yes"
    return "no" if affordable(others, budget) is None else "cheaper"


def affordable(estimates: Sequence[float | None], budget: float | None) -> int | None:
    """Return the place of the first that is known to be within the budget, or None."""
    within = (
        place
        for place, guess in enumerate(estimates)
        if guess is not None and budget is not None and guess <= budget
    )
    return next(within, None)


def over_budget(provider: str, estimate: float, budget: float) -> ProviderError:
    """Return the refusal of a call for which ``budget`` is what is left."""
    if math.isinf(estimate):
        words = "The model that was asked for has no price, so no budget allows it: ask for another"
    else:
        words = (
            f"The next call would cost about {estimate:.4g}, and {max(budget, 0.0):.4g} is left of the budget"
        )
    return ProviderError(words, code=ErrorCode.OVER_BUDGET, provider=provider)


def check_tools(calls: int, rounds: int, max_rounds: int) -> Literal["yes", "no", "exceeded"]:
    """Decide whether the model's ``calls`` shall be executed, ``rounds`` having been executed before."""
    if not calls:
        return "no"
    return "yes" if rounds < max_rounds else "exceeded"
