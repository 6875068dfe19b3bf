from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ragstream.errors import ErrorCode, ProviderError
from ragstream.events import Message

MakeRig = Callable[..., Any]


def said(rig: Any) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in rig.provider.requests[-1].messages[1:]]


async def test_a_stored_conversation_goes_on(make_rig: MakeRig) -> None:
    rig = make_rig(["It is [2]."])
    await rig.ask("Which fact?")
    await rig.ask("And why?", continues=True)
    assert said(rig) == [("user", "Which fact?"), ("assistant", "It is ."), ("user", "And why?")]
    assert rig.shelf.queries == ["Which fact?", "And why? fact"]
    assert rig.writer.events[1].queries == ("And why? fact",)


async def test_a_question_without_an_answer_is_not_recalled(make_rig: MakeRig) -> None:
    rig = make_rig([ProviderError("no", code=ErrorCode.UPSTREAM_AUTH)], ["Yes."])
    await rig.ask("Which fact?")
    await rig.ask("And why?", continues=True)
    assert said(rig) == [("user", "And why?")]


async def test_history_is_bounded_and_the_newest_is_kept(make_rig: MakeRig) -> None:
    rig = make_rig(["Yes."], history_budget=30)
    for number, text in enumerate(("one " * 5, "two", "three")):
        await rig.ask(text, continues=number > 0)
    await rig.ask("four", continues=True)
    assert [text for _, text in said(rig)] == ["two", "Yes.", "three", "Yes.", "four"]


async def test_the_model_rewrites_what_leans_on_the_conversation(make_rig: MakeRig) -> None:
    rig = make_rig(['"retention of Redis logs"\n'], ["Yes."], follow_ups="model")
    await rig.ask("How long are logs kept?", "A day.", "And for Redis?")
    assert rig.shelf.queries == ["retention of Redis logs"]
    rewriting = rig.provider.requests[0]
    assert rewriting.passages == ()
    assert rewriting.messages[1].text.endswith("user: And for Redis?")
    assert said(rig)[-1] == ("user", "And for Redis?")


@pytest.mark.parametrize(
    "script",
    [
        [ProviderError("no", code=ErrorCode.UPSTREAM_UNAVAILABLE, retryable=True)],
        ["half", ProviderError("no", code=ErrorCode.UPSTREAM_TRUNCATED)],
        ["an answer instead of a query " * 20],
        [""],
    ],
)
async def test_a_rewrite_that_fails_leaves_the_words_of_the_conversation(
    make_rig: MakeRig, script: list[Any]
) -> None:
    rig = make_rig(script, ["Yes."], follow_ups="model")
    events = await rig.ask("How long are logs kept?", "A day.", "And for Redis?")
    assert rig.shelf.queries == ["And for Redis? logs kept"]
    assert events[-1].finish_reason == "stop"
    assert rig.provider.open == 0


async def test_a_rewrite_that_hangs_is_given_up(make_rig: MakeRig) -> None:
    rig = make_rig([3600.0], ["Yes."], follow_ups="model", rewrite_seconds=0.01)
    rig.provider._pause = asyncio.sleep
    await rig.ask("How long are logs kept?", "A day.", "And for Redis?")
    assert rig.shelf.queries == ["And for Redis? logs kept"]
    assert rig.provider.open == 0


@pytest.mark.parametrize("follow_ups", ["model", "terms", "off"])
async def test_a_first_question_is_asked_as_it_is(make_rig: MakeRig, follow_ups: str) -> None:
    rig = make_rig(["Yes."], follow_ups=follow_ups)
    await rig.ask("Why?")
    assert rig.shelf.queries == ["Why?"]
    assert len(rig.provider.requests) == 1


async def test_it_can_be_switched_off(make_rig: MakeRig) -> None:
    rig = make_rig(["Yes."], follow_ups="off")
    await rig.ask("How long are logs kept?", "A day.", "And for Redis?")
    assert rig.shelf.queries == ["And for Redis?"]


async def test_without_a_question_nothing_is_searched(make_rig: MakeRig) -> None:
    rig = make_rig(["Hello."])
    events = await rig.ask(messages=(Message(role="system", content="Say hello."),))
    assert rig.shelf.queries == []
    assert events[-1].finish_reason == "stop"
