"""The table of legal orders, walked cell by cell."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from itertools import product
from pathlib import Path

import pytest

from ragstream.errors import IllegalEvent
from ragstream.events import GRAMMAR, TERMINAL, EventType, Phase, advance

ROOT = Path(__file__).parents[3]
CELLS = list(product(Phase, EventType))


@pytest.mark.parametrize(("phase", "event"), CELLS, ids=lambda item: item.value)
def test_each_cell_is_a_move_or_an_error_that_names_both(phase: Phase, event: EventType) -> None:
    if event in GRAMMAR[phase]:
        assert advance(phase, event) is GRAMMAR[phase][event]
    else:
        with pytest.raises(IllegalEvent, match=f"^{event.value} .* {phase.value}$"):
            advance(phase, event)


def test_every_phase_can_be_reached_from_new() -> None:
    reached, waiting = {Phase.NEW}, deque([Phase.NEW])
    while waiting:
        new = set(GRAMMAR[waiting.popleft()].values()) - reached
        reached |= new
        waiting.extend(new)
    assert reached == set(Phase)


def test_an_answer_starts_once() -> None:
    assert dict(GRAMMAR[Phase.NEW]) == {EventType.MESSAGE_START: Phase.OPEN}
    assert [phase for phase in Phase if EventType.MESSAGE_START in GRAMMAR[phase]] == [Phase.NEW]


@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.WRITING, Phase.CALLING])
def test_an_answer_that_has_begun_can_always_end_and_only_a_terminal_event_ends_it(phase: Phase) -> None:
    ends = {event for event, target in GRAMMAR[phase].items() if target is Phase.ENDED}
    assert ends == TERMINAL


def test_nothing_follows_an_ending() -> None:
    assert not GRAMMAR[Phase.ENDED]


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        GRAMMAR[Phase.ENDED][EventType.TEXT_DELTA] = Phase.WRITING  # type: ignore[index]


def test_the_drawn_grammar_is_current() -> None:
    drawn = subprocess.run(
        [sys.executable, ROOT / "scripts" / "draw_grammar.py"], capture_output=True, check=True, timeout=60
    )
    page = ROOT / "docs" / "architecture" / "grammar.md"
    assert page.read_bytes() == drawn.stdout, f"python scripts/draw_grammar.py > {page.relative_to(ROOT)}"
