"""The native stream through every client that reads Server-Sent Events: the same events, whatever is cut."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource, aconnect_sse
from playwright.async_api import async_playwright
from tests.trial import Said, Trial

from ragstream import EventType

Read = Callable[..., Awaitable[list[list[str]]]]

TYPES = (*(kind.value for kind in EventType), "done")
CUTS = (900, 500)  # in the sources or the first words, then some words later
IN_A_PAGE = """([url, types]) => new Promise((resolve) => {
  const events = [];
  const source = new EventSource(url);
  for (const name of types) {
    source.addEventListener(name, ({ type, data, lastEventId }) => {
      events.push([type, data, lastEventId]);
      if (type === "done") {
        source.close();
        resolve(events);
      }
    });
  }
})"""


async def chromium(house: Any, node: Any, path: str) -> list[list[str]]:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(found for name in names if (found := shutil.which(name)))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program)
        page = await browser.new_page()
        await page.goto(f"{house.line}/static/icon.svg")
        house.hang_up()
        house.cuts = [*CUTS]
        events: list[list[str]] = await page.evaluate(IN_A_PAGE, [path, TYPES])
        await browser.close()
    return events


async def eventsource(house: Any, node: Any, path: str) -> Any:
    house.cuts = [*CUTS]
    return await node("eventsource.mjs", house.line + path, *TYPES)


async def eventsource_parser(house: Any, node: Any, path: str) -> Any:
    house.cuts = [*CUTS]
    return await node("eventsource_parser.mjs", house.line + path)


async def ours(house: Any, node: Any, path: str) -> Any:
    house.cuts = [*CUTS]
    return await node("ours.mjs", house.line, path.rpartition("/")[2])


async def httpx_sse(house: Any, node: Any, path: str) -> list[list[str]]:
    house.cuts = [*CUTS]
    events: list[list[str]] = []
    headers: dict[str, str] = {}
    async with httpx.AsyncClient(base_url=house.line, timeout=10, trust_env=False) as client:
        while not events or events[-1][0] != "done":
            try:
                async with aconnect_sse(client, "GET", path, headers=headers) as source:
                    async for event in source.aiter_sse():
                        if not event.data:
                            continue  # what it makes of a heartbeat, once it has seen an id
                        events.append([event.event, event.data, event.id])
                        headers = {"Last-Event-ID": event.id}
            except httpx.TransportError:
                continue  # the line was cut
    return events


async def curl(house: Any, node: Any, path: str) -> list[list[str]]:
    house.cuts = [*CUTS]
    events: list[list[str]] = []
    for cut in (*CUTS, None):
        cursor = ("--header", f"Last-Event-ID: {events[-1][2]}") if events else ()
        stream = await _curl(house.line + path, 18 if cut else 0, *cursor)  # 18: the transfer was cut
        events += map(list, house.parse(stream))
    return events


async def _curl(url: str, expected: int, *options: str) -> bytes:
    command = ("curl", "--silent", "--no-buffer", "--max-time", "20", *options, url)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == expected
    return out


INTEROP = (pytest.mark.interop, pytest.mark.node)


@pytest.mark.trial("T30", "the same answer through the clients of others, over a line that is cut")
@pytest.mark.parametrize(
    "read",
    [
        pytest.param(chromium, marks=pytest.mark.browser),
        pytest.param(eventsource, marks=INTEROP),
        pytest.param(eventsource_parser, marks=INTEROP),
        pytest.param(ours, marks=pytest.mark.node),
        httpx_sse,
        curl,
    ],
)
async def test_every_client_reads_the_log_though_the_line_is_cut(
    house: Any, node: Any, read: Read, trial: Trial
) -> None:
    stream_id = await house.ask()
    events = [tuple(event) for event in await read(house, node, f"/api/v1/streams/{stream_id}")]
    log = await house.whole(stream_id)
    assert house.go_on.is_set()  # so it read on while the answer was being written
    assert events == (
        log[:-1] if read is ours else log
    )  # ours ends with the ending, and hands over no `done`
    assert house.text(log) == house.TEXT
    trial.case(*(_numbered(read) for read in (events, log)))


def _numbered(events: Iterable[tuple[str, ...]]) -> list[Said]:
    return [Said(int(last), kind, data.encode()) for kind, data, last in events if kind != "done"]


@pytest.mark.node
@pytest.mark.trial("T17", "a proxy that holds everything until the end of the response")
async def test_behind_a_proxy_that_holds_our_client_has_the_whole(
    house: Any, node: Any, trial: Trial
) -> None:
    """It takes the silence for a lost line, and comes back until the answer has ended."""
    stream_id = await house.ask()
    options = {"silence": 400}
    reading = asyncio.create_task(node("ours.mjs", house.holding, stream_id, options))
    while house.held < 2:  # noqa: ASYNC110 - what the proxy counts; the driver has a deadline
        await asyncio.sleep(0.02)
    house.go_on.set()
    trial.case(_numbered(await reading), _numbered(await house.whole(stream_id)))


async def test_heartbeats_fall_between_the_events(house: Any) -> None:
    stream_id = await house.ask("Tell me.")
    raw = (await house.http.get(f"/api/v1/streams/{stream_id}")).content
    assert b"\n\n:\n" in raw


@pytest.mark.interop
async def test_leaving_is_not_stopping_and_stopping_is(house: Any, node: Any) -> None:
    stream_id = await house.ask("Never end.")
    reading = asyncio.create_task(node("eventsource_parser.mjs", f"{house.line}/api/v1/streams/{stream_id}"))
    house.cuts = [900]
    await house.go_on.wait()  # it has left, and come back
    (await house.http.post(f"/api/v1/streams/{stream_id}/cancel")).raise_for_status()
    events = await reading
    assert [event[0] for event in events][-2:] == ["cancelled", "done"]
    assert await house.endings(stream_id) == ["cancelled"]


def test_httpx_sse_makes_an_event_of_a_comment_that_is_a_block() -> None:
    """Once it has seen an id. Where this fails, a heartbeat may end with a blank line."""
    stream = b"event: text_delta\nid: 1\ndata: a\n\n:\n\n"
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    events = [(event.event, event.data, event.id) for event in EventSource(response).iter_sse()]
    assert events == [("text_delta", "a", "1"), ("message", "", "1")]
