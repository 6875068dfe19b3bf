"""What is around an answer: documents, conversations, the key, the keyboard, light and dark, a phone."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

Visiting = Callable[..., Awaitable[Any]]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


async def ask(page: Page, question: str) -> None:
    await page.get_by_label("Your question").fill(question)
    await page.keyboard.press("Enter")


async def ended(page: Page) -> None:
    await expect(page.locator(".turn").last).to_have_attribute("data-ended", "message_complete")


def file(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "mimeType": "text/markdown", "buffer": text.encode()}


async def test_a_document_is_added_asked_about_opened_and_removed(address: str, visiting: Visiting) -> None:
    visit = await visiting(address)
    page = visit.page
    await page.get_by_role("button", name="Documents").click()
    panel = page.locator("#panel")
    text = "# Otters\n\nThe otter Karuna eats seventeen mussels a day."
    await panel.locator("input[type=file]").set_input_files([file("otters.md", text)])
    await expect(panel.get_by_role("button", name=re.compile("^Otters "))).to_be_visible()
    await ask(page, "How many mussels does the otter Karuna eat?")
    await ended(page)
    await expect(page.locator(".prose")).to_contain_text("seventeen mussels a day")
    await panel.get_by_role("button", name=re.compile("^Otters ")).click()
    await expect(panel.locator(".document-text")).to_have_text(text)
    await page.get_by_role("button", name="Documents").click()
    await panel.get_by_role("button", name="Remove “Otters”").click()
    await panel.get_by_role("button", name="Remove", exact=True).click()
    await expect(panel.get_by_role("button", name=re.compile("^Otters "))).to_have_count(0)
    await page.locator(".citation").first.click()
    await expect(panel).to_contain_text("This document is no longer there.")
    await expect(panel).to_contain_text("seventeen mussels")
    visit.forgive_network()


async def test_files_are_dropped_on_the_page_and_a_bad_one_is_explained(
    address: str, visiting: Visiting
) -> None:
    visit = await visiting(address)
    page = visit.page
    dropped = await page.evaluate_handle(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(["MZ\\0\\0"], "setup.exe"));
          data.items.add(new File(["# Beavers\\n\\nBeavers build dams."], "beavers.md"));
          return data;
        }"""
    )
    await page.dispatch_event("body", "dragover", {"dataTransfer": dropped})
    await expect(page.get_by_text("Drop to add to your documents")).to_be_visible()
    await page.dispatch_event("body", "drop", {"dataTransfer": dropped})
    await expect(page.get_by_text("Drop to add to your documents")).to_be_hidden()
    await expect(page.get_by_role("button", name=re.compile("^Beavers "))).to_be_visible()
    await expect(page.get_by_role("alert").filter(has_text="setup.exe")).to_have_text(re.compile(r"exe .+"))
    visit.forgive_network()


async def test_reading_documents_is_shown_while_it_runs(address: str, visiting: Visiting) -> None:
    page = (await visiting(address)).page
    answers = [{"running": True, "files_done": 3, "files_total": 12, "chunks": 40, "failed": []}]

    async def still_reading(route: Route) -> None:
        known = await (await route.fetch()).json()
        if answers:
            known["ingest"] = answers.pop()
        await route.fulfill(body=json.dumps(known), content_type="application/json")

    await page.route("**/api/v1/documents", still_reading)
    await page.reload()
    await expect(page.locator(".welcome")).to_contain_text("Reading 3 of 12 files, 40 passages so far")
    await expect(page.locator(".welcome [data-state]")).to_have_text("")


async def test_conversations_are_listed_renamed_left_and_deleted(address: str, visiting: Visiting) -> None:
    page = (await visiting(address)).page
    await ask(page, "How do I leave an answer?")
    await ended(page)
    current = page.locator("#sessions .current")
    await expect(current.locator(".name")).to_have_text("How do I leave an answer?")
    await current.hover()
    await current.get_by_role("button", name="Rename").click()
    await page.get_by_label("Name of the conversation").fill("Leaving")
    await page.keyboard.press("Enter")
    await expect(current.locator(".name")).to_have_text("Leaving")
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.get_by_role("heading", name="Ask your documents")).to_be_visible()
    await expect(page.locator(".turn")).to_have_count(0)
    await page.get_by_role("link", name="Leaving").click()
    await expect(page.locator(".question")).to_contain_text("How do I leave an answer?")
    await page.go_back()
    await expect(page.locator(".turn")).to_have_count(0)
    await page.go_forward()
    await expect(page.locator(".turn")).to_have_count(1)
    await current.hover()
    await current.get_by_role("button", name="Delete").click()
    await page.get_by_role("button", name="Keep").click()
    await current.hover()
    await current.get_by_role("button", name="Delete").click()
    await page.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.get_by_role("link", name="Leaving")).to_have_count(0)
    await expect(page.locator(".turn")).to_have_count(0)


async def test_a_conversation_that_is_gone_is_said_to_be(address: str, visiting: Visiting) -> None:
    visit = await visiting(f"{address}/#0123456789abcdef")
    await expect(visit.page.get_by_role("alert")).to_contain_text("This conversation is no longer there.")
    visit.forgive_network()


async def test_leaving_a_conversation_leaves_its_answer_running(
    modelled: str, model: Any, visiting: Visiting
) -> None:
    page = (await visiting(modelled)).page
    go_on = asyncio.Event()
    model.says("Written", go_on, " to its end.")
    await ask(page, "What is left running?")
    await expect(page.locator(".prose")).to_have_text("Written")
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.locator(".turn")).to_have_count(0)
    await expect(page.get_by_role("button", name="Send", exact=True)).to_be_visible()
    go_on.set()
    await page.get_by_role("link", name="What is left running?").click()
    await ended(page)
    await expect(page.locator(".prose")).to_have_text("Written to its end.")


