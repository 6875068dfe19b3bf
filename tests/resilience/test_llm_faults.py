"""A provider that misbehaves over a real socket: one typed error each, never success, never a hang."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import openai
import pytest

from ragstream.errors import ConfigError, ErrorCode, ProviderError
from ragstream.events import Answer, EventType, StreamEvent
from ragstream.llm import LLMClient, OpenAIProvider, RetryPolicy, Timeouts

KEY = "swordfish"  # as a key that does not look like one
ASK = [{"role": "user", "content": "Hello?"}]
ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(upstream: Any, pauses: list[float]) -> Callable[..., LLMClient]:
    """Make a client of the upstream that notes how long it would wait instead of waiting."""

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    def make(**settings: Any) -> LLMClient:
        provider = OpenAIProvider("m", api_key=KEY, base_url=upstream.url, name="up")
        usual: dict[str, Any] = {"providers": [provider], "pause": pause, "jitter": lambda: 0.5}
        return LLMClient(**(usual | settings))

    return make


async def collect(client: LLMClient) -> tuple[list[StreamEvent], Answer]:
    """Return the events of one answer, having held them against the grammar."""
    answer, events = Answer(), []
    async with asyncio.timeout(20):
        async for event in client.chat_completion(ASK):
            answer.apply(event)
            events.append(event)
    assert answer.ending is events[-1]
    assert KEY not in repr(events)
    return events, answer


def code(answer: Answer) -> str:
    assert answer.error is not None, f"ended as {answer.ending}"
    return answer.error.code


# --- cuts


@pytest.mark.parametrize("how", ["fin", "chunked", "reset"])
async def test_cut_at_many_bytes(upstream: Any, client: Callable[..., LLMClient], how: str) -> None:
    await _cut(upstream, client, how, count=20, step=1 if how == "fin" else 7)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", ["fin", "chunked", "reset"])
async def test_cut_at_every_byte(upstream: Any, client: Callable[..., LLMClient], how: str) -> None:
    await _cut(upstream, client, how, count=57, step=1)  # 60 events


async def _cut(upstream: Any, client: Callable[..., LLMClient], how: str, *, count: int, step: int) -> None:
    words = [f"w{n} 🙂 " for n in range(count)]
    events = [*(upstream.chunk(word) for word in words), upstream.chunk(finish_reason="stop")]
    events += [upstream.data({"choices": [], "usage": {"prompt_tokens": 1}}), b"data: [DONE]\n\n"]
    ends = list(itertools.accumulate(len(event) for event in events))
    body = b"".join(events)
    head = upstream.HEAD
    if how == "chunked":
        head = head.replace(b"connection", b"transfer-encoding: chunked\r\nconnection")
        head += b"%x\r\n" % len(body)
    for cut in range(0, len(body), step):
        upstream.answers = [[head, body[:cut], *([upstream.RESET] if how == "reset" else [])]]
        _, answer = await collect(client(policy=ONCE))
        whole = sum(cut >= end - 2 for end in ends)  # without its blank line an event is still whole
        if how == "fin":
            assert answer.text == "".join(words[:whole]), cut
            assert (answer.finish_reason == "stop") == (whole > len(words)), cut
        assert "".join(words).startswith(answer.text), cut
        if answer.finish_reason is None:
            assert code(answer) in {"upstream_truncated", "upstream_unreachable"}, cut
        else:
            assert whole > len(words), cut


async def test_a_finish_reason_is_enough(upstream: Any, client: Callable[..., LLMClient]) -> None:
    upstream.answers = [
        [upstream.HEAD, upstream.chunk("Hi"), upstream.chunk(finish_reason="stop"), upstream.RESET]
    ]
    _, answer = await collect(client())
    assert (answer.text, answer.finish_reason) == ("Hi", "stop")


async def test_what_follows_done_is_not_read(upstream: Any, client: Callable[..., LLMClient]) -> None:
    upstream.say("Hi")
    upstream.answers[0] += [upstream.chunk("more"), b"data: {broken\n\n", upstream.STALL]
    _, answer = await collect(client())
    assert (answer.text, answer.finish_reason) == ("Hi", "stop")
    await upstream.all_left()


# --- malformed

PLAIN = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"
HTML = PLAIN + b"content-type: text/html\r\n\r\n<html>Sign in</html>"
SSE = PLAIN + b"content-type: text/event-stream\r\n\r\n"
HI = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'

MALFORMED: dict[str, tuple[bytes, ErrorCode, str]] = {
    "bad json": (SSE + HI + b"data: {\n\n", ErrorCode.UPSTREAM_PROTOCOL, "Hi"),
    "not an object": (SSE + HI + b"data: [1]\n\n", ErrorCode.UPSTREAM_PROTOCOL, "Hi"),
    "html": (HTML, ErrorCode.UPSTREAM_PROTOCOL, ""),
    "html as event stream": (SSE + b"<html>\n<body>\n\n</html>\n", ErrorCode.UPSTREAM_PROTOCOL, ""),
    "json": (PLAIN + b"content-type: application/json\r\n\r\n{}", ErrorCode.UPSTREAM_PROTOCOL, ""),
    "json error": (
        PLAIN + b'content-type: application/json\r\n\r\n{"error":{"message":"no"}}',
        ErrorCode.UPSTREAM_ERROR,
        "",
    ),
    "error object": (SSE + HI + b'data: {"error":{"message":"no"}}\n\n', ErrorCode.UPSTREAM_ERROR, "Hi"),
    "error with the key": (
        SSE + b'data: {"error":{"message":"Bad key: ' + KEY.encode() + b'"}}\n\n',
        ErrorCode.UPSTREAM_ERROR,
        "",
    ),
    "bare error": (SSE + b'{"error":"no"}\n\n', ErrorCode.UPSTREAM_ERROR, ""),
    "finish reason error": (
        SSE + HI + b'data: {"choices":[{"delta":{},"finish_reason":"error"}]}\n\n',
        ErrorCode.UPSTREAM_ERROR,
        "Hi",
    ),
    "NUL": (SSE + HI + b'data: {"choices":\0[]}\n\n', ErrorCode.UPSTREAM_PROTOCOL, "Hi"),
    "invalid UTF-8": (
        SSE + HI + b'data: {"choices":[{"delta":{"content":"\xff\xfe"}}]}\n\n',
        ErrorCode.UPSTREAM_PROTOCOL,
        "Hi",
    ),
    "deep JSON": (SSE + HI + b'data: {"x":' + b"[" * 500_000 + b"\n\n", ErrorCode.UPSTREAM_PROTOCOL, "Hi"),
    "compressed, unasked": (
        PLAIN + b"content-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n" + HI,
        ErrorCode.UPSTREAM_PROTOCOL,
        "",
    ),
    "several choices": (
        SSE + HI + b'data: {"choices":[{"index":1,"delta":{"content":"Ho"}}]}\n\n',
        ErrorCode.UPSTREAM_PROTOCOL,
        "Hi",
    ),
    "done without finish": (SSE + HI + b"data: [DONE]\n\n", ErrorCode.UPSTREAM_TRUNCATED, "Hi"),
    "empty": (
        SSE + b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
        ErrorCode.UPSTREAM_EMPTY,
        "",
    ),
    "nothing": (SSE, ErrorCode.UPSTREAM_TRUNCATED, ""),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\nconnection: close\r\n\r\n", ErrorCode.UPSTREAM_PROTOCOL, ""),
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("size", [1 << 20, 1], ids=["whole", "byte by byte"])
async def test_malformed(upstream: Any, client: Callable[..., LLMClient], name: str, size: int) -> None:
    answered, expected, said = MALFORMED[name]
    if size == 1 and len(answered) > 10_000:
        size = 4096
    upstream.answers = [[answered[n : n + size] for n in range(0, len(answered), size)]]
    _, answer = await collect(client(policy=ONCE))
    assert (code(answer), answer.text) == (expected, said)
    await upstream.all_left()


async def test_a_line_without_end_is_cut_off(upstream: Any, client: Callable[..., LLMClient]) -> None:
    flood = itertools.repeat(b"x" * 65_536, 1024)
    upstream.answers = [[upstream.HEAD, HI, b'data: {"x":"', *flood]]
    tracemalloc.start()
    _, answer = await collect(client(policy=ONCE))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 16 << 20
    assert (code(answer), answer.text) == ("upstream_protocol", "Hi")
    await upstream.all_left()


async def test_half_a_character_does_not_spoil_the_question(
    upstream: Any, client: Callable[..., LLMClient]
) -> None:
    upstream.say("Hi")
    async for event in client().chat_completion([{"role": "user", "content": "a \ud83d b"}]):
        assert event.error is None
    assert upstream.bodies[0]["messages"] == [{"role": "user", "content": "a \ufffd b"}]


async def test_an_endless_error_page_is_left(upstream: Any, client: Callable[..., LLMClient]) -> None:
    head = b"HTTP/1.1 400 No\r\nconnection: close\r\n\r\n"
    upstream.answers = [itertools.chain([head], itertools.repeat(b"x" * 65_536))]
    _, answer = await collect(client())
    assert code(answer) == "upstream_rejected"
    await upstream.all_left()


GOOD = {
    "byte order mark": b"\xef\xbb\xbf" + HI,
    "CR only": HI.replace(b"\n", b"\r"),
    "CRLF": HI.replace(b"\n", b"\r\n"),
    "comments": b": OPENROUTER PROCESSING\n\n: ping\n" + HI,
    "other fields": b"event: message\nid: 7\nretry: 10\n" + HI,
    "no space": HI.replace(b"data: ", b"data:"),
    "two data lines": b'data: {"choices":\ndata: [{"delta":{"content":"Hi"}}]}\n\n',
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("size", [1 << 20, 1], ids=["whole", "byte by byte"])
async def test_unusual_and_right(
    upstream: Any, client: Callable[..., LLMClient], name: str, size: int
) -> None:
    answered = GOOD[name] + upstream.chunk(finish_reason="stop") + b"data: [DONE]\n\n"
    upstream.answers = [[upstream.HEAD, *(answered[n : n + size] for n in range(0, len(answered), size))]]
    _, answer = await collect(client(policy=ONCE))
    assert (answer.text, answer.finish_reason) == ("Hi", "stop")


async def test_a_wrong_content_type_does_not_matter(upstream: Any, client: Callable[..., LLMClient]) -> None:
    upstream.say("Hi")
    upstream.answers[0][0] = upstream.HEAD.replace(b"text/event-stream", b"application/octet-stream")
    _, answer = await collect(client(policy=ONCE))
    assert answer.text == "Hi"


# --- in one piece

WHOLE = b'{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}'
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"


async def whole(client: LLMClient) -> StreamEvent:
    """Return the one event of an answer that is not streamed."""
    async with asyncio.timeout(20):
        [event] = [event async for event in client.chat_completion(ASK, stream=False)]
    return event


async def test_whoever_wants_no_stream_asks_for_none(upstream: Any, client: Callable[..., LLMClient]) -> None:
    upstream.answers = [[JSON, WHOLE]]
    event = await whole(client())
    assert (event.content, event.finish_reason) == ("Hi", "stop")
    assert upstream.bodies[0]["stream"] is False
    assert "stream_options" not in upstream.bodies[0]


async def test_a_server_may_stream_or_not_whatever_it_was_asked(
    upstream: Any, client: Callable[..., LLMClient]
) -> None:
    upstream.answers = [[JSON, WHOLE]]
    _, answer = await collect(client())
    assert (answer.text, answer.finish_reason) == ("Hi", "stop")
    assert upstream.bodies[0]["stream"] is True
    upstream.answers = [[upstream.HEAD, HI, upstream.chunk(finish_reason="stop")]]
    assert (await whole(client())).content == "Hi"


async def test_an_answer_in_one_piece_may_be_cut(upstream: Any, client: Callable[..., LLMClient]) -> None:
    upstream.answers = [[JSON, WHOLE[:50]]]
    event = await whole(client(policy=ONCE))
    assert event.error is not None
    assert (event.error.code, event.content) == ("upstream_truncated", None)


async def test_only_the_total_bounds_the_wait_for_one_piece(
    upstream: Any, client: Callable[..., LLMClient]
) -> None:
    upstream.answers = [[upstream.STALL]]
    event = await whole(client(timeouts=Timeouts(first_token=0.05, between_tokens=0.05, total=0.3)))
    assert event.error is not None
    assert event.error.code == "upstream_total_timeout"
    await upstream.all_left()


# --- silence

FIRST, BETWEEN = Timeouts(first_token=0.3, between_tokens=99), Timeouts(first_token=99, between_tokens=0.2)
SILENCE = {
    "before the head": ([], ErrorCode.UPSTREAM_FIRST_TOKEN_TIMEOUT),
    "before the first token": ([SSE], ErrorCode.UPSTREAM_FIRST_TOKEN_TIMEOUT),
    "pings are no tokens": ([SSE, b": ping\n\n" * 5], ErrorCode.UPSTREAM_FIRST_TOKEN_TIMEOUT),
    "between tokens": ([SSE, HI], ErrorCode.UPSTREAM_TIMEOUT),
    "in the middle of a token": ([SSE, HI, HI[:20]], ErrorCode.UPSTREAM_TIMEOUT),
}


@pytest.mark.parametrize("name", SILENCE)
async def test_silence(upstream: Any, client: Callable[..., LLMClient], name: str) -> None:
    said, expected = SILENCE[name]
    upstream.answers = [[*said, upstream.STALL]]
    timeouts = BETWEEN if expected is ErrorCode.UPSTREAM_TIMEOUT else FIRST
    _, answer = await collect(client(policy=ONCE, timeouts=timeouts))
    assert code(answer) == expected
    await upstream.all_left()


async def test_total_time(upstream: Any, client: Callable[..., LLMClient]) -> None:
    upstream.answers = [[SSE, HI, upstream.STALL]]
    _, answer = await collect(client(policy=ONCE, timeouts=Timeouts(total=0.3)))
    assert code(answer) == "upstream_total_timeout"
    await upstream.all_left()


async def test_a_slow_reader_costs_the_provider_nothing(
    upstream: Any, client: Callable[..., LLMClient]
) -> None:
    upstream.say("one ", "two ", "three")
    caller = client(policy=ONCE, timeouts=Timeouts(first_token=5, between_tokens=0.05))
    text = ""
    async for event in caller.chat_completion(ASK):
        await asyncio.sleep(0.12)  # a reader that takes longer than the provider may
        text += event.text_delta.content if event.text_delta else ""
        assert event.type is not EventType.ERROR
    assert text == "one two three"


async def test_an_answer_that_comes_faster_than_it_is_read_comes_whole(
    upstream: Any, client: Callable[..., LLMClient]
) -> None:
    words = [f"{number} ".ljust(20_000, "x") for number in range(200)]  # more than all buffers take
    upstream.say(*words)
    text = ""
    async with asyncio.timeout(20):
        async for event in client(policy=ONCE).chat_completion(ASK):
            for _ in range(50):
                await asyncio.sleep(0)  # so that reading is paused, again and again
            text += event.text_delta.content if event.text_delta else ""
    assert text == "".join(words)


async def test_a_finished_answer_is_not_spoilt_by_silence(
    upstream: Any, client: Callable[..., LLMClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragstream.llm.openai._AFTER_FINISH", 0.1)
    upstream.answers = [[upstream.HEAD, HI, upstream.chunk(finish_reason="stop"), upstream.STALL]]
    _, answer = await collect(client())
    assert (answer.text, answer.finish_reason) == ("Hi", "stop")
    await upstream.all_left()


# --- refused, and tried again


def status(number: int, headers: str = "", content: bytes = b"{}") -> list[bytes]:
    head = f"HTTP/1.1 {number} X\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}\r\n"
    return [head.encode(), content]


@pytest.mark.parametrize(
    ("number", "expected", "calls"),
    [
        (400, "upstream_rejected", 1),
        (401, "upstream_auth", 1),
        (403, "upstream_auth", 1),
        (404, "upstream_rejected", 1),
        (408, "upstream_unavailable", 3),
        (409, "upstream_unavailable", 3),
        (429, "upstream_rate_limited", 3),
        (500, "upstream_unavailable", 3),
        (503, "upstream_unavailable", 3),
    ],
)
async def test_statuses(
    upstream: Any, client: Callable[..., LLMClient], number: int, expected: str, calls: int
) -> None:
    upstream.answers = [status(number, content=b'{"error":{"message":"because of sk-abcdefghijk"}}')]
    _, answer = await collect(client())
    assert (code(answer), len(upstream.heads)) == (expected, calls)
    assert answer.error is not None
    assert "because of ***" in answer.error.message


async def test_the_third_attempt_succeeds_unseen(
    upstream: Any, client: Callable[..., LLMClient], pauses: list[float]
) -> None:
    upstream.say("Hi")
    upstream.answers = [status(503), status(429, "retry-after: 7\r\n"), *upstream.answers]
    events, answer = await collect(client())
    assert answer.text == "Hi"
    assert [event.type for event in events][:2] == [EventType.MESSAGE_START, EventType.TEXT_DELTA]
    assert pauses == [0.25, 7.25]  # half of 0.5 s, then what was asked for, and a little


async def test_retry_after_is_capped(
    upstream: Any, client: Callable[..., LLMClient], pauses: list[float]
) -> None:
    upstream.answers = [status(429, "retry-after: 3600\r\n")]
    await collect(client())
    assert pauses == [20.0, 20.0]


async def test_nothing_is_tried_again_after_the_first_delta(
    upstream: Any, client: Callable[..., LLMClient]
) -> None:
    upstream.answers = [[upstream.HEAD, HI, upstream.RESET]]
    _, answer = await collect(client())
    assert (code(answer), answer.text, len(upstream.heads)) == ("upstream_truncated", "Hi", 1)


@pytest.fixture
async def refusing() -> str:
    """The address of a port where nobody listens."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    return f"http://127.0.0.1:{port}/v1"


