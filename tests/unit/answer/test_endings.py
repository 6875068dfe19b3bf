"""However an answer ends, it ends once, and what is stored is what was said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ragstream.answer import AnswerSettings
from ragstream.errors import (
    AnswerStopped,
    ConfigError,
    ErrorCode,
    LeaseLost,
    LimitExceeded,
    NotFound,
    ProducerDied,
    ProgrammingError,
    ProviderError,
    StorageFull,
    StoreError,
)
from ragstream.events import Answer, EventType, StreamEvent, Usage
from ragstream.llm import RetryPolicy

MakeRig = Callable[..., Any]
SCRIPT = [0.0, "One [2", 0.0, "] and ", "two [1, 3] or", 0.0, " `x[1]` [9", 0.0]
WHOLE = "One [1] and two [2][3] or `x[1]` [9"


def broken(code: ErrorCode = ErrorCode.UPSTREAM_UNAVAILABLE, **changes: Any) -> ProviderError:
    return ProviderError("busy", code=code, provider="scripted", **changes)


async def test_a_stop_at_any_await_gives_one_ending_and_stores_what_was_said(make_rig: MakeRig) -> None:
    stopped = complete = passes = 0
    texts = set()
    while True:
        rig = make_rig(SCRIPT)
        in_time = await rig.stop_after(passes, AnswerStopped("ada"))
        ending = rig.check_ended_once()
        texts.add(rig.row().text)
        if ending.cancelled:
            assert ending.cancelled.by == "ada"
            stopped += 1
        else:
            assert ending.type is EventType.MESSAGE_COMPLETE
            complete += in_time
        if not in_time:
            break
        passes += 1
    assert stopped > 15
    assert complete > 2  # once the ending is decided, a stop changes nothing
    assert all(WHOLE.startswith(text) or text == "One [2" for text in texts)
    assert {"", "One [2", WHOLE} <= texts  # what was held back is said as it stands


@pytest.mark.parametrize(
    ("cause", "kind", "code"),
    [
        (AnswerStopped("ada"), EventType.CANCELLED, None),
        (ProducerDied("gone"), EventType.INTERRUPTED, None),
        (asyncio.CancelledError(), EventType.INTERRUPTED, None),
        (LimitExceeded("late", code=ErrorCode.DEADLINE_EXCEEDED), EventType.ERROR, "deadline_exceeded"),
        (StoreError("no log"), EventType.ERROR, "store_unavailable"),
        (KeyError("secret"), EventType.ERROR, "internal"),
        (ProgrammingError("secret"), EventType.ERROR, "internal"),
    ],
)
async def test_the_cause_says_how_a_rescued_answer_ends(
    make_rig: MakeRig, cause: BaseException, kind: EventType, code: str | None
) -> None:
    rig = make_rig(SCRIPT)
    await rig.stop_after(12, cause)
    ending = rig.check_ended_once()
    assert ending.type is kind
    assert (ending.error.code if ending.error else None) == code
    assert "secret" not in str(ending)


async def test_interrupted_names_the_last_event_that_was_said(make_rig: MakeRig) -> None:
    rig = make_rig(["One.", 3600.0])
    run = rig.prepare(rig.question("Which?"))
    rig.provider._pause = asyncio.sleep
    generator = run.events()
    for _ in range(3):
        run.answer.apply(await anext(generator))
    await generator.aclose()
    await rig.pull(run, run.rescue(ProducerDied("gone")))
    assert rig.writer.events[-1].interrupted.seq == 3


async def test_an_answer_that_is_too_large_says_nothing_more(make_rig: MakeRig) -> None:
    rig = make_rig(["One [1", 3600.0])
    rig.provider._pause = asyncio.sleep
    run = rig.prepare(rig.question("Which?"))
    generator = run.events()
    for _ in range(3):
        run.answer.apply(await anext(generator))
    await generator.aclose()
    await rig.pull(run, run.rescue(LimitExceeded("enough", code=ErrorCode.ANSWER_TOO_LARGE)))
    assert [event.type for event in rig.writer.events] == [EventType.ERROR]
    assert rig.row().text == "One "


async def test_a_busy_provider_is_asked_again_and_nobody_notices(make_rig: MakeRig) -> None:
    rig = make_rig([broken(retryable=True)], [broken(retryable=True)], ["One [1]."])
    events = await rig.ask("Which?")
    assert rig.check_ended_once().type is EventType.MESSAGE_COMPLETE
    assert len(rig.provider.requests) == 3
    assert [event.type.value for event in events].count("message_start") == 1
    assert rig.counted("answer_attempts") == 3


@pytest.mark.parametrize(
    ("scripts", "attempts", "code"),
    [
        ([[broken(retryable=True)]], 3, "upstream_unavailable"),
        ([[broken(ErrorCode.UPSTREAM_AUTH)]], 1, "upstream_auth"),
        ([[broken(retryable=True)], [broken(ErrorCode.UPSTREAM_AUTH)]], 2, "upstream_auth"),
        ([["One", broken(ErrorCode.UPSTREAM_TRUNCATED, retryable=True)]], 1, "upstream_truncated"),
    ],
)
async def test_a_failure_ends_the_answer_after_the_attempts_that_policy_allows(
    make_rig: MakeRig, scripts: list[Any], attempts: int, code: str
) -> None:
    rig = make_rig(*scripts)
    await rig.ask("Which?")
    ending = rig.check_ended_once()
    assert ending.error
    assert (ending.error.code, str(ending.error)) == (code, "busy")
    assert len(rig.provider.requests) == attempts
    assert rig.row().status == "failed"


async def test_a_failure_keeps_what_was_said_and_what_was_held_back(make_rig: MakeRig) -> None:
    rig = make_rig(["One [2], [", broken(retryable=True)])
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.row().text == "One [1], ["


async def test_what_only_was_held_back_was_not_said_so_another_attempt_begins_anew(make_rig: MakeRig) -> None:
    rig = make_rig(["[2", broken(retryable=True)], ["One [1]."])
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.row().text == "One [1]."


async def test_another_attempt_may_go_on_where_the_last_one_broke_off(make_rig: MakeRig) -> None:
    rig = make_rig(["One [3] and", broken(retryable=True)], ["One [3] ", "and two [1]."])
    rig.policy = RetryPolicy(base_delay=0, after_delta="continue")
    await rig.ask("Which?")
    assert rig.check_ended_once().type is EventType.MESSAGE_COMPLETE
    assert rig.row().text == "One [1] and two [2]."
    before = rig.provider.requests[-1].messages[-2]
    assert (before.role, before.text) == ("assistant", "One [3] and")


async def test_what_looked_like_a_repetition_to_the_end_is_not_lost(make_rig: MakeRig) -> None:
    rig = make_rig(["One, two and ", broken(retryable=True)], ["One"])
    rig.policy = RetryPolicy(base_delay=0, after_delta="continue")
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.row().text == "One, two and One"


async def test_what_is_held_back_at_the_end_is_said(make_rig: MakeRig) -> None:
    rig = make_rig(["One [1] or ["])
    await rig.ask("Which?")
    assert rig.check_ended_once().type is EventType.MESSAGE_COMPLETE
    assert rig.row().text == "One [1] or ["


async def test_naming_sources_is_not_yet_an_answer(make_rig: MakeRig) -> None:
    sources = StreamEvent(type=EventType.SOURCES, sources=())
    rig = make_rig([sources, broken(retryable=True)], ["One"])
    rig.shelf = None
    await rig.ask("Which?")
    assert rig.check_ended_once().type is EventType.MESSAGE_COMPLETE


async def test_another_attempt_may_replace_what_was_said(make_rig: MakeRig) -> None:
    rig = make_rig(["One `[3] and [2", broken(retryable=True)], ["Two [2]."])
    rig.policy = RetryPolicy(base_delay=0, after_delta="replace")
    events = await rig.ask("Which?")
    assert rig.check_ended_once().type is EventType.MESSAGE_COMPLETE
    assert rig.row().text == "Two [1]."
    (reset,) = [event.reset for event in events if event.reset]
    assert (reset.text, reset.seq, len(reset.sources)) == ("", 3, 3)
    assert [message.role for message in rig.provider.requests[-1].messages] == ["system", "user"]


@pytest.mark.parametrize("kind", [EventType.CANCELLED, EventType.ERROR])
async def test_a_provider_cannot_end_the_answer(make_rig: MakeRig, kind: EventType) -> None:
    rig = make_rig(["One", StreamEvent(type=kind)])
    await rig.ask("Which?")
    ending = rig.check_ended_once()
    assert ending.error
    assert ending.error.code == "upstream_protocol"


async def test_a_provider_that_just_stops_has_failed(make_rig: MakeRig) -> None:
    rig = make_rig(["One", StreamEvent(type=EventType.STEP)])
    rig.provider._ending = lambda *_: StreamEvent(type=EventType.STEP)
    await rig.ask("Which?")
    ending = rig.check_ended_once()
    assert ending.error
    assert ending.error.code == "upstream_truncated"


async def test_a_search_that_fails_fails_the_answer(make_rig: MakeRig) -> None:
    rig = make_rig(["One"])
    rig.shelf.fault = OSError("secret path")
    run = rig.prepare(rig.question("Which?"))
    with pytest.raises(StoreError, match="could not be searched") as caught:
        await rig.pull(run, run.events())
    await rig.pull(run, run.rescue(caught.value))
    ending = rig.check_ended_once()
    assert ending.error
    assert (ending.error.code, ending.error.retryable) == ("retrieval_failed", True)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (StorageFull("The disk is full."), "storage_full"),
        (NotFound("There is no such session."), "not_found"),
    ],
)
async def test_an_answer_that_is_not_stored_has_failed(
    make_rig: MakeRig, fault: Exception, code: str
) -> None:
    rig = make_rig(["One."])
    rig.turns.fault = fault
    events = await rig.ask("Which?")
    assert [event.terminal for event in events].count(True) == 1
    assert (events[-1].error.code, str(events[-1].error)) == (code, str(fault))
    assert rig.row().ending is None
    assert rig.counted("answers", status="failed") == 1


async def test_a_database_that_is_silent_is_not_waited_for(make_rig: MakeRig) -> None:
    rig = make_rig(["One."], closing_seconds=0.02)
    rig.turns.silent = True
    events = await rig.ask("Which?")
    assert events[-1].error.code == "storage_unavailable"


async def test_an_answer_whose_storing_is_cut_short_is_not_called_complete(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that lags may come to the limit of all closing steps before it comes to that of the database."""
    monkeypatch.setattr("ragstream.blueprint.engine.CLOSING_SECONDS", 0.02)
    rig = make_rig(["One."])
    rig.turns.silent = True
    events = await rig.ask("Which?")
    assert events[-1].error.code == "storage_unavailable"


