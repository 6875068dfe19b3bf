"""Which tests a step's page names: a page changes when something became false, not with every new test."""

from __future__ import annotations

from pathlib import Path

from ragstream.audit.evidence import Evidence, carry
from ragstream.audit.facts import Facts
from ragstream.blueprint import Diagram, Node

from .conftest import PARITY, RESCUE, UNIT, WALKS

OTHER = "tests/unit/test_other.py::test_better"
BEFORE = Evidence({"unit": [UNIT]}, frozenset({"no"}), 1.5)


def _node(diagram: Diagram, name: str) -> Node:
    return next(node for node in diagram.nodes if node.id == name)


def test_a_first_run_names_tests_by_kind(diagram: Diagram, root: Path) -> None:
    facts = Facts(whole=True, walks=WALKS)
    check = carry(_node(diagram, "Check"), Evidence(), facts, root)
    assert check.tests == {"unit": [UNIT, PARITY], "parity": [PARITY]}
    assert check.taken == {"no", "yes"}
    assert carry(_node(diagram, "Rescue"), Evidence(), facts, root).tests == {"integration": [RESCUE]}


def test_without_a_run_everything_is_carried(diagram: Diagram, root: Path) -> None:
    assert carry(_node(diagram, "Check"), BEFORE, None, root) == BEFORE


def test_a_better_test_takes_no_place(diagram: Diagram, root: Path) -> None:
    facts = Facts(whole=True, walks={**WALKS, OTHER: {"Check": ["no"]}})
    assert carry(_node(diagram, "Check"), BEFORE, facts, root).tests["unit"] == [UNIT]


def test_a_test_that_no_longer_comes_through_is_replaced(diagram: Diagram, root: Path) -> None:
    for walk in ({}, {"Begin": [""]}):  # it failed, or went another way
        facts = Facts(whole=True, walks={UNIT: walk, OTHER: {"Check": ["no"]}})
        assert carry(_node(diagram, "Check"), BEFORE, facts, root).tests == {"unit": [OTHER]}


def test_a_test_that_is_gone_is_dropped_without_a_run(diagram: Diagram, root: Path) -> None:
    (root / "tests/unit/test_lane.py").write_text("def test_all_of_it(): ...\n")
    assert carry(_node(diagram, "Check"), BEFORE, None, root).tests == {}


def test_a_test_that_did_not_run_is_believed(diagram: Diagram, root: Path) -> None:
    facts = Facts(whole=True, walks={OTHER: {"Check": ["no"]}})  # skipped, for want of a service
    assert carry(_node(diagram, "Check"), BEFORE, facts, root).tests == {"unit": [UNIT]}


def test_a_partial_run_adds_ways_and_a_whole_one_replaces_them(diagram: Diagram, root: Path) -> None:
    walks = {UNIT: {"Check": ["yes", "no longer drawn"]}}
    part, whole = (Facts(whole=whole, walks=walks) for whole in (False, True))
    assert carry(_node(diagram, "Check"), BEFORE, part, root).taken == {"no", "yes"}
    assert carry(_node(diagram, "Check"), BEFORE, whole, root).taken == {"yes"}


def test_a_new_benchmark_replaces_the_duration(diagram: Diagram, root: Path) -> None:
    assert carry(_node(diagram, "Check"), BEFORE, None, root, 0.5).milliseconds == 0.5
    assert carry(_node(diagram, "Check"), BEFORE, None, root).milliseconds == 1.5
