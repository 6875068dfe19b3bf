"""The client over scripted providers: what its reader sees, whatever they do."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import Field

from ragstream.errors import ConfigError, ErrorCode, InvalidField, ProviderError, RetrievalFailed
from ragstream.events import (
    Answer,
    EventType,
    FilePart,
    FileRef,
    ImagePart,
    ImageURL,
    Message,
    Options,
    StreamEvent,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from ragstream.llm import (
    ChatRequest,
    GeneratorProvider,
    LLMClient,
    OpenAIProvider,
    Price,
    RetryPolicy,
    ScriptedProvider,
    Timeouts,
    Tool,
    ToolSpec,
)
from ragstream.llm.metrics import PrometheusObserver
from ragstream.llm.wire import chat_body, read_messages

ASK = [{"role": "user", "content": "Hello?"}]
BUSY = ProviderError("busy", code=ErrorCode.UPSTREAM_UNAVAILABLE, retryable=True)
DENIED = ProviderError("denied", code=ErrorCode.UPSTREAM_AUTH)


TOLD = "The tower was built in 1889, of iron; nobody had seen such a tower before."


def client(*providers: Any, **settings: Any) -> LLMClient:
    async def pause(seconds: float) -> None: ...

    return LLMClient(providers=providers, pause=pause, **settings)


async def collect(asked: LLMClient, **how: Any) -> Answer:
    answer = Answer()
    async with asyncio.timeout(5):
        async for event in asked.chat_completion(ASK, **how):
            answer.apply(event)
    assert answer.ending is not None
    return answer


async def whole(asked: LLMClient, **how: Any) -> list[StreamEvent]:
    async with asyncio.timeout(5):
        return [event async for event in asked.chat_completion(ASK, stream=False, **how)]


async def test_streamed_and_whole() -> None:
    asked = client(ScriptedProvider(["Hel", "lo"]))
    answer = await collect(asked)
    assert (answer.text, answer.finish_reason) == ("Hello", "stop")
    assert answer.start is not None
    assert len(answer.start.stream_id) == 32
    [event] = await whole(asked)
    assert event.type is EventType.MESSAGE_COMPLETE
    assert (event.content, event.finish_reason) == ("Hello", "stop")


async def test_a_failure_is_an_event_with_what_was_said() -> None:
    failing = client(ScriptedProvider(["Hel", BUSY]))
    answer = await collect(failing)
    assert (answer.text, str(answer.error), answer.error and answer.error.retryable) == ("Hel", "busy", True)
    [event] = await whole(failing)
    assert (event.type, event.content) == (EventType.ERROR, "Hel")


async def test_failover_before_the_first_delta_is_unseen() -> None:
    first, second = ScriptedProvider([DENIED], name="a"), ScriptedProvider(["Hi"], name="b", model="m2")
    answer = await collect(client(first, second), model="asked-for")
    assert answer.text == "Hi"
    assert [first.requests[0].model, second.requests[0].model] == ["asked-for", None]


async def test_three_attempts_in_all() -> None:
    providers = [ScriptedProvider([BUSY], name=name) for name in "abcd"]
    answer = await collect(client(*providers))
    assert answer.error is not None
    assert [len(provider.requests) for provider in providers] == [1, 1, 1, 0]


async def test_continue_goes_on_from_there() -> None:
    first = ScriptedProvider(["The tower ", "was bui", BUSY], name="a")
    second = ScriptedProvider(["was ", "built in ", "1889."], name="b")
    answer = await collect(client(first, second, policy=RetryPolicy(after_delta="continue")))
    assert answer.text == "The tower was built in 1889."
    assert second.requests[0].messages[1] == Message(role="assistant", content="The tower was bui")


@pytest.mark.parametrize("cut", range(1, len(TOLD)))
@pytest.mark.parametrize("again", [0, 12, 30, len(TOLD)], ids=["no", "a little", "more", "all"])
async def test_continue_says_nothing_twice(cut: int, again: int) -> None:
    first = ScriptedProvider([*TOLD[:cut], BUSY], name="a")
    second = ScriptedProvider(list(TOLD[max(cut - again, 0) :]), name="b")
    answer = await collect(client(first, second, policy=RetryPolicy(after_delta="continue")))
    assert answer.text == TOLD


async def test_replace_begins_again() -> None:
    first, second = ScriptedProvider(["The tow", BUSY], name="a"), ScriptedProvider(["Paris."], name="b")
    asked = client(first, second, policy=RetryPolicy(after_delta="replace"))
    assert (await collect(asked)).text == "Paris."
    assert (await whole(asked))[0].content == "Paris."
    assert len(second.requests[0].messages) == 1


async def test_what_was_called_before_the_replacement_is_not_run() -> None:
    first, second = (
        ScriptedProvider([*calls('{"a":1}')[:-1], BUSY], name="a"),
        ScriptedProvider(["4."], name="b"),
    )
    policy = RetryPolicy(after_delta="replace")
    answer = await collect(client(first, second, policy=policy), tools=[add])
    assert (answer.text, answer.tool_calls) == ("4.", [])
    assert len(second.requests) == 1


async def test_a_call_that_was_made_is_not_continued() -> None:
    first, second = ScriptedProvider([calls("{}")[1], BUSY], name="a"), ScriptedProvider(["4."], name="b")
    answer = await collect(client(first, second, policy=RetryPolicy(after_delta="continue")))
    assert answer.error is not None
    assert not second.requests


async def test_a_failure_says_how_long_to_wait() -> None:
    limited = ProviderError("slow", code=ErrorCode.UPSTREAM_RATE_LIMITED, retryable=True, retry_after=7.0)
    inner = client(ScriptedProvider([limited]), policy=RetryPolicy(max_attempts=1))

    async def ask(request: ChatRequest) -> AsyncGenerator[str | StreamEvent, None]:
        async for event in inner.chat_completion(request.messages):
            yield event

    answer = await collect(client(GeneratorProvider(ask)))
    assert answer.error is not None
    assert answer.error.retry_after == 7.0


@pytest.mark.parametrize(
    "script", [[], [""], [StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="length")]]
)
async def test_an_empty_answer_is_no_success(script: list[Any]) -> None:
    answer = await collect(client(ScriptedProvider([line for line in script if line != ""])))
    assert answer.error is not None
    assert answer.error.code == "upstream_empty"


async def test_an_answer_that_just_ends_is_no_success() -> None:
    class Silent(ScriptedProvider):
        async def attempt(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
            async for event in super().attempt(request):
                if not event.terminal:
                    yield event

    answer = await collect(client(Silent(["Hi"])))
    assert answer.error is not None
    assert answer.error.code == "upstream_truncated"


# --- generators


async def test_any_generator_is_a_provider() -> None:
    async def echo(request: ChatRequest) -> AsyncGenerator[str | StreamEvent, None]:
        yield "You said "
        yield request.messages[-1].text

    assert (await collect(LLMClient.from_generator(echo))).text == "You said Hello?"


async def test_what_is_no_generator_is_refused() -> None:
    async def forgot_to_yield(request: ChatRequest) -> str:
        return request.messages[-1].text

    with pytest.raises(ConfigError, match=r"forgot_to_yield returned a coroutine.*`yield`"):
        await collect(LLMClient.from_generator(forgot_to_yield))  # type: ignore[arg-type] # that is the point


async def test_leaving_while_tools_run_stops_them() -> None:
    running, stopped = asyncio.Event(), asyncio.Event()

    async def wait(a: int) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    asked = client(ScriptedProvider(calls('{"a":1}', name="wait"), ["Never."]))
    task = asyncio.create_task(collect(asked, tools=[wait]))
    async with asyncio.timeout(5):
        await running.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert stopped.is_set()


async def test_a_client_can_stand_on_a_client() -> None:
    inner = client(ScriptedProvider(["Hi"], [BUSY]), policy=RetryPolicy(max_attempts=1))

    async def ask(request: ChatRequest) -> AsyncGenerator[str | StreamEvent, None]:
        async for event in inner.chat_completion(request.messages):
            yield event

    outer = client(GeneratorProvider(ask), policy=RetryPolicy(max_attempts=1))
    assert (await collect(outer)).text == "Hi"
    answer = await collect(outer)
    assert answer.error is not None
    assert (answer.error.code, answer.error.message) == ("upstream_unavailable", "busy")


@pytest.mark.parametrize(
    ("piece", "code"),
    [
        (42, "upstream_protocol"),
        (StreamEvent(type=EventType.INTERRUPTED), "upstream_protocol"),
        (ZeroDivisionError("sk-secret-123456"), "upstream_error"),
    ],
)
async def test_what_a_generator_may_not_do(piece: Any, code: str) -> None:
    async def broken(request: ChatRequest) -> AsyncGenerator[Any, None]:
        if isinstance(piece, Exception):
            raise piece
        yield piece

    answer = await collect(LLMClient.from_generator(broken))
    assert answer.error is not None
    assert answer.error.code == code
    assert "sk-secret" not in answer.error.message


async def test_what_fails_beside_the_model_is_an_ending_too() -> None:
    async def searching(request: ChatRequest) -> AsyncGenerator[str, None]:
        yield "Let me look. "
        raise RetrievalFailed("the index is gone")

    answer = await collect(LLMClient.from_generator(searching))
    assert answer.text == "Let me look. "
    assert answer.error is not None
    assert answer.error.code == "retrieval_failed"


async def test_leaving_closes_the_generator_at_once() -> None:
    provider = ScriptedProvider(["a", "b", "c"])
    events = client(provider).chat_completion(ASK)
    async for event in events:
        if event.text_delta:
            break
    assert provider.open == 1
    await events.aclose()
    assert provider.open == 0


async def test_a_cancelled_wait_is_a_cancellation_and_not_a_timeout() -> None:
    async def forever(seconds: float) -> None:
        await asyncio.Event().wait()

    provider = ScriptedProvider(["a", 1.0], pause=forever)
    task = asyncio.create_task(collect(client(provider, timeouts=Timeouts(between_tokens=30))))
    async with asyncio.timeout(5):
        while not provider.open:  # noqa: ASYNC110 - the provider has no event to wait for
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert provider.open == 0


async def test_each_token_gives_the_next_one_its_own_time() -> None:
    provider = ScriptedProvider([0.05, "a"] * 30)  # longer in all than may pass between two
    answer = await collect(client(provider, timeouts=Timeouts(first_token=1, between_tokens=1)))
    assert answer.text == "a" * 30


async def test_what_came_while_the_loop_was_held_up_came_in_time() -> None:
    loop = asyncio.get_running_loop()

    async def held_up(seconds: float) -> None:
        here = loop.create_future()
        loop.call_later(0.02, here.set_result, None)
        loop.call_later(0.01, time.sleep, 0.1)  # somebody else's fault
        await here

    provider = ScriptedProvider([1.0, "a", 1.0, "b"], pause=held_up)
    answer = await collect(client(provider, timeouts=Timeouts(first_token=0.03, between_tokens=0.03)))
    assert (answer.text, answer.error) == ("ab", None)


async def test_a_timeout_leaves_the_task_uncancelled() -> None:
    async def forever(seconds: float) -> None:
        await asyncio.Event().wait()

    provider = ScriptedProvider([1.0], ["Hi"], pause=forever)
    answer = await collect(client(provider, timeouts=Timeouts(first_token=0.05)))
    assert answer.text == "Hi"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


# --- tools


def calls(*arguments: str, name: str = "add") -> list[Any]:
    events: list[StreamEvent] = []
    for index, given in enumerate(arguments):
        piece = ToolCallDelta(index=index, id=f"c{index}", name=name, arguments=given)
        events.append(StreamEvent(type=EventType.TOOL_CALL_DELTA, tool_call_delta=piece))
    for index, given in enumerate(arguments):
        call = ToolCall(id=f"c{index}", name=name, arguments=given)
        events.append(StreamEvent(type=EventType.TOOL_CALL, tool_call=call))
    used = Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2)
    return [*events, StreamEvent(type=EventType.MESSAGE_COMPLETE, finish_reason="tool_calls", usage=used)]


def add(a: Annotated[int, Field(description="the first")], b: int = 1) -> int:
    """Add two numbers."""
    return a + b


async def test_tools_are_run_until_there_is_an_answer() -> None:
    provider = ScriptedProvider(["Let me see. ", *calls('{"a":1,"b":2}', '{"a":5}')], ["3 and 6."])
    answer = await collect(client(provider), tools=[add])
    assert answer.text == "Let me see. 3 and 6."
    assert [call.id for call in answer.tool_calls] == ["c0", "c1"]
    told = provider.requests[1].messages
    assert [message.role for message in told] == ["user", "assistant", "tool", "tool"]
    assert [message.content for message in told[1:]] == ["Let me see. ", "3", "6"]
    assert answer.usage == Usage(prompt_tokens=7, completion_tokens=2, total_tokens=9)
    spec = provider.requests[0].tools[0]
    assert (spec.name, spec.description) == ("add", "Add two numbers.")
    assert spec.parameters["properties"]["a"]["description"] == "the first"
    assert spec.parameters["required"] == ["a"]


async def test_parallel_calls_run_side_by_side() -> None:
    both = asyncio.Barrier(2)

    async def meet(a: int) -> str:
        await both.wait()
        return f"met {a}"

    provider = ScriptedProvider(calls('{"a":1}', '{"a":2}', name="meet"), ["Done."])
    assert (await collect(client(provider), tools=[meet])).text == "Done."
    assert [m.content for m in provider.requests[1].messages[2:]] == ["met 1", "met 2"]


async def _slow(a: int) -> None:
    await asyncio.Event().wait()


async def _cancelled(a: int) -> None:
    raise asyncio.CancelledError


def _large(a: int) -> str:
    return "x" * 100_000


def _broken(a: int) -> str:
    raise ValueError("no such thing")


@pytest.mark.parametrize(
    ("function", "arguments", "told"),
    [
        (add, '{"a":"one"}', "Wrong arguments: a: Input should be a valid integer"),
        (add, '{"a":1,"c":2}', "Wrong arguments: c: Extra inputs are not permitted"),
        (add, "{", "Wrong arguments: Invalid JSON"),
        (_slow, '{"a":1}', "add took longer than 0.05 s."),
        (_broken, '{"a":1}', "ValueError: no such thing"),
        (_cancelled, '{"a":1}', "add was cancelled."),
        (_large, '{"a":1}', "xxx"),
    ],
)
async def test_a_failing_tool_is_a_result(function: Any, arguments: str, told: str) -> None:
    provider = ScriptedProvider(calls(arguments), ["Sorry."])
    asked = client(provider, tool_timeout=0.05 if function is _slow else 5)
    assert (await collect(asked, tools=[Tool(function, name="add")])).text == "Sorry."
    content = provider.requests[1].messages[-1].text
    assert content.startswith(told)
    assert len(content) <= 32_768


def odd(schema: str, copy: int, _x: int, model_config: Annotated[str, Field(description="odd")] = "d") -> str:
    return f"{schema} {copy} {_x} {model_config}"


async def test_an_argument_may_have_any_name() -> None:
    tool = Tool(odd)
    assert list(tool.spec.parameters["properties"]) == ["schema", "copy", "_x", "model_config"]
    assert tool.spec.parameters["properties"]["model_config"]["description"] == "odd"
    assert tool.spec.parameters["required"] == ["schema", "copy", "_x"]
    assert await tool.call('{"schema":"s","copy":1,"_x":2}') == "s 1 2 d"


async def test_a_tool_may_be_decorated() -> None:
    async def add_later(a: int) -> int:
        return a + 1

    @functools.wraps(add_later)
    def decorated(**given: Any) -> Any:
        return add_later(**given)

    provider = ScriptedProvider(calls('{"a":1}'), ["Two."])
    await collect(client(provider), tools=[Tool(decorated, name="add")])
    assert provider.requests[1].messages[-1].content == "2"


async def test_an_unknown_tool_is_a_result() -> None:
    provider = ScriptedProvider(calls("{}", name="hallucinated"), ["Sorry."])
    await collect(client(provider), tools=[add])
    assert provider.requests[1].messages[-1].content == "There is no tool 'hallucinated'."


async def test_rounds_are_bounded() -> None:
    answer = await collect(client(ScriptedProvider(calls('{"a":1}')), max_tool_rounds=2), tools=[add])
    assert answer.error is not None
    assert answer.error.code == "tool_rounds_exceeded"


@pytest.mark.parametrize(
    "how",
    [
        {"tools": [add], "run_tools": False},
        {"tools": [ToolSpec(name="add", description="", parameters={})]},
    ],
)
async def test_calls_are_handed_over(how: dict[str, Any]) -> None:
    answer = await collect(client(ScriptedProvider(calls('{"a":1}'))), **how)
    assert answer.finish_reason == "tool_calls"
    assert [call.arguments for call in answer.tool_calls] == ['{"a":1}']
    call, completion = await whole(client(ScriptedProvider(calls('{"a":1}'))), **how)
    assert (call.type, completion.finish_reason) == (EventType.TOOL_CALL, "tool_calls")


def _untyped(a) -> None: ...  # type: ignore[no-untyped-def] # that is the point


@pytest.mark.parametrize("wrong", [_untyped, print, functools.partial(add, 1)])
def test_a_tool_without_hints_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError):
        Tool(wrong)


# --- money, and what a provider cannot take


async def test_usage_carries_the_cost() -> None:
    asked = client(ScriptedProvider(["a", "b"]), prices={"scripted-1": Price(prompt=1e6, completion=2e6)})
    answer = await collect(asked)
    assert answer.usage is not None
    assert answer.usage.cost == 1 + 2 * 2


@pytest.mark.parametrize(("budget", "text"), [(1.0, "dear"), (0.01, "cheap"), (1e-9, "")])
async def test_the_budget_is_held_before_the_call(budget: float, text: str) -> None:
    dear = ScriptedProvider(["dear"], name="a", model="dear")
    cheap = ScriptedProvider(["cheap"], name="b", model="cheap")
    prices = {"dear": Price(prompt=100, completion=100), "cheap": Price(prompt=0.1, completion=0.1)}
    answer = await collect(client(dear, cheap, prices=prices, budget=budget))
    assert answer.text == text
    if not text:
        assert answer.error is not None
        assert answer.error.code == "over_budget"
        assert not dear.requests + cheap.requests


@pytest.mark.parametrize("others", [0, 1])
async def test_a_named_model_without_a_price_does_not_escape_the_budget(others: int) -> None:
    free, priced = ScriptedProvider(["free"], name="a"), ScriptedProvider(["priced"], name="b", model="m")
    prices = {"m": Price(prompt=1, completion=1)}
    asked = client(*[free, priced][: 1 + others], prices=prices, budget=1.0)
    assert (await collect(asked)).text == "free"  # set up without a price, so it costs nothing
    answer = await collect(asked, model="dear-and-unknown")
    assert answer.text == ("priced" if others else "")
    assert len(free.requests) == 1
    if not others:
        assert answer.error is not None
        assert answer.error.code == "over_budget"
        assert "has no price" in answer.error.message


PICTURE = Message(role="user", content=(ImagePart(ImageURL("https://example.org/a.png")),))
PAPER = Message(role="user", content=(FilePart(FileRef(file_id="f1")),))


@pytest.mark.parametrize(
    ("messages", "options", "words"),
    [
        ([PICTURE], Options(), "images; messages[0] has one"),
        ([PAPER], Options(), "files; messages[0] has one"),
        ([Message(role="tool", content="1", tool_call_id="c")], Options(), "tool calls and results"),
        ([Message(role="user", content="x")], Options(extras={"n": 2}), "option n"),
        ([Message(role="user", content="x")], Options(extras={"stream": False}), "extra option stream"),
    ],
)
def test_what_a_provider_cannot_take_is_refused_by_name(
    messages: Sequence[Message], options: Options, words: str
) -> None:
    request = ChatRequest(messages=tuple(messages), options=options)
    with pytest.raises(ProviderError, match=r"p cannot take") as refusal:
        chat_body(request, provider="p", model="m", takes=())
    assert words in str(refusal.value)
    assert refusal.value.code == "unsupported_input"


def test_messages_travel_in_the_shape_of_openai() -> None:
    conversation: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "1", "tool_call_id": "c"},
    ]
    body = chat_body(ChatRequest(messages=read_messages(conversation)), provider="p", model="m")
    assert json.loads(json.dumps(body)) == {"model": "m", "messages": conversation}


@pytest.mark.parametrize(
    ("messages", "path"),
    [
        ([], "messages"),
        ("Hello", "messages"),
        ([{"role": "pirate", "content": "x"}], "messages[0]"),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [{}]}], "messages[1]"),
        ([7], "messages[0]"),
    ],
)
def test_a_wrong_message_is_named(messages: Any, path: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        read_messages(messages)
    assert refusal.value.path == path


# --- set-up, and what operators see


def test_the_environment_is_read_and_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("RAGSTREAM_MODEL", "m")
    provider = LLMClient().providers[0]
    assert isinstance(provider, OpenAIProvider)
    assert (provider.model, provider.base_url, provider.name) == ("m", "http://127.0.0.1:1/v1", "127.0.0.1:1")
    assert LLMClient("other", base_url="http://127.0.0.1:2").model == "other"
    assert "k" not in repr(provider).split("'")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"base_url": "localhost:8000"},
        {"base_url": "http://127.0.0.1:99999"},
        {"base_url": "http://[::1"},
        {"providers": []},
        {"providers": [ScriptedProvider(), ScriptedProvider()]},
        {"providers": [ScriptedProvider()], "model": "m"},
    ],
)
def test_a_wrong_set_up_is_refused(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError):
        LLMClient(**settings)


@pytest.mark.parametrize("wrong", ["schlüssel-secret", "secret\nx: y", "secret\0"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(wrong: str) -> None:
    with pytest.raises(ConfigError, match="API key") as refusal:
        OpenAIProvider("m", api_key=wrong, base_url="http://127.0.0.1:1/v1")
    assert "secret" not in str(refusal.value)


def test_an_address_is_shown_without_its_password() -> None:
    provider = OpenAIProvider("m", base_url="http://me:secret@127.0.0.1:1/v1")
    assert "secret" not in repr(provider) + provider.name
    with pytest.raises(ConfigError) as refusal:
        OpenAIProvider("m", base_url="htp://me:secret@127.0.0.1:99999/v1")
    assert "secret" not in str(refusal.value)


def test_only_a_provider_on_the_sdk_has_its_client() -> None:
    with pytest.raises(ConfigError):
        client(ScriptedProvider()).get_client()


async def test_each_attempt_is_in_log_and_metric(caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    asked = client(ScriptedProvider([BUSY], ["Hi"]), observers=[PrometheusObserver(registry)])
    with caplog.at_level(logging.INFO, "ragstream.llm"):
        await collect(asked)
    assert [getattr(record, "outcome", None) for record in caplog.records] == [
        "upstream_unavailable",
        "complete",
    ]
    for outcome in ("upstream_unavailable", "complete"):
        labels = {"provider": "scripted", "outcome": outcome}
        assert registry.get_sample_value("ragstream_llm_attempts_total", labels) == 1


async def test_what_the_open_circuit_refuses_is_seen_too() -> None:
    registry = CollectorRegistry()
    asked = client(ScriptedProvider([BUSY]), observers=[PrometheusObserver(registry)])
    for _ in range(2):
        await collect(asked)
    assert len(asked.providers[0].requests) == 5  # type: ignore[attr-defined]
    labels = {"provider": "scripted", "outcome": "upstream_unavailable"}
    assert registry.get_sample_value("ragstream_llm_attempts_total", labels) == 6


def test_importing_the_room_does_not_import_the_sdk() -> None:
    look = "import sys, ragstream.llm; ragstream.llm.LLMClient; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