async def test_an_answer_whose_log_failed_is_stored_as_failed(make_rig: MakeRig) -> None:
    rig = make_rig(["One."])
    run = rig.prepare(rig.question("Which?"))
    rig.writer.fault = StoreError("The stream log is gone.")
    await rig.pull(run, run.events())
    ending = rig.check_ended_once()
    assert ending.error
    assert ending.error.code == "store_unavailable"


async def test_who_lost_the_lease_stores_nothing(make_rig: MakeRig) -> None:
    rig = make_rig(["One."])
    run = rig.prepare(rig.question("Which?"))
    rig.writer.fault = LeaseLost("Another process has it.")
    await rig.pull(run, run.events())
    assert rig.row().ending is None
    assert rig.writer.events[-1].error


async def test_a_dead_answer_is_rebuilt_from_its_row_and_its_log(make_rig: MakeRig) -> None:
    rig = make_rig(["One [1]", 0.0, " two"])
    run = rig.prepare(rig.question("Which?", metadata={"ticket": 7}))
    generator = run.events()
    said = Answer()
    for _ in range(4):
        said.apply(await anext(generator))
    await generator.aclose()

    rig.writer = type(rig.writer)()
    revived = rig.answerer.revive(rig.row(), said)
    revived.attach(rig.writer)
    await rig.pull(revived, revived.rescue(ProducerDied("gone")))
    (ending,) = rig.writer.events
    assert ending.interrupted.seq == 4
    row = rig.row()
    assert (row.status, row.text, row.metadata) == ("interrupted", "One [1]", {"ticket": 7})
    assert row.sources
    assert row.citations
    assert row.ending == ending


