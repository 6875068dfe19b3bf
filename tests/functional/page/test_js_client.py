"""The resume client, ragstream.js: its parser against the standard, its events against the log."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from httpx_sse import EventSource
from playwright.async_api import Browser

ROOT = Path(__file__).parents[3]
CLIENT = ROOT / "src" / "ragstream" / "web" / "ragstream.js"
SECONDS = 20.0
QUESTION = {"messages": [{"role": "user", "content": "How do I stop an answer?"}]}

pytestmark = pytest.mark.asyncio(loop_scope="session")

Run = Callable[..., Awaitable[Any]]
Listening = Callable[..., AbstractAsyncContextManager[str]]


async def _in_node(body: str, address: str, **values: Any) -> Any:
    """Run the body of an async function in Node.js; it has the client's exports and the values."""
    names = ", ".join(values)
    script = f"""
      const {{ Ragstream, RagstreamError, EventParser }} = await import({json.dumps(CLIENT.as_uri())});
      const run = async ({{ base, {names} }}) => {{ {body} }};
      console.log(JSON.stringify(await run({json.dumps({"base": address, **values})})));
    """
    command = ("node", "--input-type=module", "--eval", script)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(SECONDS):
        out, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return json.loads(out)


@pytest.fixture
def node() -> Run:
    """Return a function that runs JavaScript beside the client in Node.js."""
    return _in_node


@pytest_asyncio.fixture(loop_scope="session")
async def chromium(browser: Browser) -> AsyncIterator[Run]:
    """Return a function that does so in Chromium, in a page of the server."""
    page = await browser.new_page()

    async def in_page(body: str, address: str, **values: Any) -> Any:
        if not page.url.startswith(address):
            await page.goto(f"{address}/static/icon.svg")
        names = ", ".join(values)
        function = f"""async ({{ base, {names} }}) => {{
          const {{ Ragstream, RagstreamError, EventParser }} = await import("/static/ragstream.js");
          {body}
        }}"""
        async with asyncio.timeout(SECONDS):
            return await page.evaluate(function, {"base": address, **values})

    yield in_page
    await page.close()


@pytest.fixture(
    params=[
        pytest.param("node", marks=pytest.mark.node),
        pytest.param("chromium", marks=pytest.mark.browser),
    ]
)
def run(request: pytest.FixtureRequest) -> Run:
    """Return a function that runs JavaScript beside the client, in either."""
    runner: Run = request.getfixturevalue(request.param)
    return runner


CASES: dict[str, tuple[bytes, list[tuple[str, str, str]]]] = {
    # bytes of a stream, and its events: id, type, data
    "one": (b"data: a\n\n", [("", "message", "a")]),
    "empty data": (b"data\n\ndata:\n\n", [("", "message", ""), ("", "message", "")]),
    "all three line ends": (b"data: a\rdata: b\r\ndata: c\n\n", [("", "message", "a\nb\nc")]),
    "CR alone ends a block": (b"data: a\r\rdata: b\r\r", [("", "message", "a"), ("", "message", "b")]),
    "LF then CR are two": (b"data: a\n\rdata: b\n\n", [("", "message", "a"), ("", "message", "b")]),
    "CRLF blank": (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", "message", "a"), ("", "message", "b")]),
    "trailing break": (b"data: a\ndata:\n\n", [("", "message", "a\n")]),
    "one space is dropped": (b"data:  a\ndata:a\ndata: \n\n", [("", "message", " a\na\n")]),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [("", "message", "a")]),
    "only one byte order mark": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    "byte order mark in data": (b"data: \xef\xbb\xbfa\n\n", [("", "message", "\ufeffa")]),
    "comments": (b":\n: data: x\n\ndata: a\n:\ndata: b\n\n", [("", "message", "a\nb")]),
    "type": (b"event: t\ndata: a\n\ndata: b\n\n", [("", "t", "a"), ("", "message", "b")]),
    "type without data is forgotten": (b"event: t\n\ndata: a\n\n", [("", "message", "a")]),
    "last type wins": (b"event: t\nevent: u\ndata: a\n\n", [("", "u", "a")]),
    "empty type": (b"event: t\nevent:\ndata: a\n\n", [("", "message", "a")]),
    "id stays": (b"id: 7\ndata: a\n\ndata: b\n\n", [("7", "message", "a"), ("7", "message", "b")]),
    "id alone": (b"id: 7\n\ndata: b\n\n", [("7", "message", "b")]),
    "empty id resets": (b"id: 7\ndata: a\n\nid\ndata: b\n\n", [("7", "message", "a"), ("", "message", "b")]),
    "id with NUL": (
        b"id: 7\ndata: a\n\nid: 8\0\ndata: b\n\n",
        [("7", "message", "a"), ("7", "message", "b")],
    ),
    "id counts at the blank line": (b"id: 7\ndata: a\n\nid: 8\ndata: b\n", [("7", "message", "a")]),
    "unknown fields": (b"foo: 1\nDATA: x\n data: y\ndata : z\ndata: a\n\n", [("", "message", "a")]),
    "retry": (b"retry: 1000\nretry: -1\nretry: 1e3\nretry:\ndata: a\n\n", [("", "message", "a")]),
    "not ended": (b"data: a\n\ndata: b\n", [("", "message", "a")]),
    "NUL in data": (b"data: \0\n\n", [("", "message", "\0")]),
    "no other breaks": (
        "data: a\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029b\n\n".encode(),
        [("", "message", "a\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029b")],
    ),
    "more than a byte": ("data: é€😀\n\n".encode(), [("", "message", "é€😀")]),
    "bad bytes": (b"data: \xff\xf0\x9f\x98\n\n", [("", "message", "\ufffd\ufffd")]),
    "a frame in data": (b"data: x\ndata:\ndata: event: done\n\n", [("", "message", "x\n\nevent: done")]),
}

