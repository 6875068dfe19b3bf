"""A broken diagram gets one line: where, what, and what to write instead."""

from __future__ import annotations

import re

import pytest

from ragstream.blueprint import load_diagram, read_diagram
from ragstream.errors import BlueprintError

WHOLE = """\
flowchart TD
  subgraph lane["a lane"]
    Begin(["S001 · Begin"]) --> Check{"S002 · Go on?"}
    Check -->|yes| Work["S003 · Work"]
    Check -->|no| Refuse[["S004 · Refuse"]]
    Work --> Finish(["S005 · Finish"])
    Refuse --> Finish
    Rescue[["S006 · Rescue"]] --> Finish
  end
  Work -.->|writes| Base[("Base")]
  class Begin,Check,Work,Refuse,Finish,Rescue test
"""


def _also(line: str) -> tuple[str, str]:
    """Draw one more line at the end of the lane, and give its new node a class."""
    return "  end\n", f"    {line}\n  end\n  class Lost test\n"


BROKEN = {
    "no header": (("flowchart TD", "flowchart LR"), 1, "a blueprint begins with 'flowchart TD'"),
    "not an edge": (("Work --> Finish", "Work ==> Finish"), 6, "cannot read '==> Finish"),
    "text on an edge": (("Work --> Finish", "Work -- so --> Finish"), 6, "cannot read"),
    "chain": (("Refuse --> Finish", "Refuse --> Finish --> Work"), 7, "one edge a line: '--> Work'"),
    "no target": (("Refuse --> Finish", "Refuse -->"), 7, "a node's id is missing"),
    "unknown shape": (('Work["S003 · Work"]', 'Work("S003 · Work")'), 4, "unknown shape 'Work("),
    "no quotes": (('Work["S003 · Work"]', "Work[S003 · Work]"), 4, "unknown shape 'Work["),
    "unlike brackets": (('Refuse[["S004 · Refuse"]]', 'Refuse[["S004 · Refuse"]'), 5, "unknown shape"),
    "drawn twice": (("Refuse --> Finish", 'Refuse["S007 · Again"] --> Finish'), 7, "drawn a second time"),
    "lane in lane": (("    Refuse --> Finish", 'subgraph two["2"]'), 7, "'two' begins inside lane 'lane'"),
    "lane without label": (('subgraph lane["a lane"]', "subgraph lane"), 2, 'subgraph name["label"]'),
    "lane not closed": (("  end\n", ""), 10, "lane 'lane' is not closed; add 'end'"),
    "end without lane": (("  class", "  end\n  class"), 11, "'end' without a 'subgraph'"),
    "bad class line": (("class Begin,", "class Begin, "), 11, "class One,Other name"),
    "class twice": (
        (",Rescue test\n", ",Rescue test\nclass Work other\n"),
        12,
        "Work is given a class a second",
    ),
    "class of nothing": (("Begin,Check", "Begin,Nothing,Check"), 11, "class of Nothing, which is not drawn"),
    "edge to nowhere": (("Refuse --> Finish", "Refuse --> Nowhere"), 7, "edge to nowhere: Nowhere has no"),
    "data edge to nowhere": (("Work -.->", "Wrok -.->"), 10, "edge to nowhere: Wrok has no shape"),
    "control into a store": (("Work -.->|writes|", "Work -->"), 10, "draw Work -.-> Base if it is data"),
    "no number": (("S003 · Work", "Work"), 4, "the label of Work must read like"),
    "no category": ((",Check,", ","), 3, "Check has no category"),
    "outside of lanes": (
        ("  Work -.->", '  Lost["S007 · Lost"]\n  class Lost test\n  Work -.->'),
        10,
        "every lane",
    ),
    "number twice": (("S004", "S003"), 5, "its number is that of Work (line 4)"),
    "two starts": (_also('Lost(["S007 · Lost"]) --> Finish'), 9, "a second start in lane 'lane'"),
    "two rescues": (_also('Lost[["S007 · Lost"]] --> Finish'), 9, "a second rescue node in lane 'lane'"),
    "one way out of a decision": (("Check -->|yes|", "Check -.->|yes|"), 3, "two or more ways out"),
    "decision without labels": (("Check -->|no| ", "Check --> "), 3, "each with an outcome: -->|yes|"),
    "same outcome twice": (("-->|no|", "-->|yes|"), 3, "two ways out carry the same outcome"),
    "process with two ways out": (("  end\n", "    Work --> Refuse\n  end\n"), 4, "it has 2 ways out"),
    "process without a way out": (("    Work --> Finish", "    Finish"), 4, "it has 0 ways out"),
    "process with an outcome": (("Refuse --> Finish", "Refuse -->|so| Finish"), 5, "the outcome 'so'"),
    "end with a way out": (("  end\n", "    Finish --> Work\n  end\n"), 6, "an end has no way out"),
    "unreachable": (_also('Lost["S007 · Lost"] --> Finish'), 9, "no way leads to it"),
    "circle": (("Refuse --> Finish", "Refuse --> Refuse"), 5, "a circle without a decision: Refuse -->"),
}


def test_the_whole_one_is_not_broken() -> None:
    assert len(read_diagram(WHOLE).nodes) == 6


@pytest.mark.parametrize(("change", "line", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_diagram_gets_a_line_that_says_where_and_what(
    change: tuple[str, str], line: int, words: str
) -> None:
    assert change[0] in WHOLE
    with pytest.raises(BlueprintError) as caught:
        read_diagram(WHOLE.replace(*change, 1))
    message = str(caught.value)
    assert message.startswith(f"line {line}: ")
    assert words in message
    assert "\n" not in message


def test_a_lane_without_a_start_is_refused() -> None:
    circle = WHOLE.replace("Refuse --> Finish", "Refuse --> Begin")
    with pytest.raises(BlueprintError, match=r"^lane 'lane' has no start"):
        read_diagram(circle)


def test_a_longer_circle_is_named_whole() -> None:
    circle = WHOLE.replace('Finish(["S005 · Finish"])', 'Finish["S005 · Finish"]').replace(
        "  end\n", "    Finish --> Refuse\n  end\n"
    )
    with pytest.raises(BlueprintError, match="Work --> Finish --> Refuse --> Finish"):
        read_diagram(circle)


def test_a_circle_with_a_decision_is_a_loop() -> None:
    loop = WHOLE.replace("Refuse --> Finish", "Refuse --> Check")
    assert len(read_diagram(loop).nodes) == 6


def test_control_does_not_pass_between_lanes() -> None:
    two = WHOLE.replace(
        "  Work -.->",
        '  subgraph two["2"]\n    Alone(["S007 · Alone"]) --> Work\n  end\n  class Alone test\n  Work -.->',
    )
    with pytest.raises(BlueprintError, match=r"^line 11: control passes only between steps of one lane"):
        read_diagram(two)


def test_an_empty_diagram_is_refused() -> None:
    with pytest.raises(BlueprintError, match="the diagram is empty"):
        read_diagram("%% nothing\n")


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_line_ends_of_all_systems_are_read(newline: str) -> None:
    assert read_diagram(WHOLE.replace("\n", newline)).nodes == read_diagram(WHOLE).nodes


def test_a_lane_that_is_not_drawn_is_named() -> None:
    with pytest.raises(
        BlueprintError, match=re.escape("no lane 'attic' is drawn; there are request, answer")
    ):
        load_diagram().only("attic")
