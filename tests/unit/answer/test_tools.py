"""What the model calls is executed, told to it and to readers, and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from ragstream.answer import AnswerKit, AnswerSettings
from ragstream.errors import AnswerStopped, ConfigError, ErrorCode, ProviderError
from ragstream.events import EventType, StreamEvent, ToolCallDelta
from ragstream.llm import Price, RetryPolicy, Tool

Make = Callable[..., Any]
SEARCH = "search_documents"
START, SOURCES = "message_start", "sources ['s1', 's2', 's3']"
MORE = "sources ['s1', 's2', 's3', 's4']"


def broken(code: ErrorCode = ErrorCode.UPSTREAM_UNAVAILABLE, **changes: Any) -> ProviderError:
    return ProviderError("busy", code=code, **changes)


def double(number: int) -> int:
    """Double a number."""
    return 2 * number


def asking(query: str) -> str:
    return f'{{"query": "{query}"}}'


@pytest.fixture
def searching(make_rig: Make, make_passage: Make) -> Callable[..., Any]:
    """Return a rig whose model may search on: "logs" finds a passage known and a new one."""

    def make(*scripts: list[Any], **settings: Any) -> Any:
        rig = make_rig(*scripts, search_tool=True, **settings)
        rig.shelf.others["logs"] = (make_passage(2), make_passage(4))
        return rig

    return make


async def test_what_the_model_searches_for_becomes_further_sources(searching: Make, make_call: Make) -> None:
    script = ["Let me look [2", make_call(SEARCH, asking("logs"))]
    rig = searching(script, ["Four [4] and two [2]."])
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.golden() == [
        START,
        SOURCES,
        "text_delta Let me look ",
        "text_delta [2",
        'tool_call c1 search_documents {"query": "logs"}',
        "tool_result c1 ok",
        MORE,
        "text_delta \n\nFour [1] and two [2].",
        "citation s4 21-24",
        "citation s2 33-36",
        "message_complete scripted-1",
    ]
    first, second = (event.sources for event in rig.writer.events if event.sources)
    assert second[:3] == first
    assert [event.queries for event in rig.writer.events if event.sources] == [("Which?",), ("logs",)]
    assert rig.row().sources == second
    assert [one.id for one in rig.provider.requests[-1].passages] == ["p1", "p2", "p3", "p4"]
    assert rig.writer.events[-1].usage.completion_tokens == 2


async def test_the_model_is_told_of_its_calls_and_their_results(searching: Make, make_call: Make) -> None:
    rig = searching(["Look [3]", make_call(SEARCH, asking("logs"))], ["Four."])
    await rig.ask("Which?")
    first, second = rig.provider.requests
    assert [tool.name for tool in first.tools] == [SEARCH]
    assert list(first.tools[0].parameters["properties"]) == ["query"]
    assert f"search for others with {SEARCH}" in first.messages[0].text
    called, told = second.messages[len(first.messages) :]
    assert (called.role, called.text, called.tool_calls[0].id) == ("assistant", "Look [3]", "c1")
    assert (told.role, told.tool_call_id) == ("tool", "c1")
    assert "<passage number=4>\nPage 4\n\nFact 4 is that 4 comes before 5.\n</passage>" in told.text
    assert told.text.endswith("Passages that you have already: 2.")


async def test_the_model_cannot_search_unless_that_is_switched_on(make_rig: Make, make_call: Make) -> None:
    rig = make_rig([make_call(SEARCH, asking("logs"))], ["Never."])
    await rig.ask("Which?")
    rig.check_ended_once()
    assert len(rig.provider.requests) == 1
    assert not rig.provider.requests[0].tools
    assert SEARCH not in rig.provider.requests[0].messages[0].text


async def test_calls_run_side_by_side_and_failures_are_results(make_rig: Make, make_call: Make) -> None:
    met = asyncio.Barrier(2)

    async def meet(name: str) -> str:
        """Meet somebody."""
        await met.wait()
        return name

    async def sleep() -> None:
        """Take too long."""
        await asyncio.get_running_loop().create_future()

    def fail() -> None:
        """Fail."""
        raise KeyError("oh")

    calls = [
        make_call("meet", '{"name": "a"}', "c1"),
        make_call("meet", '{"name": "b"}', "c2"),
        make_call("sleep", "", "c3"),
        make_call("fail", "{}", "c4"),
        make_call("double", '{"number": "x"}', "c5"),
        make_call("nobody", "{}", "c6"),
        make_call("double", '{"number": 4}', "c7"),
    ]
    rig = make_rig(calls, ["Done."], tool_seconds=0.05)
    rig.tools = tuple(Tool(function) for function in (meet, sleep, fail, double))
    await rig.ask("Which?")
    rig.check_ended_once()
    results = [event.tool_result for event in rig.writer.events if event.tool_result]
    assert [(one.id, one.is_error) for one in results] == [
        ("c1", False),
        ("c2", False),
        ("c3", True),
        ("c4", True),
        ("c5", True),
        ("c6", True),
        ("c7", False),
    ]
    told = [message.text for message in rig.provider.requests[-1].messages if message.role == "tool"]
    assert told == [one.result for one in results]
    assert (told[0], told[6]) == ("a", "8")
    assert [word in text for word, text in zip(("longer", "oh", "number"), told[2:5], strict=True)] == [
        True
    ] * 3


async def test_a_result_is_capped(make_rig: Make, make_call: Make) -> None:
    def flood() -> str:
        """Say too much."""
        return "x" * 100_000

    rig = make_rig([make_call("flood", "")], ["Done."])
    rig.tools = (Tool(flood),)
    await rig.ask("Which?")
    (result,) = [event.tool_result for event in rig.writer.events if event.tool_result]
    assert len(result.result) == 32_768


async def test_rounds_are_bounded_and_no_other_provider_gets_more(
    make_rig: Make, make_provider: Make, make_call: Make
) -> None:
    rig = make_rig([make_call("double", '{"number": 4}')], tool_rounds=2)
    rig.tools = (Tool(double),)
    rig.providers = (rig.provider, make_provider(["Never."], name="two"))
    rig.policy = RetryPolicy(base_delay=0, after_delta="replace")
    await rig.ask("Which?")
    assert rig.check_ended_once().error.code == "tool_rounds_exceeded"
    assert len(rig.provider.requests) == 3
    assert len([event for event in rig.writer.events if event.tool_result]) == 2


async def test_every_round_has_its_own_attempts(make_rig: Make, make_call: Make) -> None:
    fault, call = [broken(retryable=True)], [make_call("double", '{"number": 4}')]
    rig = make_rig(fault, fault, call, fault, fault, call, fault, ["Done."])
    rig.tools = (Tool(double),)
    await rig.ask("Which?")
    assert rig.check_ended_once().type is EventType.MESSAGE_COMPLETE
    assert len(rig.provider.requests) == 8


async def test_a_call_is_said_last_whenever_it_came(make_rig: Make, make_call: Make) -> None:
    begun = StreamEvent(type=EventType.TOOL_CALL_DELTA, tool_call_delta=ToolCallDelta(index=0, name="double"))
    script = ["One [", begun, make_call("double", '{"number": 4}'), "two", " [1"]
    rig = make_rig(script, ["Done."])
    rig.tools = (Tool(double),)
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.golden()[2:-2] == [
        "text_delta One ",
        "text_delta [",
        "tool_call_delta",
        "text_delta two",
        "text_delta  ",
        "text_delta [1",
        'tool_call c1 double {"number": 4}',
        "tool_result c1 ok",
    ]


async def test_a_round_that_is_replaced_keeps_what_was_said_before_it(
    searching: Make, make_provider: Make, make_call: Make
) -> None:
    first = [["Look [3]", make_call(SEARCH, asking("logs"))], ["Four [4]", broken()]]
    rig = searching()
    two = make_provider(["Five [3][4]."], name="two", model="m2")
    rig.providers = (make_provider(*first), two)
    rig.policy = RetryPolicy(base_delay=0, after_delta="replace")
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.golden()[7:] == [
        "text_delta \n\nFour [2]",
        "citation s4 15-18",
        "reset 'Look [1]' 1",
        "text_delta \n\nFive [1][2].",
        "citation s3 15-18",
        "citation s4 18-21",
        "message_complete m2",
    ]
    assert [message.role for message in two.requests[0].messages] == ["system", "user", "assistant", "tool"]


async def test_a_round_that_broke_off_is_continued_from_its_own_beginning(
    searching: Make, make_call: Make
) -> None:
    rig = searching(
        ["Look [3]", make_call(SEARCH, asking("logs"))],
        ["Four [4] and", broken(retryable=True)],
        ["Four [4] and five [3]."],
    )
    rig.policy = RetryPolicy(base_delay=0, after_delta="continue")
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.row().text == "Look [1]\n\nFour [2] and five [1]."
    assert rig.provider.requests[-1].messages[-2].text == "Four [4] and"


async def test_every_round_is_within_the_budget(make_rig: Make, make_call: Make) -> None:
    rig = make_rig(["One", make_call("double", '{"number": 4}')], ["Never."])
    rig.tools = (Tool(double),)
    rig.prices = {"scripted-1": Price(prompt=0, completion=1000)}
    rig.budget = 1.0  # 1,000 tokens, of which the first round used one
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.golden()[-2:] == ["tool_result c1 ok", "failed over_budget"]
    assert rig.writer.events[-1].usage.cost == pytest.approx(0.001)
    assert len(rig.provider.requests) == 1


async def test_what_finds_nothing_or_fails_is_told_to_the_model(searching: Make, make_call: Make) -> None:
    rig = searching([make_call(SEARCH, asking("nothing"))], [make_call(SEARCH, asking("logs"))], ["No."])
    rig.shelf.others["nothing"] = ()
    run = rig.prepare(rig.question("Which?"))
    generator = run.events()
    async for event in generator:
        run.answer.apply(event)
        rig.writer.append(event)
        if event.tool_result:
            rig.shelf.fault = OSError("canary")
    rig.check_ended_once()
    nothing, failed = (event.tool_result for event in rig.writer.events if event.tool_result)
    assert (nothing.result, nothing.is_error) == ("Nothing was found.", False)
    assert "The documents could not be searched" in failed.result
    assert "canary" not in failed.result
    assert [line for line in rig.golden() if line.startswith("sources")] == [SOURCES]


async def test_where_nothing_was_found_at_first_a_search_may_find_the_first_source(
    searching: Make, make_call: Make
) -> None:
    rig = searching([make_call(SEARCH, asking("logs"))], ["Four [2]."])
    rig.shelf.passages = ()
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.golden()[2:] == [
        "tool_result c1 ok",
        "sources ['s1', 's2']",
        "text_delta Four [1].",
        "citation s2 5-8",
        "message_complete scripted-1",
    ]


async def test_searches_have_room_for_as_much_again(
    searching: Make, make_call: Make, make_passage: Make
) -> None:
    calls = [make_call(SEARCH, asking(word), word) for word in "abc"]
    rig = searching(*([call] for call in calls), ["Done."], context_budget=100)
    rig.shelf.passages = (make_passage(1, "x" * 90),)
    for number, word in enumerate("abc", 2):
        rig.shelf.others[word] = (make_passage(number, word * 70), make_passage(number + 10, word * 30))
    await rig.ask("Which?")
    rig.check_ended_once()
    told = [event.tool_result.result for event in rig.writer.events if event.tool_result]
    assert "a" * 70 in told[0]
    assert "a" * 30 in told[0]
    assert told[1:] == ["There is no room for more passages: answer from those that you have."] * 2


async def test_sources_that_do_not_fit_into_the_event_are_not_numbered(
    searching: Make, make_call: Make, make_passage: Make
) -> None:
    rig = searching([make_call(SEARCH, asking("many"))], ["Done [60]."], retrieval_limit=100)
    rig.shelf.others["many"] = tuple(
        make_passage(number, f"{number} words", title="T" * 300, uri="u" * 300) for number in range(10, 90)
    )
    await rig.ask("Which?")
    rig.check_ended_once()
    sources = len(rig.row().sources)
    assert 10 < sources < 60
    (result,) = [event.tool_result.result for event in rig.writer.events if event.tool_result]
    assert result.count("<passage ") == sources - 3
    assert not rig.row().citations


async def test_somebodys_own_tools_need_no_documents(make_rig: Make, make_call: Make) -> None:
    rig = make_rig(["Eh [1", make_call("double", '{"number": 4}')], ["Eight [1]."], search_tool=True)
    rig.shelf, rig.tools = None, (Tool(double),)
    await rig.ask("Which?")
    rig.check_ended_once()
    assert rig.row().text == "Eh [1\n\nEight [1]."
    assert [tool.name for tool in rig.provider.requests[0].tools] == ["double"]


async def test_a_stop_inside_a_tool_leaves_it(searching: Make, make_call: Make) -> None:
    entered, left = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        """Wait for ever."""
        entered.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            left.set()

    rig = searching(["One [3]", make_call("wait", "{}")])
    rig.tools = (Tool(wait),)
    run = rig.prepare(rig.question("Which?"))
    task = asyncio.create_task(rig.pull(run, run.events()))
    async with asyncio.timeout(5):
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert left.is_set()
    await rig.pull(run, run.rescue(AnswerStopped("ada")))
    assert rig.check_ended_once().cancelled
    assert rig.golden()[2:] == ["text_delta One [1]", "citation s3 4-7", "tool_call c1 wait {}", "cancelled"]
    assert rig.writer.events[-1].usage.completion_tokens == 1


async def test_a_stop_at_any_await_of_a_tool_round_gives_one_ending(searching: Make, make_call: Make) -> None:
    passes = stopped = 0
    while True:
        calls = [make_call(SEARCH, asking("logs"), "c1"), 0.0, make_call(SEARCH, asking("logs"), "c2")]
        rig = searching([0.0, "Look [2", 0.0, *calls, 0.0], [0.0, "Four [4", 0.0, "]", 0.0])
        in_time = await rig.stop_after(passes, AnswerStopped("ada"))
        stopped += rig.check_ended_once().cancelled is not None
        if not in_time:
            break
        passes += 1
    assert stopped > 20
    assert rig.row().text == "Look [2\n\nFour [1]"
    assert len(rig.row().sources) == 4


@pytest.mark.parametrize("wrong", [{"tool_rounds": -1}, {"tool_seconds": 0}])
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        AnswerSettings(**wrong)


def test_two_tools_cannot_have_one_name(make_rig: Make) -> None:
    def search_documents(query: str) -> str:
        """Search elsewhere."""
        return query

    rig = make_rig(search_tool=True)
    rig.tools = (Tool(search_documents),)
    with pytest.raises(ConfigError, match="the same name"):
        _ = rig.answerer
    rig.settings = AnswerSettings()
    kit: AnswerKit = rig.answerer._kit
    assert not kit.searches
