"""Flowcharts as people draw them."""

from __future__ import annotations

import pytest

from ragstream.audit.sketch import drawn_in, read_any
from ragstream.blueprint import Diagram, Kind, load_diagram
from ragstream.errors import BlueprintError


def _edges(diagram: Diagram) -> set[tuple[str, str | None, str]]:
    return {(node.id, edge.outcome, edge.target) for node in diagram.nodes for edge in node.edges}


@pytest.mark.parametrize(
    ("line", "edges"),
    [
        ("A --> B", {("A", None, "B")}),
        ("A-->B", {("A", None, "B")}),
        ("A --> B --> C", {("A", None, "B"), ("B", None, "C")}),
        ("A & B --> C", {("A", None, "C"), ("B", None, "C")}),
        ("A --> B & C", {("A", None, "B"), ("A", None, "C")}),
        ("A -->|yes| B", {("A", "yes", "B")}),
        ("A -- no way --> B", {("A", "no way", "B")}),
        ("A -. maybe .-> B", {("A", "maybe", "B")}),
        ("A == sure ==> B", {("A", "sure", "B")}),
        ("A -.-> B", {("A", None, "B")}),
        ("A --- B", {("A", None, "B")}),
        ("A[one] ==> B(two)", {("A", None, "B")}),
        ("a-b.c --> B:::warm", {("a-b.c", None, "B")}),
    ],
)
def test_edges(line: str, edges: set[tuple[str, str | None, str]]) -> None:
    assert _edges(read_any(f"graph LR\n{line}\n")) == edges


@pytest.mark.parametrize(
    ("shape", "label"),
    [
        ("[Plain words]", "Plain words"),
        ('["in (quotes)"]', "in (quotes)"),
        ("[[Sub]]", "Sub"),
        ("{Really?}", "Really?"),
        ("{{Hex}}", "Hex"),
        ("([Round])", "Round"),
        ("((Circle))", "Circle"),
        ("[/Slanted/]", "Slanted"),
        (">Flag]", "Flag"),
        ("[1. Two<br/>lines]", "Two lines"),
        ('["fa:fa-ban Stop #quot;it#quot;"]', "Stop 'it"),
    ],
)
def test_labels(shape: str, label: str) -> None:
    (node,) = read_any(f"flowchart TD\nA{shape}\n").nodes
    assert node.label == label


def test_kinds_lanes_and_numbers() -> None:
    diagram = read_any(
        "flowchart\nsubgraph one[The one]\nA([In]) --> B{Which?}\nend\nB --> C([Out])\nD[(Store)] --> B\n"
        "classDef warm fill:red\nclass B warm\n"
    )
    assert [(node.id, node.number, node.kind, node.lane, node.category) for node in diagram.nodes] == [
        ("A", 1, Kind.START, "The one", "step"),
        ("B", 2, Kind.DECISION, "The one", "warm"),
        ("C", 3, Kind.END, "main", "step"),
    ]


def test_a_markdown_page_may_hold_it() -> None:
    page = "# Ours\n\n```mermaid\ngraph TD\n  A --> B\n```\n\nand more\n"
    assert len(read_any(page).nodes) == 2
    assert drawn_in(page).strip() == "graph TD\n  A --> B"


def test_a_blueprint_is_held_to_a_blueprints_rules() -> None:
    with pytest.raises(BlueprintError, match="no category"):
        read_any('flowchart TD\nsubgraph x["x"]\nA(["S001 · In"]) --> B(["S002 · Out"])\nend\n')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sequenceDiagram\nA->>B: hello", "line 1: 'sequenceDiagram': a flowchart begins"),
        ("graph TD\nA --> B\nA ~> B", "line 3: cannot read '~> B'"),
        ("graph TD\n\nA --> !", "line 3: a node's id is missing"),
        (
            "graph TD\nA[Load] --> B\nA[Save] --> B",
            "line 3: A is 'Save' here, but 'Load' before; give one a new id",
        ),
        ("graph TD\nA[Load --> B", "line 2: cannot read '[Load --> B'"),
        ("graph TD\n", "has no node"),
        ("", "has no node"),
    ],
)
def test_what_cannot_be_read_is_one_line(text: str, words: str) -> None:
    with pytest.raises(BlueprintError) as caught:
        read_any(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ours_is_read_as_it_is() -> None:
    from importlib import resources

    text = resources.files("ragstream.blueprint").joinpath("ragstream.mmd").read_text("utf-8")
    assert read_any(text) == load_diagram()
