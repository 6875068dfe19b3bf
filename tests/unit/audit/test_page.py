"""A step's page: headings to the letter, and what a person wrote on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ragstream.audit.page import Place, file_name, page_text
from ragstream.audit.report import Account

from .conftest import PARITY, UNIT, WALKS, Saw

PAGE = f"""# RAG STEP 3 — Done? (RAG.test.done)

<!-- GENERATED:BEGIN -->
**Type:** decision\x20\x20
**Category:** test\x20\x20
**Node ID:** `Check`
<!-- GENERATED:END -->

## Intent (Blueprint)

<!-- GENERATED:BEGIN -->
Done?

Lane `lane`; followed by `Work` on `no`, `Finish` on `yes`.
<!-- GENERATED:END -->

## Current Implementation (Repo)

<!-- GENERATED:BEGIN -->
- **Paths:** [`src/lane.py:18`](../../../src/lane.py), `lane_of_steps.check`
- **Status:** ✅ (Implemented)
- **Behaviour:** A plain function: it decides on the state alone and changes nothing.
- **Duration:** not measured
<!-- GENERATED:END -->

## Differences (Blueprint vs Current)

<!-- GENERATED:BEGIN -->
None: what is drawn is what runs.
<!-- GENERATED:END -->

## Risks / Impact

<!-- GENERATED:BEGIN -->
- Every walk of the lane from its start to an end comes through it.
- It decides between `no`, `yes`; a wrong outcome sends the walk down the wrong way.
<!-- GENERATED:END -->

## TDD Task List

<!-- GENERATED:BEGIN -->
- [x] Unit tests: [`test_all`](../../../{UNIT.partition("::")[0]}), [`test_two_ways_are_the_same`](../../../{PARITY.partition("::")[0]})
- [x] Parity tests: [`test_two_ways_are_the_same`](../../../{PARITY.partition("::")[0]})
- [ ] Integration tests: none went through it
- [x] Implementation changes: none needed: it fits its node
- [x] Observability: `RAG STEP 3 (RAG.test.done): Done? | attrs={{...}}`, seen in test runs
- [ ] Feature flag / config: it reads no setting itself
- [x] Rollout plan: its lane leads to it
<!-- GENERATED:END -->

## Done When

<!-- GENERATED:BEGIN -->
- [x] a function does it
- [x] nothing differs from the diagram
- [x] tests took every way out of it
- [x] the audit says ✅
<!-- GENERATED:END -->

## Links

<!-- GENERATED:BEGIN -->
- Diagram: [ragstream.mmd](../diagrams/ragstream.mmd)
- Registry: [rag_steps.yml](../rag_steps.yml)
<!-- GENERATED:END -->

<!-- AUTO-AUDIT:BEGIN -->
Status: ✅  |  Confidence: 1.00

Top candidates:
1. `src/lane.py:18` — `lane_of_steps.check` (score 1.00)
   Evidence: marked `@step("Check")` and bound at start; its outcomes are those drawn: no, yes; tests that passed went through it, and its log line was written

Notes:
- Nothing differs.

Suggested next TDD actions:
- Add an integration test that walks through it.
<!-- AUTO-AUDIT:END -->
"""  # noqa: E501


@pytest.fixture
def account(audited: Saw) -> Account:
    return audited(WALKS).accounts[2]


@pytest.fixture
def place(audited: Saw) -> Place:
    return audited(WALKS).folder.place


def test_a_page_to_the_letter(account: Account, place: Place) -> None:
    assert page_text(account, place) == PAGE
    assert file_name(account) == "STEP-3-RAG.test.done.md"


def test_links_lead_somewhere(account: Account, place: Place) -> None:
    links = re.findall(r"\]\(([^)]+)\)", page_text(account, place))
    assert len(links) == 6
    place.folder.mkdir()
    place.registry.touch()
    for link in links:
        assert (place.folder / link).is_file(), link


def test_what_a_person_wrote_stays_where_it_is(account: Account, place: Place) -> None:
    end = "<!-- GENERATED:END -->\n"
    at = [match.end() for match in re.finditer(end, PAGE)]
    written = PAGE[: at[0]] + "\nOn top.\n" + PAGE[at[0] : at[3]]
    written += "\n## Why so\n\nBecause: `<b>` & 100 %, \\1.\n" + PAGE[at[3] : at[7]]
    written += "\nSee also this.\n" + PAGE[at[7] :] + "\nAt the very end.\n"
    stale = written.replace("✅", "❌").replace("- [x] a function does it", "- [ ] a function does it")
    assert stale != written
    assert page_text(account, place, written) == written
    assert page_text(account, place, stale) == written


def test_a_page_without_marks_keeps_all_its_text(account: Account, place: Place) -> None:
    before = "# My title\n\nMine.\n\n## Links\n\nOne.\n\n## Links\n\nTwo.\n"
    page = page_text(account, place, before)
    assert page.startswith("# RAG STEP 3 — Done? (RAG.test.done)\n")
    assert all(text in page for text in ("Mine.", "One.", "Two."))
    assert page_text(account, place, page) == page


@pytest.mark.parametrize(("milliseconds", "words"), [(None, "not measured"), (0.42, "0.42 ms on average")])
def test_the_duration(account: Account, place: Place, milliseconds: float | None, words: str) -> None:
    from dataclasses import replace

    page = page_text(replace(account, milliseconds=milliseconds), place)
    assert f"- **Duration:** {words}" in page


def test_the_page_of_the_project_itself(pytestconfig: pytest.Config) -> None:
    steps: Path = pytestconfig.rootpath / "docs" / "architecture" / "steps"
    page = steps / "STEP-106-RAG.platform.create.async.generator.md"
    first = page.read_text("utf-8").partition("\n")[0]
    assert first == "# RAG STEP 106 — Create async generator (RAG.platform.create.async.generator)"