PARSE = """
  const flat = (events) => events.map(({id, type, data}) => [id, type, data]);
  return cases.map((bytes) => {
    const stream = Uint8Array.from(bytes);
    const whole = new EventParser();
    const events = flat(whole.push(stream));
    const others = [];
    for (let cut = 0; cut <= stream.length; cut += 1) {
      const parser = new EventParser();
      others.push([...parser.push(stream.slice(0, cut)), ...parser.push(stream.slice(cut))]);
    }
    const byByte = new EventParser();
    others.push([...stream].flatMap((byte) => byByte.push(Uint8Array.of(byte))));
    const wrong = others.map(flat).filter((other) => JSON.stringify(other) !== JSON.stringify(events));
    return {events, wrong, retry: whole.retry};
  });
"""


async def test_the_parser_follows_the_standard_however_the_bytes_are_cut(run: Run, address: str) -> None:
    results = await run(PARSE, address, cases=[list(stream) for stream, _ in CASES.values()])
    parsed = {name: [tuple(e) for e in result["events"]] for name, result in zip(CASES, results, strict=True)}
    assert parsed == {name: events for name, (_, events) in CASES.items()}
    assert {name: r["wrong"] for name, r in zip(CASES, results, strict=True) if r["wrong"]} == {}
    assert {name: r["retry"] for name, r in zip(CASES, results, strict=True) if r["retry"]} == {"retry": 1000}


READ = """
  const answer = new Ragstream({ base }).ask(question);
  const events = [];
  for await (const {id, type, data} of answer) events.push([id, type, data]);
  return {streamId: answer.streamId, sessionId: answer.sessionId, cursor: answer.cursor, events};
"""


async def the_log(address: str, stream_id: str) -> list[list[Any]]:
    """Return the events of a log, as another client reads them."""
    async with (
        httpx.AsyncClient(base_url=address, timeout=SECONDS) as client,
        client.stream("GET", f"/api/v1/streams/{stream_id}") as response,
    ):
        events = [event async for event in EventSource(response).aiter_sse()]
    assert events.pop().event == "done"
    return [[int(event.id), event.event, json.loads(event.data)] for event in events]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_cut_the_events_are_the_log(
    seed: int, run: Run, modelled: str, model: Any, line: Callable[[str], Awaitable[Any]]
) -> None:
    chance = random.Random(seed)
    words = chance.choices(["Stop ", "é€😀 ", "\r\n", "[1]", "data: x\n\n", "\u2028"], k=60)
    model.says(*words)
    wire = await line(modelled)
    await run("return null;", wire.address)  # the page of the one comes whole
    wire.cut()
    wire.cuts = [chance.choice((0, 100, chance.randrange(3000)))]  # also before the head has come
    wire.cuts += [chance.randrange(800, 9000) for _ in range(6)]
    read = await run(READ, wire.address, question=QUESTION)
    log = await the_log(modelled, read["streamId"])
    assert read["events"] == log
    assert read["cursor"] == len(log)
    text = "".join(event["text_delta"]["content"] for _, kind, event in log if kind == "text_delta")
    assert text == "".join(words)


async def test_stop_and_resume(run: Run, modelled: str, model: Any) -> None:
    model.says("One.", asyncio.Event(), " Never.")
    script = """
      const ragstream = new Ragstream({ base });
      const answer = ragstream.ask(question);
      const types = [];
      for await (const event of answer) {
        types.push(event.type);
        if (event.type === "text_delta") await answer.stop();
      }
      const rest = [];
      for await (const event of ragstream.resume(answer.streamId, answer.cursor - 1)) rest.push(event.type);
      for await (const event of ragstream.resume(answer.streamId, answer.cursor)) rest.push(event.type);
      return [types.at(-2), types.at(-1), rest];
    """
    last = await run(script, modelled, question=QUESTION)
    assert last == ["text_delta", "cancelled", ["cancelled"]]