@pytest.mark.parametrize("host", ["refused", "unknown"])
async def test_unreachable(client: Callable[..., LLMClient], refusing: str, host: str) -> None:
    url = refusing if host == "refused" else "http://nowhere.invalid/v1"
    _, answer = await collect(client(providers=[OpenAIProvider("m", base_url=url, name="up")]))
    assert code(answer) == "upstream_unreachable"
    assert answer.error is not None
    assert ("refused the connection" if host == "refused" else "host name is unknown") in answer.error.message


async def test_a_connection_that_is_not_accepted_in_time(client: Callable[..., LLMClient]) -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # more than its queue takes: whoever comes now is not answered
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        provider = OpenAIProvider("m", base_url=url, name="up", connect_timeout=0.2)
        async with asyncio.timeout(3):  # less than the HTTP client's own patience
            _, answer = await collect(client(providers=[provider], policy=ONCE))
    assert code(answer) == "upstream_connect_timeout"


async def test_a_request_has_the_head_that_the_environment_asks_for(
    upstream: Any, client: Callable[..., LLMClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gate: open sesame")
    upstream.say("Hi")
    for key in ("sk-1", None):
        await collect(client(providers=[OpenAIProvider("m", api_key=key, base_url=upstream.url)]))
    keyed, without = (head.lower() for head in upstream.heads)
    for head in (keyed, without):
        assert b"openai-organization: org-1\r\n" in head
        assert b"x-gate: open sesame\r\n" in head
        assert b"accept-encoding: identity\r\n" in head
    assert b"authorization: bearer sk-1\r\n" in keyed
    assert b"authorization" not in without


async def test_a_head_that_cannot_be_sent_is_told_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_PROJECT_ID", "Köln")
    provider = OpenAIProvider("m", api_key="sk-1", base_url="http://127.0.0.1:9/v1")
    for _ in range(2):
        with pytest.raises(ConfigError, match="OPENAI_PROJECT_ID"):
            provider.get_client()


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_the_proxy_that_the_environment_names_is_asked(
    upstream: Any, client: Callable[..., LLMClient], monkeypatch: pytest.MonkeyPatch, name: str, scheme: str
) -> None:
    _unset_proxies(monkeypatch)
    host = upstream.url.removeprefix("http://").removesuffix("/v1")
    monkeypatch.setenv(name, f"{scheme}ann:secret@{host}")
    upstream.say("Hi")
    there = OpenAIProvider("m", api_key=KEY, base_url="http://models.invalid/v1")
    _, answer = await collect(client(providers=[there]))
    assert answer.text == "Hi"
    [head] = upstream.heads
    assert head.startswith(b"POST http://models.invalid/v1/chat/completions HTTP/1.1\r\n")
    assert b"\r\nproxy-authorization: basic yw5uonnly3jlda==\r\n" in head.lower()


@pytest.mark.parametrize(
    "spared", ["127.0.0.1", "*", "localhost, 127.0.0.1", "localhost, *", "127.0.0.0/8", "*.0.0.1"]
)
async def test_what_the_environment_spares_the_proxy_is_asked_directly(
    upstream: Any, client: Callable[..., LLMClient], monkeypatch: pytest.MonkeyPatch, spared: str
) -> None:
    _unset_proxies(monkeypatch)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    _, through = await collect(client(policy=ONCE))
    monkeypatch.setenv("NO_PROXY", spared)
    upstream.say("Hi")
    _, directly = await collect(client(policy=ONCE))
    assert (code(through), directly.text) == ("upstream_unreachable", "Hi")
    assert through.error is not None
    assert "its proxy" in through.error.message


async def test_a_proxy_of_another_kind_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    _unset_proxies(monkeypatch)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(ConfigError, match="NO_PROXY"):
        OpenAIProvider("m", base_url="http://models.invalid/v1")
    monkeypatch.setenv("NO_PROXY", "models.invalid")
    provider = OpenAIProvider("m", base_url="http://models.invalid/v1")
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1080")  # which the SDK's client does not know either
    with pytest.raises(ConfigError, match="NO_PROXY"):
        provider.get_client()


def _unset_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def test_a_user_in_the_base_url_is_named_to_the_server(upstream: Any) -> None:
    url = upstream.url.replace("//", "//ann:secret@")
    upstream.answers = [[JSON, b'{"data":[]}']]
    assert await OpenAIProvider("m", base_url=url).models() == []
    assert b"\r\nauthorization: basic yw5uonnly3jlda==\r\n" in upstream.heads[0].lower()
    with pytest.raises(ConfigError, match="names a user") as refusal:
        OpenAIProvider("m", api_key=KEY, base_url=url)
    assert "secret" not in str(refusal.value)


async def test_a_redirect_is_followed_with_the_question(
    upstream: Any, client: Callable[..., LLMClient]
) -> None:
    upstream.say("Hi")
    upstream.answers.insert(0, status(308, "location: /v2/chat/completions\r\n"))
    _, answer = await collect(client())
    assert answer.text == "Hi"
    assert upstream.heads[1].startswith(b"POST /v2/chat/completions ")
    assert upstream.bodies[0] == upstream.bodies[1] != {}


async def test_redirects_without_end_are_no_answer(upstream: Any, client: Callable[..., LLMClient]) -> None:
    upstream.answers = [status(308, "location: /v1/chat/completions\r\n")]
    _, answer = await collect(client())
    assert (code(answer), len(upstream.heads)) == ("upstream_protocol", 10)


@pytest.mark.parametrize("number", [200, 401])
async def test_the_key_stays_with_the_server_that_it_is_for(
    upstream: Any, client: Callable[..., LLMClient], number: int
) -> None:
    elsewhere = upstream.url.replace("127.0.0.1", "localhost")
    upstream.say("Hi")
    upstream.answers.insert(0, status(308, f"location: {elsewhere}/chat/completions\r\n"))
    if number == 401:
        upstream.answers[1] = status(401)
    _, answer = await collect(client())
    assert KEY.encode() in upstream.heads[0]
    assert KEY.encode() not in upstream.heads[1]
    if number == 401:
        assert answer.error is not None
        assert "set the base URL" in answer.error.message
    else:
        assert answer.text == "Hi"


async def test_a_redirect_to_no_url_is_no_answer(upstream: Any, client: Callable[..., LLMClient]) -> None:
    there = upstream.url.replace("//", "//ann:secret@")
    upstream.answers = [status(308, f"location: {there}/chat/completions\r\n")]
    _, answer = await collect(client())
    assert (code(answer), len(upstream.heads)) == ("upstream_protocol", 1)


async def test_a_cookie_is_not_sent_back(upstream: Any) -> None:
    upstream.say("Hi")
    upstream.answers[0][0] = upstream.HEAD.replace(b"\r\n\r\n", b"\r\nset-cookie: who=ann\r\n\r\n")
    named = upstream.url.replace("127.0.0.1", "localhost")  # no jar keeps the cookies of an address
    caller = LLMClient(providers=[OpenAIProvider("m", base_url=named)])
    await collect(caller)
    await collect(caller)
    assert len(upstream.heads) == 2
    assert b"who=ann" not in upstream.heads[1]


async def test_models_are_listed(upstream: Any) -> None:
    upstream.answers = [[JSON, b'{"object":"list","data":[{"id":"b","object":"model"},{"id":"a"}]}']]
    assert await OpenAIProvider(api_key=KEY, base_url=upstream.url).models() == ["a", "b"]
    assert upstream.heads[0].startswith(b"GET /v1/models ")
    assert f"Bearer {KEY}".encode() in upstream.heads[0]
    upstream.answers = [[JSON, b'{"data":null}']]
    assert await OpenAIProvider(api_key=KEY, base_url=upstream.url).models() == []


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        ([JSON, b'{"models":[]}'], "upstream_protocol"),
        ([JSON, b"\xff"], "upstream_protocol"),
        ([JSON, b'{"data":' + b"[" * 500_000], "upstream_protocol"),
        ([HTML], "upstream_protocol"),
        ([b"HTTP/1.1 401 No\r\nconnection: close\r\n\r\n" + KEY.encode()], "upstream_auth"),
        ([JSON.replace(b"connection: close", b"content-length: 99"), b"{"], "upstream_truncated"),
    ],
)
async def test_models_that_are_not_listed_have_an_error(
    upstream: Any, answered: list[bytes], expected: str
) -> None:
    upstream.answers = [answered]
    with pytest.raises(ProviderError) as caught:
        await OpenAIProvider(api_key=KEY, base_url=upstream.url).models()
    assert caught.value.code == expected
    assert KEY not in str(caught.value)
    await upstream.all_left()


