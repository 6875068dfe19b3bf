"""Asking at the page: the text arrives, the sources open, the answer can be stopped, left and found again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, expect

SECONDS = 20.0

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

Visiting = Callable[..., Awaitable[Any]]


async def ask(page: Page, question: str) -> None:
    await page.get_by_label("Your question").fill(question)
    await page.keyboard.press("Enter")


async def ended(page: Page, how: str = "message_complete") -> None:
    await expect(page.locator(".turn").last).to_have_attribute("data-ended", how)


async def stored(address: str, page: Page) -> list[dict[str, Any]]:
    """Return the messages of the conversation in view, as the server has them."""
    async with httpx.AsyncClient(base_url=address) as client:
        session_id = page.url.partition("#")[2]
        history = await client.get("/api/v1/chatbot/messages", params={"session_id": session_id})
        messages: list[dict[str, Any]] = history.raise_for_status().json()["messages"]
        return messages


async def test_a_sample_question_is_answered_and_its_citation_opens_the_passage(
    address: str, visiting: Visiting, library: Path
) -> None:
    page = (await visiting(address)).page
    await page.get_by_role("button", name="How do I stop an answer?", exact=True).click()
    await ended(page)
    await expect(page.locator(".prose")).to_contain_text("press the stop button on the page")
    await page.locator(".citation").first.click()
    await expect(
        page.get_by_role("complementary", name="Stop an answer, leave it, come back to it")
    ).to_be_visible()
    [answer] = [message for message in await stored(address, page) if message["role"] == "assistant"]
    source = next(s for s in answer["sources"] if s["id"] == answer["citations"][0]["source_id"])
    text = (library / "stop-leave-come-back.md").read_text("utf-8")
    passage = await page.locator("#passage").text_content()
    assert passage is not None
    assert passage.split() == text[source["start"] : source["end"]].split()
    await expect(page.locator("mark")).to_be_in_viewport()
    await expect(page.locator("mark")).to_contain_text("press the stop button on the page")


async def test_positions_are_counted_in_code_points(modelled: str, model: Any, visiting: Visiting) -> None:
    page = (await visiting(modelled)).page
    model.says("😀🎉 Press the button.[1] 👩‍👩‍👧 And so on.[1]")
    await ask(page, "How do I stop an answer?")
    await ended(page)
    await expect(page.locator(".citation")).to_have_count(2)
    await expect(page.locator(".prose")).to_have_text("😀🎉 Press the button.1 👩‍👩‍👧 And so on.1")


async def test_the_text_arrives_while_it_is_written(modelled: str, model: Any, visiting: Visiting) -> None:
    page = (await visiting(modelled)).page
    go_on = asyncio.Event()
    model.says("The first half,", go_on, " and the second.")
    await ask(page, "How do I stop an answer?")
    await expect(page.locator(".prose")).to_have_text("The first half,")
    await expect(page.locator(".answer")).to_have_attribute("aria-busy", "true")
    await expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible()
    go_on.set()
    await ended(page)
    await expect(page.locator(".prose")).to_have_text("The first half, and the second.")
    await expect(page.locator(".answer")).to_have_attribute("aria-busy", "false")
    await expect(page.get_by_role("status")).to_have_text("The answer is complete.")
    await expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()


async def test_a_reload_in_the_middle_goes_on_with_the_same_text(
    modelled: str, model: Any, visiting: Visiting
) -> None:
    page = (await visiting(modelled)).page
    go_on, end = asyncio.Event(), asyncio.Event()
    model.says("One.", " Two.", go_on, " Three.", end, " Four.[1]")
    await ask(page, "How do I stop an answer?")
    await expect(page.locator(".prose")).to_have_text("One. Two.")
    await page.reload()
    await expect(page.locator(".prose")).to_have_text("One. Two.")
    await expect(page.locator(".question")).to_contain_text("How do I stop an answer?")
    other = await page.context.new_page()  # another tab reads along
    await other.goto(page.url)
    go_on.set()
    for tab in (page, other):
        await expect(tab.locator(".prose")).to_have_text("One. Two. Three.")
    end.set()
    for tab in (page, other):
        await ended(tab)
        await expect(tab.locator(".prose")).to_have_text("One. Two. Three. Four.1")
    [_, answer] = await stored(modelled, page)
    assert answer["content"] == "One. Two. Three. Four.[1]"
    await page.reload()
    await ended(page)
    await expect(page.locator(".prose")).to_have_text("One. Two. Three. Four.1")


async def test_a_question_in_one_tab_is_answered_in_the_other_too(
    modelled: str, model: Any, visiting: Visiting
) -> None:
    page = (await visiting(modelled)).page
    model.says("First.")
    await ask(page, "How do I stop an answer?")
    await ended(page)
    other = await page.context.new_page()
    await other.goto(page.url)
    await ended(other)
    go_on = asyncio.Event()
    model.says("leave an answer")  # the follow-up is made a query of its own
    model.says("Second", go_on, " to none.")
    await ask(page, "And how do I leave it?")
    for tab in (page, other):
        await expect(tab.locator(".turn")).to_have_count(2)
        await expect(tab.locator(".prose").last).to_have_text("Second")
    go_on.set()
    for tab in (page, other):
        await ended(tab)
        await expect(tab.locator(".prose").last).to_have_text("Second to none.")


@pytest.mark.parametrize("how", ["button", "Escape"])
async def test_stop_ends_the_answer_and_keeps_its_text(
    how: str, modelled: str, model: Any, visiting: Visiting
) -> None:
    page = (await visiting(modelled)).page
    model.says("As far as", asyncio.Event(), " never said")
    await ask(page, "How do I stop an answer?")
    await expect(page.locator(".prose")).to_have_text("As far as")
    if how == "button":
        await page.get_by_role("button", name="Stop", exact=True).click()
    else:
        await page.keyboard.press("Escape")
    await ended(page, "cancelled")
    await expect(page.locator(".prose")).to_have_text("As far as")
    await expect(page.locator(".notice")).to_contain_text("Stopped. What was said is kept.")
    async with asyncio.timeout(SECONDS):
        await model.closed.wait()
    [_, answer] = await stored(modelled, page)
    assert (answer["status"], answer["content"]) == ("cancelled", "As far as")
    model.says("stop an answer")  # a follow-up is made a query of its own
    model.says("Now all of it.")
    await page.get_by_role("button", name="Ask again").click()
    await ended(page)
    await expect(page.locator(".prose").last).to_have_text("Now all of it.")


async def test_a_lost_connection_is_made_again(
    modelled: str, model: Any, visiting: Visiting, line: Callable[[str], Awaitable[Any]]
) -> None:
    wire = await line(modelled)
    visit = await visiting(wire.address)
    page = visit.page
    go_on = asyncio.Event()
    model.says("Before the cut.", go_on, " And after.")
    await ask(page, "How do I stop an answer?")
    await expect(page.locator(".prose")).to_have_text("Before the cut.")
    wire.dead = True
    wire.cut()
    await expect(page.locator(".notice")).to_contain_text("The connection was lost and is being made again.")
    go_on.set()
    wire.dead = False
    await ended(page)
    await expect(page.locator(".prose")).to_have_text("Before the cut. And after.")
    await expect(page.locator(".notice")).to_be_hidden()
    visit.forgive_network()


async def test_steps_are_shown_when_asked_for(address: str, visiting: Visiting) -> None:
    page = (await visiting(address)).page
    await page.get_by_label("Show steps").check()
    await ask(page, "How do I stop an answer?")
    await ended(page)
    steps = page.locator(".steps li")
    await expect(steps.filter(has_text="Retrieve passages")).to_contain_text(re.compile(r"S039.*ms"))
    await expect(steps.filter(has_text="Call successful?")).to_contain_text("yes")
    await page.get_by_label("Show steps").uncheck()
    await ask(page, "How do I come back to an answer?")
    await ended(page)
    await expect(page.locator(".turn").last.locator(".steps")).to_be_hidden()


async def test_the_answer_is_copied_with_its_sources(modelled: str, model: Any, visiting: Visiting) -> None:
    page = (await visiting(modelled, permissions=["clipboard-read", "clipboard-write"])).page
    model.says("Press **stop**.[1]")
    await ask(page, "How do I stop an answer?")
    await ended(page)
    await page.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(
        r"Press \*\*stop\*\*\.\[1\]\n\n\[1\] Stop an answer.*, .*stop-leave-come-back\.md", copied
    )


async def test_a_failure_is_said_in_plain_words(modelled: str, model: Any, visiting: Visiting) -> None:
    visit = await visiting(modelled)
    model.says(401)
    await ask(visit.page, "How do I stop an answer?")
    await expect(visit.page.locator(".notice")).to_contain_text(
        "The model provider refused the server's key."
    )
    await expect(visit.page.get_by_role("button", name="Ask again")).to_be_visible()
    await expect(visit.page).to_have_url(re.compile(r"#\w+"))  # the question is kept
    visit.forgive_network()