async def test_the_key_is_asked_for_once(serve: Callable[..., str], visiting: Visiting) -> None:
    key = "0123456789abcdef0123456789abcdef"
    visit = await visiting(serve(RAGSTREAM_API_KEYS=f"ann:{key}"))
    page, dialog = visit.page, visit.page.get_by_role("dialog")
    await dialog.get_by_label("Key").fill("wrong")
    await page.keyboard.press("Enter")
    await expect(dialog).to_contain_text("That key was not taken.")
    await dialog.get_by_label("Key").fill(key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Documents 3")).to_be_visible()
    await ask(page, "How do I stop an answer?")
    await ended(page)
    await page.reload()
    await ended(page)
    await expect(dialog).to_be_hidden()
    assert await page.evaluate("[document.cookie, localStorage.length]") == ["", 0]
    assert key not in page.url
    visit.forgive_network()


async def focused(page: Page, locator: Locator) -> None:
    await expect(locator).to_be_focused()
    width: str = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert width != "none"


async def test_everything_can_be_done_from_the_keyboard(address: str, visiting: Visiting) -> None:
    page = (await visiting(address)).page
    question = page.get_by_label("Your question")
    await expect(question).to_be_focused()
    await page.keyboard.type("How do I stop")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("an answer?")
    await expect(question).to_have_value("How do I stop\nan answer?")
    await page.keyboard.press("Enter")
    await expect(question).to_have_value("")
    await ended(page)
    await expect(question).to_be_focused()
    await page.locator(".citation").first.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Stop an answer, leave it")).to_be_focused()
    await page.keyboard.press("Tab")
    await focused(page, page.get_by_role("button", name="Close", exact=True))
    await page.keyboard.press("Escape")
    await expect(page.locator("#panel")).to_be_hidden()
    await focused(page, page.locator(".citation").first)
    page = (await visiting(address, is_mobile=True, has_touch=True)).page  # nothing has the focus
    await page.keyboard.press("Tab")
    await focused(page, page.get_by_role("button", name="Skip to the question"))
    await page.keyboard.press("Tab")
    await focused(page, page.get_by_role("button", name="New conversation"))


async def test_light_and_dark(address: str, visiting: Visiting) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = (await visiting(address, color_scheme="light")).page
    dark = (await visiting(address, color_scheme="dark")).page
    paper, night = await light.evaluate(ground), await dark.evaluate(ground)
    assert paper != night
    await light.get_by_role("button", name="Light or dark").click()
    assert await light.evaluate(ground) == night
    await light.reload()
    assert await light.evaluate(ground) == night


CONTRAST = """() => {
  const channel = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([red, green, blue]) =>
    0.2126 * channel(red / 255) + 0.7152 * channel(green / 255) + 0.0722 * channel(blue / 255);
  const ground = (element) => {
    const colour = parts(getComputedStyle(element).backgroundColor);
    return colour[3] === 0 && element.parentElement ? ground(element.parentElement) : colour;
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const said = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!said || element.closest(".unseen, .skip, .icon, :disabled") || !element.checkVisibility()) continue;
    const [one, other] = [parts(getComputedStyle(element).color), ground(element)].map(luminance);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) poor.push(`${element.outerHTML.slice(0, 90)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_can_be_read(scheme: str, modelled: str, model: Any, visiting: Visiting) -> None:
    visit = await visiting(modelled, color_scheme=scheme)
    page = visit.page
    await page.get_by_label("Show steps").check()
    model.says("# One\n\n`code` and [a link](https://a.example), [1]\n\n> quoted\n\n| a |\n|---|\n| b |")
    await ask(page, "How do I stop an answer?")
    await ended(page)
    await page.locator(".citation").first.click()
    await expect(page.locator("#passage")).to_be_visible()
    assert await page.evaluate(CONTRAST) == []
    await page.get_by_role("button", name="Documents").click()
    await expect(page.locator(".documents li").first).to_be_visible()
    assert await page.evaluate(CONTRAST) == []


async def test_a_phone_has_a_sheet_and_a_drawer_and_no_sideways_scrolling(
    modelled: str, model: Any, visiting: Visiting
) -> None:
    page = (await visiting(modelled, **PHONE)).page
    wide = "| " + "wide | " * 30 + "\n|" + "---|" * 30
    model.says("```\n", "a very long line " * 20, f"\n```\n\n{wide}\n\nSo.[1]")
    await page.get_by_label("Your question").fill("How do I stop an answer?" + "x" * 200)
    await page.get_by_role("button", name="Send", exact=True).tap()
    await ended(page)
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    assert await page.evaluate("document.getElementById('scroller').scrollWidth") <= 390
    await page.locator(".citation").tap()
    await expect(page.locator("#passage")).to_be_in_viewport()
    box = await page.locator("#panel").bounding_box()
    assert box is not None
    assert (box["x"], box["width"], box["y"] + box["height"]) == (0, 390, 844)
    await page.get_by_role("button", name="Close", exact=True).tap()
    await expect(page.get_by_role("link", name="How do I stop")).to_be_hidden()
    await page.get_by_role("button", name="Conversations").tap()
    await expect(page.get_by_role("link", name="How do I stop").first).to_be_in_viewport()
    await page.get_by_role("button", name="New conversation").first.tap()
    await expect(page.get_by_role("heading", name="Ask your documents")).to_be_visible()


async def test_being_offline_is_said(address: str, visiting: Visiting) -> None:
    visit = await visiting(address)
    page = visit.page
    await page.context.set_offline(True)
    await expect(page.get_by_role("alert")).to_contain_text("You are offline.")
    await page.context.set_offline(False)
    await expect(page.get_by_role("alert")).to_have_count(0)
    visit.forgive_network()