async def test_the_sdks_own_client_raises_the_sdks_own_errors(upstream: Any) -> None:
    upstream.answers = [status(401)]
    provider = OpenAIProvider("m", api_key=KEY, base_url=upstream.url)
    with pytest.raises(openai.AuthenticationError):
        await provider.get_client().models.list()


async def test_cut_before_the_head_is_no_timeout(upstream: Any, client: Callable[..., LLMClient]) -> None:
    upstream.answers = [[upstream.RESET]]
    _, answer = await collect(client())
    assert (code(answer), len(upstream.heads)) == ("upstream_unreachable", 3)


async def test_the_circuit_opens_and_lets_one_try(upstream: Any, client: Callable[..., LLMClient]) -> None:
    now = [0.0]
    upstream.answers = [status(500)]
    caller = client(clock=lambda: now[0])
    for _ in range(3):
        await collect(caller)
    _, answer = await collect(caller)
    assert (code(answer), len(upstream.heads)) == ("upstream_unavailable", 5)
    assert answer.error is not None
    assert "left alone" in answer.error.message
    now[0] = 30.1
    await collect(caller)
    assert len(upstream.heads) == 6  # one probe, and open again
    upstream.say("Hi")
    now[0] = 60.3
    _, answer = await collect(caller)
    assert answer.text == "Hi"
    await collect(caller)
    assert len(upstream.heads) == 8


