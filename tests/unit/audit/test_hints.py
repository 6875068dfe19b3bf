"""Flowcharts that look wrong: a line each, and the audit goes on."""

from __future__ import annotations

import pytest

from ragstream.audit.hints import hints
from ragstream.audit.sketch import read_any
from ragstream.blueprint import load_diagram

WHOLE = """flowchart TD
  Ask([A question]) --> Search[Search it]
  Search --> Enough{Enough?}
  Enough -->|no| Search
  Enough -->|yes| Answer[Answer it]
  Answer --> End([The end])
"""


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            "  Again([Ask again]) --> Search\n",
            "line 7: S006 Again: a second start in lane 'main' beside S001 Ask",
        ),
        ("  Answer --> Ennd\n", "line 7: S006 Ennd: edge to nowhere: it has no label; give it one, or mend"),
        (
            "  Lost[Lost step]\n",
            "line 7: S006 Lost: no edge leads to it or from it; draw one, or leave it out",
        ),
        (
            "  Enough -->|never| A[Wait] --> B[Wait more] --> A\n",
            "line 7: S006 A: a circle without a decision: A --> B --> A; draw a rhombus, {…}",
        ),
    ],
)
def test_what_looks_wrong_is_one_line(more: str, line: str) -> None:
    (hint,) = hints(read_any(WHOLE + more))
    assert hint.startswith(line)


@pytest.mark.parametrize("text", [WHOLE, "graph TD\nA --> B --> C\n", "graph TD\nA[One]\nB[Two]\n"])
def test_what_is_fine_gets_none(text: str) -> None:
    assert list(hints(read_any(text))) == []


def test_ours_gets_none() -> None:
    assert list(hints(load_diagram())) == []
