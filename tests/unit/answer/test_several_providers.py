"""Which provider answers: by order, by budget, by what failed; never with a word said twice."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from ragstream.errors import AnswerStopped, ErrorCode, ProviderError
from ragstream.events import EventType, ReasoningDelta, StreamEvent, ToolCallDelta, Usage
from ragstream.llm import ChatRequest, GeneratorProvider, Price, RetryPolicy

Make = Callable[..., Any]
DEAR, CHEAP = Price(prompt=0, completion=1000), Price(prompt=0, completion=10)  # an answer: 1, and 0.01
START, SOURCES, DONE = "message_start", "sources ['s1', 's2', 's3']", "message_complete"


TOLD = "The tower [3] was built in 1889 [1], of iron; such a tower [3] was new."


def broken(code: ErrorCode = ErrorCode.UPSTREAM_UNAVAILABLE, **changes: Any) -> ProviderError:
    return ProviderError("busy", code=code, **changes)


def thinking(text: str) -> StreamEvent:
    return StreamEvent(type=EventType.REASONING_DELTA, reasoning_delta=ReasoningDelta(content=text))


@pytest.fixture
def pair(make_rig: Make, make_provider: Make) -> Callable[..., Any]:
    """Return a rig of two providers, ``one`` and ``two``, that play these scripts."""

    def make(first: list[Any], second: list[Any], after: Any = "fail", **settings: Any) -> Any:
        rig = make_rig(**settings)
        one = make_provider(*first, name="one", model="m1")
        two = make_provider(*second, name="two", model="m2")
        rig.providers = (one, two)
        rig.policy = RetryPolicy(base_delay=0, after_delta=after)
        rig.prices = {"m1": DEAR, "m2": CHEAP}
        return rig

    return make


def asked(rig: Any) -> list[int]:
    """Return how often each provider was asked."""
    return [len(provider.requests) for provider in rig.providers]


async def test_before_the_first_delta_another_provider_takes_over_unseen(pair: Make) -> None:
    rig = pair([["[2", broken()]], [["One [1]."]])
    await rig.ask("Which?")
    rig.check_ended_once()
    said = [START, SOURCES, "text_delta One [1].", "citation s1 4-7", f"{DONE} m2"]
    assert rig.golden() == said
    assert asked(rig) == [1, 1]


@pytest.mark.parametrize("code", [ErrorCode.UPSTREAM_AUTH, ErrorCode.UPSTREAM_REJECTED])
async def test_another_provider_takes_over_whatever_the_error(pair: Make, code: ErrorCode) -> None:
    rig = pair([[broken(code)]], [["One."]])
    await rig.ask("Which?")
    assert rig.check_ended_once().model == "m2"


async def test_attempts_are_bounded_with_failover(pair: Make) -> None:
    rig = pair([[broken(retryable=True)]], [[broken(ErrorCode.UPSTREAM_RATE_LIMITED, retryable=True)]])
    await rig.ask("Which?")
    assert rig.golden() == [START, SOURCES, "failed upstream_rate_limited"]
    assert asked(rig) == [1, 2]
    assert rig.counted("answer_attempts") == 3


async def test_after_a_delta_the_answer_fails_by_default(pair: Make) -> None:
    for first in (["One [1], [", broken()], [thinking("Hm"), "[", broken()]):
        rig = pair([first], [["Never."]])
        await rig.ask("Which?")
        assert rig.check_ended_once().error.code == "upstream_unavailable"
        assert asked(rig) == [1, 0]
        assert rig.row().text.endswith("[")


async def test_another_provider_may_go_on_without_saying_anything_twice(pair: Make) -> None:
    rig = pair([["One [3] and", broken()]], [["One [3] ", "and two [1]."]], "continue")
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.golden() == [
        START,
        SOURCES,
        "text_delta One [1] and",
        "citation s3 4-7",
        "text_delta  two [2].",
        "citation s1 16-19",
        f"{DONE} m2",
    ]
    before = rig.providers[1].requests[0].messages[-2]
    assert (before.role, before.text) == ("assistant", "One [3] and")


def goes_on(again: int | None) -> GeneratorProvider:
    """Return a provider that goes on from what it is told was said, its last words (None: all) once more."""

    async def write(request: ChatRequest) -> AsyncGenerator[str | StreamEvent, None]:
        said = request.messages[-2].text
        assert TOLD.startswith(said)
        words = [0, *(found.start() for found in re.finditer(r"\S+", said)), len(said)]
        start = 0 if again is None else words[max(len(words) - 1 - again, 0)]
        for letter in TOLD[start:]:
            yield letter

    return GeneratorProvider(write, name="two", model="m2")


@pytest.mark.parametrize("cut", range(2, len(TOLD)))
@pytest.mark.parametrize("again", [0, 3, None])
async def test_wherever_another_goes_on_nothing_is_said_twice(
    pair: Make, cut: int, again: int | None
) -> None:
    rig = pair([[*TOLD[:cut], broken()]], [["Never."]], "continue")
    rig.providers = (rig.providers[0], goes_on(again))
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.row().text == "The tower [1] was built in 1889 [2], of iron; such a tower [1] was new."
    assert [citation.source_id for citation in rig.row().citations] == ["s3", "s1", "s3"]


async def test_who_goes_on_may_fail_before_its_first_word(make_rig: Make, make_provider: Make) -> None:
    rig = make_rig()
    scripts = (["One [3] and", broken()], [broken()], [" two [3][1]."])
    rig.providers = tuple(make_provider(script, name=str(n)) for n, script in enumerate(scripts))
    rig.policy = RetryPolicy(base_delay=0, after_delta="continue")
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.row().text == "One [1] and two [1][2]."
    assert [citation.source_id for citation in rig.row().citations] == ["s3", "s3", "s1"]


async def test_another_provider_may_replace_what_was_said(pair: Make) -> None:
    rig = pair([[thinking("Hm"), "One [3] and [2", broken()]], [["Two [2]."]], "replace")
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.golden() == [
        START,
        SOURCES,
        "reasoning_delta Hm",
        "text_delta One [1] and ",
        "citation s3 4-7",
        "reset '' 0",
        "text_delta Two [1].",
        "citation s2 4-7",
        f"{DONE} m2",
    ]
    assert (rig.row().text, rig.row().reasoning) == ("Two [1].", "")


async def test_a_tool_call_that_was_begun_cannot_be_continued(pair: Make) -> None:
    begun = StreamEvent(type=EventType.TOOL_CALL_DELTA, tool_call_delta=ToolCallDelta(index=0, name="x"))
    rig = pair([["One", begun, "two", broken()]], [["Never."]], "continue")
    await rig.ask("Which?")
    assert rig.check_ended_once().error.code == "upstream_unavailable"
    assert asked(rig) == [1, 0]


async def test_a_call_beyond_the_budget_is_not_made(pair: Make) -> None:
    rig = pair([["One."]], [["Two."]])
    rig.budget = 0.001
    await rig.ask("Which?")
    ending = rig.check_ended_once()
    assert rig.golden() == [START, SOURCES, "failed over_budget"]
    assert str(ending.error) == "The next call would cost about 1, and 0.001 is left of the budget"
    assert not ending.error.retryable
    assert (ending.usage, rig.row().status, asked(rig)) == (None, "failed", [0, 0])


async def test_a_follow_up_is_not_rewritten_beyond_the_budget(pair: Make) -> None:
    rig = pair([["One."]], [["Two."]], follow_ups="model")
    rig.budget = 0.001
    events = await rig.ask("How long are logs kept?", "A day.", "And that?")
    assert events[-1].error.code == "over_budget"
    assert asked(rig) == [0, 0]
    assert "logs" in rig.shelf.queries[0]


async def test_a_cheaper_provider_is_taken_where_the_first_is_beyond_the_budget(pair: Make) -> None:
    rig = pair([["One."]], [["Two."]])
    rig.budget = 0.5
    await rig.ask("Which?")
    assert rig.check_ended_once().model == "m2"
    assert asked(rig) == [0, 1]


async def test_who_was_too_dear_may_take_over_only_within_the_budget(pair: Make) -> None:
    rig = pair([["One."]], [[broken(retryable=True)]])
    rig.budget = 0.5
    await rig.ask("Which?")
    assert rig.check_ended_once().error.code == "over_budget"
    assert asked(rig) == [0, 1]


async def test_failing_over_is_within_the_budget_too(pair: Make) -> None:
    rig = pair([["One [1], [", broken()]], [["Two."]], "replace")
    rig.prices = {"m1": CHEAP, "m2": DEAR}
    rig.budget = 0.5
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.golden()[-2:] == ["text_delta [", "failed over_budget"]  # what was written stays
    assert asked(rig) == [1, 0]


async def test_a_provider_without_a_price_is_never_held_back(pair: Make) -> None:
    rig = pair([["One."]], [["Two."]])
    rig.budget, rig.prices = 0.001, {"m2": CHEAP}
    await rig.ask("Which?")
    assert rig.check_ended_once().model == "m1"


@pytest.mark.parametrize(("spare", "said"), [(CHEAP, [0, 1]), (DEAR, [0, 0])])
async def test_a_model_that_a_question_names_does_not_escape_the_budget(
    pair: Make, spare: Price, said: list[int]
) -> None:
    rig = pair([["One."]], [["Two."]])
    rig.budget, rig.prices = 0.5, {"m2": spare}
    await rig.ask("Which?", model="dear-and-unknown")
    ending = rig.check_ended_once()
    assert asked(rig) == said
    assert ending.model == ("m2" if spare is CHEAP else None)
    assert ("has no price" in str(ending.error)) == (spare is DEAR)


async def test_what_an_answer_costs_is_told(pair: Make) -> None:
    rig = pair([["One", "."]], [["Two."]])
    await rig.ask("Which?")
    usage = rig.check_ended_once().usage
    assert isinstance(usage, Usage)
    assert usage.cost == pytest.approx(2 * 1000 / 1e6)


async def test_the_provider_of_the_model_asked_for_is_first_and_others_get_their_own(pair: Make) -> None:
    rig = pair([["One."]], [[broken()]])
    await rig.ask("Which?", model="m2")
    assert rig.check_ended_once().model == "m1"
    assert [provider.requests[0].model for provider in rig.providers] == [None, "m2"]


async def test_a_model_that_nobody_names_is_asked_of_the_first_alone(pair: Make) -> None:
    rig = pair([[broken()]], [["Two."]])
    await rig.ask("Which?", model="m9")
    assert [provider.requests[0].model for provider in rig.providers] == ["m9", None]
    assert rig.check_ended_once().model == "m2"


@pytest.mark.parametrize("after", ["continue", "replace"])
async def test_a_stop_at_any_await_of_a_failover_gives_one_ending(pair: Make, after: str) -> None:
    passes = stopped = 0
    while True:
        first = [0.0, "One [3]", 0.0, " and [", broken()]
        rig = pair([first], [[0.0, "One [3] and [1", 0.0, "] too", 0.0]], after)
        rig.budget = 2.0
        in_time = await rig.stop_after(passes, AnswerStopped("ada"))
        stopped += rig.check_ended_once().cancelled is not None
        if not in_time:
            break
        passes += 1
    assert stopped > 12
    assert rig.row().text == "One [1] and [2] too"