async def test_a_dead_answer_whose_ending_was_stored_gets_that_ending(make_rig: MakeRig) -> None:
    rig = make_rig(["One."])
    *events, ending = await rig.ask("Which?")
    said = Answer()
    for event in events:
        said.apply(event)
    rig.writer = type(rig.writer)()
    revived = rig.answerer.revive(rig.row(), said)
    revived.attach(rig.writer)
    await rig.pull(revived, revived.rescue(ProducerDied("gone")))
    assert rig.writer.events == [ending]
    assert rig.row().status == "complete"


async def test_a_stopped_answer_tells_the_usage_so_far(make_rig: MakeRig) -> None:
    rig = make_rig(["fact 1"], ["One", 3600.0], follow_ups="model")
    rig.provider._pause = asyncio.sleep
    run = rig.prepare(rig.question("Hi", "Hello", "And that?"))
    generator = run.events()
    for _ in range(3):
        run.answer.apply(await anext(generator))
    await generator.aclose()
    await rig.pull(run, run.rescue(AnswerStopped("ada")))
    usage = rig.writer.events[-1].usage
    assert isinstance(usage, Usage)
    assert usage.completion_tokens == 1


@pytest.mark.parametrize(
    "wrong", [{"retrieval_limit": 0}, {"context_budget": 0}, {"rewrite_seconds": 0}, {"closing_seconds": -1}]
)
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        AnswerSettings(**wrong)