# --- leaving


async def no_more_tasks_than(before: set[asyncio.Task[Any]]) -> None:
    """Wait for what is being closed; a connection given up early may only now be accepted."""
    async with asyncio.timeout(5):
        while left := asyncio.all_tasks() - before:
            await asyncio.wait(left)


async def test_leaving_the_loop_closes_the_connection(
    upstream: Any, client: Callable[..., LLMClient]
) -> None:
    upstream.answers = [[upstream.HEAD, HI, upstream.STALL]]
    before = asyncio.all_tasks()
    async for event in client().chat_completion(ASK):
        if event.text_delta:
            break
    await upstream.all_left()
    await no_more_tasks_than(before)


async def test_random_cancellations(upstream: Any, client: Callable[..., LLMClient]) -> None:
    await _cancel_at_random(upstream, client(), rounds=300)


@pytest.mark.nightly
@pytest.mark.timeout(900)
async def test_ten_thousand_cancellations(upstream: Any, client: Callable[..., LLMClient]) -> None:
    await _cancel_at_random(upstream, client(), rounds=10_000)


async def _cancel_at_random(upstream: Any, client: LLMClient, *, rounds: int) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")  # noqa: T201 - shown if the test fails
    dice = random.Random(seed)
    words = [upstream.chunk(f"{n} ") for n in range(40)]
    upstream.answers = [[upstream.HEAD, *words, *ending] for ending in ([], [upstream.STALL])] * rounds
    before = asyncio.all_tasks()
    for start in range(0, rounds, 20):
        answers = [asyncio.create_task(_read(client)) for _ in range(min(20, rounds - start))]
        for answer in answers:
            for _ in range(dice.randrange(8)):
                await asyncio.sleep(0)
            await asyncio.sleep(dice.random() * 0.004)
            answer.cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(*answers, return_exceptions=True)
    await no_more_tasks_than(before)
    await upstream.all_left()


async def _read(client: LLMClient) -> None:
    async for _ in client.chat_completion(ASK):
        pass