async def test_a_refusal_is_thrown_with_its_code(run: Run, address: str) -> None:
    script = """
      const thrown = async (answer) => {
        try {
          for await (const event of answer) return event;
        } catch (error) {
          return [error instanceof RagstreamError, error.code, error.status, error.message];
        }
      };
      const ragstream = new Ragstream({ base });
      return [await thrown(ragstream.ask({messages: []})), await thrown(ragstream.resume("0123"))];
    """
    invalid, missing = await run(script, address)
    assert invalid[:3] == [True, "invalid_field", 422]
    assert missing[:3] == [True, "not_found", 404]
    assert "stream" in missing[3]


class Server:
    """Answers each connection with the next of its replies, and keeps it open where told to."""

    def __init__(self, *replies: bytes, hold: bool = False) -> None:
        self.heads: list[str] = []
        self._replies = list(replies)
        self._hold = hold

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # a connection made in advance, and not needed
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length.group(1)) if length else 0)
            self.heads.append(head)
            await self._reply(reader, writer)

    async def _reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        last = len(self._replies) == 1  # which is said for ever
        writer.write(self._replies[0] if last else self._replies.pop(0))
        await writer.drain()
        if self._hold and not last:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    def cursors(self) -> list[str | None]:
        """Return the Last-Event-ID of each request."""
        found = [re.search(r"last-event-id: (.*?)\r", head, re.IGNORECASE) for head in self.heads]
        return [match.group(1) if match else None for match in found]


