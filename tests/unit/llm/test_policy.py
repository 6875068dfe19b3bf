"""The pure decisions: try again or not, wait how long, spend or not, repeat or not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragstream.errors import CircuitOpen, ConfigError, ErrorCode, ProviderError
from ragstream.events import ImagePart, ImageURL, Message, Options, Usage
from ragstream.llm.base import ChatRequest
from ragstream.llm.breaker import Breaker
from ragstream.llm.continuation import Joint, continued
from ragstream.llm.policy import Attempt, RetryPolicy, check_budget, check_tools, decide, delay
from ragstream.llm.prices import Price, add_usage, cost, estimate, price_of


def fault(*, retryable: bool = True, retry_after: float | None = None) -> ProviderError:
    return ProviderError(
        "no", code=ErrorCode.UPSTREAM_UNAVAILABLE, retryable=retryable, retry_after=retry_after
    )


def tried(error: ProviderError | None, *, delivered: bool = False, calling: bool = False) -> Attempt:
    return Attempt(provider="p", error=error, delivered=delivered, calling=calling)


@pytest.mark.parametrize(
    ("attempts", "after_delta", "failover", "verdict"),
    [
        ([tried(None)], "fail", True, "stop"),
        ([tried(fault())], "fail", False, "same"),
        ([tried(fault())], "fail", True, "failover"),
        ([tried(fault(retryable=False))], "fail", False, "stop"),
        ([tried(fault(retryable=False))], "fail", True, "failover"),
        ([tried(fault())] * 3, "fail", True, "stop"),
        ([tried(fault(), delivered=True)], "fail", True, "stop"),
        ([tried(fault(), delivered=True)], "continue", True, "failover"),
        ([tried(fault(), delivered=True)], "continue", False, "same"),
        ([tried(fault(), delivered=True, calling=True)], "continue", True, "stop"),
        ([tried(fault(), delivered=True, calling=True)], "replace", True, "failover"),
        ([tried(CircuitOpen("no", provider="p", retry_after=9))], "fail", False, "stop"),
        ([tried(CircuitOpen("no", provider="p", retry_after=9))], "fail", True, "failover"),
    ],
)
def test_decide(attempts: list[Attempt], after_delta: str, failover: bool, verdict: str) -> None:
    policy = RetryPolicy(after_delta=after_delta)  # type: ignore[arg-type] # from a table
    assert decide(attempts, policy, failover=failover) == verdict


def test_delay_grows_and_honours_the_provider() -> None:
    policy = RetryPolicy(base_delay=1, max_delay=5)
    waits = [delay([tried(fault())] * count, policy, 0.5) for count in (1, 2, 3, 4, 5)]
    assert waits == [0.5, 1, 2, 2.5, 2.5]
    assert delay([tried(fault(retry_after=3))], policy, 0.5) == 3.5
    assert delay([tried(fault(retry_after=99))], policy, 0.5) == 5
    assert delay([tried(fault(retry_after=-1))], policy, 0) == 0


@pytest.mark.parametrize("wrong", [{"max_attempts": 0}, {"base_delay": -1}, {"after_delta": "hope"}])
def test_a_wrong_policy_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        RetryPolicy(**wrong)  # type: ignore[arg-type] # that is the point


def test_budget_and_tools() -> None:
    assert check_budget(None, [], 1) == "yes"
    assert check_budget(2, [], None) == "yes"
    assert check_budget(1, [], 1) == "yes"
    assert check_budget(2, [3, 1], 1) == "cheaper"
    assert check_budget(2, [None, 3], 1) == "no"
    assert [check_tools(0, 9, 2), check_tools(1, 1, 2), check_tools(1, 2, 2)] == ["no", "yes", "exceeded"]


def test_the_circuit_breaker() -> None:
    now = [0.0]
    breaker = Breaker("p", failures=2, cooldown=30, clock=lambda: now[0])

    def attempt(error: ProviderError | None = None, *, completed: bool = False) -> None:
        breaker.enter()
        breaker.leave(error, completed=completed)

    attempt(fault())
    attempt(completed=True)  # a success in between
    attempt(fault())
    attempt(ProviderError("bad request", code=ErrorCode.UPSTREAM_REJECTED))  # says nothing about the provider
    attempt(fault())
    with pytest.raises(CircuitOpen) as refusal:
        breaker.enter()
    assert refusal.value.retry_after == 30
    now[0] = 30
    breaker.enter()  # one may try
    with pytest.raises(CircuitOpen):
        breaker.enter()
    breaker.leave(None, completed=False)  # it left without a result
    attempt(fault())  # so the next may try; it fails
    with pytest.raises(CircuitOpen):
        breaker.enter()
    now[0] = 60
    attempt(completed=True)
    attempt(completed=True)


def test_cost_and_estimate() -> None:
    price = Price(prompt=2, completion=8, cached=1)
    used = Usage(prompt_tokens=1_000_000, completion_tokens=500_000, cached_tokens=500_000)
    assert cost(used, price) == 1 + 0.5 + 4
    assert cost(used, Price(prompt=2, completion=8)) == 2 + 4
    assert price_of({"p/m": price}, "p", "m") is price
    assert price_of({"m": price}, "p", "m") is price
    assert price_of({}, "p", "m") is None
    short = ChatRequest(messages=(Message(role="user", content="x" * 300),), options=Options(max_tokens=10))
    assert estimate(short, price) == pytest.approx((104 * 2 + 10 * 8) / 1e6)
    picture = ImagePart(ImageURL("https://example.org/a.png"))
    seen = ChatRequest(messages=(Message(role="user", content=(picture,)),), options=Options(max_tokens=10))
    assert estimate(seen, price) > estimate(short, price)
    both = add_usage(
        [Usage(prompt_tokens=1, total_tokens=1, cost=0.5), Usage(completion_tokens=2, total_tokens=2)]
    )
    assert both == Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3, cost=0.5)
    assert add_usage([]) is None


TEXT = "The tower was built in 1889 by an engineer. It stands in Paris, on the river, since then. "


@pytest.mark.parametrize(
    ("said", "more", "joined"),
    [
        ("The tower was ", "built in 1889.", "The tower was built in 1889."),
        ("The tower was ", "The tower was built.", "The tower was built."),  # from the beginning
        ("It is a large tower, bu", "tower, built of iron", "It is a large tower, built of iron"),
        ("Hello wor", "world!", "Hello world!"),
        ("He said no", "", "He said no"),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 99])
def test_a_continuation_repeats_nothing(said: str, more: str, joined: str, size: int) -> None:
    joint = Joint(said)
    pieces = [joint.write(more[at : at + size]) for at in range(0, len(more), size)]
    assert said + "".join(pieces) + joint.close() == joined


@given(cut=st.integers(0, len(TEXT)), back=st.integers(12, 60), seed=st.integers(0, 9))
def test_a_continuation_from_any_point_is_joined_without_a_seam(cut: int, back: int, seed: int) -> None:
    dice = random.Random(seed)
    more, joint, text = TEXT[max(cut - back, 0) :], Joint(TEXT[:cut]), TEXT[:cut]
    while more:
        size = dice.randint(1, 9)
        text += joint.write(more[:size])
        more = more[size:]
    assert text + joint.close() == TEXT


def test_the_next_provider_is_given_what_was_said() -> None:
    request = ChatRequest(messages=(Message(role="user", content="?"),))
    assert [message.role for message in continued(request, "So").messages] == ["user", "assistant", "user"]
