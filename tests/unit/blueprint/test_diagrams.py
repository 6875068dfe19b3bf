"""Our diagram, and the approved one that it is cut from."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ragstream.blueprint import Diagram, Kind, Node, load_diagram, read_diagram
from ragstream.blueprint.mermaid import Drawing, parse

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SHIPPED = ROOT / "src" / "ragstream" / "blueprint" / "ragstream.mmd"
DOCUMENTED = ROOT / "docs" / "architecture" / "diagrams" / "ragstream.mmd"
APPROVED = HERE / "approved.mmd"

OFFICIAL_SHAPES = {
    "square": "box",
    "diamond": "rhombus",
    "subroutine": "double",
    "stadium": "round",
    "cylinder": "drum",
}


@pytest.fixture(scope="module")
def ours() -> Diagram:
    return load_diagram()


@pytest.fixture(scope="module")
def approved() -> Diagram:
    return read_diagram(APPROVED.read_text("utf-8"))


def test_the_package_ships_the_documented_diagram() -> None:
    assert SHIPPED.read_bytes() == DOCUMENTED.read_bytes()


def test_ours_is_cut_from_the_approved_one(ours: Diagram, approved: Diagram) -> None:
    def essence(node: Node) -> tuple[Any, ...]:
        return node.number, node.label, node.kind, node.category, node.lane, node.step_id

    planned = {node.id: essence(node) for node in approved.nodes}
    assert {node.id: essence(node) for node in ours.nodes}.items() <= planned.items()


def test_the_two_have_the_same_head_and_the_same_data_edges() -> None:
    def head(path: Path) -> str:
        return path.read_text("utf-8").partition("flowchart")[0]

    def data(path: Path) -> set[tuple[str, str, str | None]]:
        return {(a.source, a.target, a.label) for a in parse(path.read_text("utf-8")).arrows if a.dotted}

    drawn = parse(SHIPPED.read_text("utf-8")).shapes
    assert head(SHIPPED) == head(APPROVED)
    assert data(SHIPPED) == {edge for edge in data(APPROVED) if edge[0] in drawn and edge[1] in drawn}


def test_the_request_lane_is_whole(ours: Diagram, approved: Diagram) -> None:
    for drawn in (ours, approved):
        request = drawn.only("request").nodes
        assert sorted(node.number for node in request) == [
            1, 2, 3, 5, 30, 101, *range(104, 111), 112, 115, 116,
        ]  # fmt: skip
    edges = [{node.id: node.edges for node in d.only("request").nodes} for d in (ours, approved)]
    assert edges[0] == edges[1]


def test_the_answer_lane_has_a_start_and_a_rescue(ours: Diagram, approved: Diagram) -> None:
    for drawn in (ours, approved):
        (track,) = drawn.only("answer").tracks
        assert (track.start.number, track.rescue and track.rescue.number) == (117, 73)
        assert track.label == "answer · inside the async generator, once"


def test_the_step_ids_that_are_fixed_to_the_letter(ours: Diagram) -> None:
    ids = {node.number: node.step_id for node in ours.nodes}
    assert {number: ids[number] for number in range(104, 111)} == {
        104: "RAG.streaming.streaming.requested",
        105: "RAG.streaming.chatbotcontroller.chat.stream.setup.sse",
        106: "RAG.platform.create.async.generator",
        107: "RAG.preflight.singlepassstream.prevent.double.iteration",
        108: "RAG.streaming.write.sse.format.chunks",
        109: "RAG.streaming.streamingresponse.send.chunks",
        110: "RAG.platform.send.done.frame",
    }


def test_step_ids_are_words_joined_by_dots_and_unique(approved: Diagram) -> None:
    ids = [node.step_id for node in approved.nodes]
    assert "RAG.streaming.find.the.stream.at.the.readers.cursor" in ids
    assert len(set(ids)) == len(ids)
    assert all(part.isalnum() and (part.islower() or part == "RAG") for i in ids for part in i.split("."))


def test_decisions_have_outcomes_and_others_have_none(approved: Diagram) -> None:
    kinds = {node.id: (node.kind, node.outcomes) for node in approved.nodes}
    assert kinds["StreamCheck"] == (Kind.DECISION, frozenset({"yes", "no", "follow"}))
    assert kinds["StreamSetup"] == (Kind.PROCESS, frozenset())
    assert kinds["RejectRequest"] == (Kind.ERROR, frozenset())
    assert (kinds["Start"][0], kinds["End"][0]) == (Kind.START, Kind.END)


@pytest.fixture(scope="module")
def official() -> list[dict[str, Any]]:
    """Both diagrams, as Mermaid's own parser reads them."""
    command = ["node", str(ROOT / "tests" / "interop" / "mermaid.mjs"), str(SHIPPED), str(APPROVED)]
    printed = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
    drawings: list[dict[str, Any]] = json.loads(printed)
    return drawings


def _as_official(drawing: Drawing) -> dict[str, Any]:
    return {
        "shapes": {(s.id, s.shape, s.text, s.lane) for s in drawing.shapes.values()},
        "arrows": [(a.source, a.target, a.label, a.dotted) for a in drawing.arrows],
        "lanes": drawing.lanes,
        "classes": {node: [name] for node, (name, _) in drawing.classes.items()},
    }


@pytest.mark.interop
@pytest.mark.parametrize(("index", "path"), [(0, SHIPPED), (1, APPROVED)], ids=["shipped", "approved"])
def test_mermaid_itself_reads_the_diagram_as_we_do(
    official: list[dict[str, Any]], index: int, path: Path
) -> None:
    theirs = official[index]
    assert _as_official(parse(path.read_text("utf-8"))) == {
        "shapes": {(name, OFFICIAL_SHAPES[kind], text, lane) for name, kind, text, lane in theirs["shapes"]},
        "arrows": [tuple(arrow) for arrow in theirs["arrows"]],
        "lanes": theirs["lanes"],
        "classes": {name: classes for name, classes in theirs["classes"].items() if classes},
    }