def reply(body: str, status: str = "200 OK", kind: str = "text/event-stream", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", "connection: close", "x-stream-id: s1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def event(number: int | None, kind: str, **data: Any) -> str:
    cursor = f"id: {number}\n" if number else ""
    return f"{cursor}event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"


RETRY = "retry: 1\n"
DONE = "event: done\ndata: {}\n\n"
END = event(3, "message_complete", finish_reason="stop") + DONE
FOLLOW = """
  const answer = new Ragstream({ base, ...options }).resume("s1", 0, {
    onConnection: ({state, error}) => seen.push(error?.code ?? state),
  });
  const seen = [];
  try {
    for await (const {id, type} of answer) seen.push([id, type]);
  } catch (error) {
    seen.push([error.code, error.status, error.message]);
  }
  return seen;
"""


async def follow(listening: Listening, server: Server, **options: Any) -> Any:
    async with listening(server) as address:
        return await _in_node(FOLLOW, address, options=options)


@pytest.mark.node
async def test_an_end_without_an_ending_is_not_an_end(listening: Listening) -> None:
    server = Server(
        reply(RETRY + event(1, "message_start") + "id: 2\nevent: text_delta\ndata: {"), reply(END)
    )
    seen = await follow(listening, server)
    assert seen == ["open", [1, "message_start"], "connection_lost", "open", [3, "message_complete"]]
    assert server.cursors() == [None, "1"]


@pytest.mark.node
async def test_an_ending_is_an_end_without_done(listening: Listening) -> None:
    server = Server(reply(event(1, "failed", error={"code": "internal", "message": "x"})))
    assert await follow(listening, server) == ["open", [1, "failed"]]


@pytest.mark.node
async def test_done_without_an_ending_is_none(listening: Listening) -> None:
    server = Server(reply(RETRY + event(1, "message_start") + DONE), reply(END))
    seen = await follow(listening, server)
    assert seen == ["open", [1, "message_start"], "connection_lost", "open", [3, "message_complete"]]


@pytest.mark.node
async def test_being_sent_away_is_no_failure_however_often(listening: Listening) -> None:
    farewell = "retry: 1\n\n"
    often = [reply(":\n\n" + farewell) for _ in range(10)]  # more than the attempts in a row
    server = Server(reply(RETRY + event(1, "message_start") + farewell), *often, reply(END))
    seen = await follow(listening, server, attempts=3)
    assert seen == ["open", [1, "message_start"], *["moving", "open"] * 11, [3, "message_complete"]]
    assert server.cursors() == [None, *["1"] * 11]


@pytest.mark.node
async def test_a_cut_after_words_that_only_look_like_a_farewell_is_a_loss(listening: Listening) -> None:
    for body in ("retry: 1\n\n:\n\n", "retry: 1\n", RETRY + event(1, "message_start")):
        seen = await follow(listening, Server(reply(body), reply(END)))
        assert "connection_lost" in seen, body


@pytest.mark.node
async def test_silence_is_a_lost_connection(listening: Listening) -> None:
    server = Server(reply(RETRY + event(1, "message_start")), reply(END), hold=True)
    seen = await follow(listening, server, silence=300)
    assert seen == ["open", [1, "message_start"], "connection_lost", "open", [3, "message_complete"]]
    assert server.cursors() == [None, "1"]


@pytest.mark.node
async def test_a_reset_has_no_number_and_moves_no_cursor(listening: Listening) -> None:
    reset = event(None, "reset", reset={"text": "All of it."})
    server = Server(reply(RETRY + event(2, "text_delta") + reset), reply(reset + event(None, "interrupted")))
    seen = await follow(listening, server)
    assert seen == [
        "open",
        [2, "text_delta"],
        [2, "reset"],
        "connection_lost",
        "open",
        [2, "reset"],
        [2, "interrupted"],
    ]
    assert server.cursors() == [None, "2"]


@pytest.mark.node
async def test_what_may_pass_is_tried_again(listening: Listening) -> None:
    server = Server(
        reply(RETRY + event(1, "message_start")),
        reply('{"code": "unavailable", "detail": "x"}', "503 Service Unavailable", retry_after="0"),
        reply("<html>", "502 Bad Gateway", "text/html"),
        reply("<html>Sign in to this network", kind="text/html"),
        reply(END),
    )
    seen = await follow(listening, server)
    assert seen[2:] == [
        "connection_lost",
        "unavailable",
        "error",
        "connection_lost",
        "open",
        [3, "message_complete"],
    ]
    assert server.cursors() == [None, "1", "1", "1", "1"]


@pytest.mark.node
async def test_it_gives_up_with_a_clear_error(listening: Listening) -> None:
    server = Server(reply(RETRY + event(1, "message_start")), reply(""))
    seen = await follow(listening, server, attempts=3)
    message = "The connection was lost, and 3 attempts to make it again failed."
    assert seen[-1] == ["connection_lost", 0, message]
    assert len(server.heads) == 3


@pytest.mark.node
@pytest.mark.parametrize(
    ("status", "code"), [("410 Gone", "cursor_expired"), ("409 Conflict", "cursor_ahead")]
)
async def test_what_cannot_pass_is_thrown(status: str, code: str, listening: Listening) -> None:
    server = Server(reply(json.dumps({"code": code, "detail": "Ask again."}), status))
    assert await follow(listening, server) == [[code, int(status[:3]), "Ask again."]]


@pytest.mark.node
async def test_nothing_left_to_read_is_an_end(listening: Listening) -> None:
    server = Server(reply("", "204 No Content"))
    assert await follow(listening, server) == []


@pytest.mark.node
async def test_a_question_is_sent_again_but_not_after_its_answer_failed(
    listening: Listening,
) -> None:
    failed = reply(
        '{"code": "upstream_unavailable", "detail": "Busy.", "stream_id": "s1"}', "503 Unavailable"
    )
    server = Server(reply("", "503 Unavailable", retry_after="0"), failed)
    script = """
      try {
        for await (const event of new Ragstream({ base, key: "k1" }).ask(question));
      } catch (error) {
        return error.message;
      }
    """
    async with listening(server) as address:
        assert await _in_node(script, address, question=QUESTION) == "Busy."
    keys = {re.search(r"idempotency-key: (\w{32})\r", head, re.IGNORECASE) for head in server.heads}
    assert len(server.heads) == 2
    assert len({match and match.group(1) for match in keys}) == 1
    assert all("authorization: Bearer k1" in head for head in server.heads)


@pytest.mark.node
async def test_leaving_ends_the_iteration_at_once(listening: Listening) -> None:
    server = Server(reply(event(1, "message_start")), reply(END), hold=True)
    script = """
      const answer = new Ragstream({ base }).resume("s1");
      const seen = [];
      for await (const event of answer) {
        seen.push(event.id);
        setTimeout(() => answer.leave());
      }
      return [seen, answer.cursor];
    """
    async with listening(server) as address:
        assert await _in_node(script, address) == [[1], 1]
    assert len(server.heads) == 1


EXAMPLES = re.findall(
    r"^```js\n(.*?)^```$",
    (ROOT / "docs" / "how-to" / "use-the-javascript-client.md").read_text("utf-8"),
    re.MULTILINE | re.DOTALL,
)


@pytest.mark.node
@pytest.mark.parametrize("example", EXAMPLES, ids=["ask", "come back"])
async def test_the_documented_examples_run_as_they_stand(example: str, address: str, tmp_path: Path) -> None:
    shutil.copy(CLIENT, tmp_path)
    (tmp_path / "example.mjs").write_text(example.replace("http://127.0.0.1:8000", address), "utf-8")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("node", tmp_path / "example.mjs", stdout=pipe, stderr=pipe)
    async with asyncio.timeout(SECONDS):
        out, complaint = await process.communicate()
    assert (process.returncode, complaint.decode()) == (0, "")
    assert "press the stop button" in out.decode()
