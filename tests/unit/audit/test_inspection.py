"""The exact audit: each status has its facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from ragstream.audit.evidence import Evidence
from ragstream.audit.inspection import Inspector
from ragstream.audit.report import Account, Status
from ragstream.blueprint import Diagram
from ragstream.blueprint.diagram import Track

from .conftest import UNIT, WALKS, Saw

Functions = Mapping[str, Callable[..., Any]]


def _accounts(project: Any) -> dict[str, Account]:
    return {account.node.id: account for account in project.accounts}


def test_a_step_that_is_bound_reached_and_tested_is_implemented(audited: Saw) -> None:
    for account in audited(WALKS).accounts:
        assert (account.status, account.confidence, account.differences) == (Status.IMPLEMENTED, 1.0, ())
    check = _accounts(audited())["Check"]
    (candidate,) = check.candidates
    assert (candidate.file, candidate.score) == ("src/lane.py", 1.0)
    assert candidate.evidence == (
        'marked `@step("Check")` and bound at start',
        "its outcomes are those drawn: no, yes",
        "tests that passed went through it, and its log line was written",
    )


def test_a_way_that_no_test_took_makes_it_partial(audited: Saw) -> None:
    walks = {test: {**walk, "Check": ["yes"]} for test, walk in WALKS.items()}
    check = _accounts(audited(walks))["Check"]
    assert check.status is Status.PARTIAL
    assert check.differences == ("No test took the way `Check -->|no| Work`.",)
    assert "Test the way `Check -->|no| Work`." in check.actions


def test_without_any_test_every_step_is_partial(audited: Saw) -> None:
    for account in audited({}).accounts:
        assert account.status is Status.PARTIAL
        assert account.differences == ("No test that passed went through it.",)
        assert not any(task.done for task in account.tasks if "tests" in task.title)


def test_a_function_that_does_not_fit_makes_it_partial(
    diagram: Diagram, functions: Functions, root: Path
) -> None:
    def unsure(state: object) -> Literal["yes", "perhaps"]:
        return "perhaps"

    inspector = Inspector(diagram, {**functions, "Check": unsure}, {}, root)
    account = inspector.account(next(node for node in diagram.nodes if node.id == "Check"))
    assert account.status is Status.PARTIAL
    assert "it may return 'perhaps', but no edge carries that" in account.differences[0]
    (task,) = (task for task in account.tasks if task.title == "Implementation changes")
    assert not task.done


def test_a_function_that_is_not_handed_to_bind_is_not_wired(
    diagram: Diagram, functions: Functions, root: Path
) -> None:
    account = _without("Check", diagram, functions, root)
    assert account.status is Status.NOT_WIRED
    assert account.candidates[0].symbol == "check"
    assert "its module is not handed to `bind`" in account.candidates[0].evidence[0]


def test_a_node_without_a_function_is_missing(diagram: Diagram, functions: Functions, root: Path) -> None:
    source = root / "src" / "lane.py"
    source.write_text(source.read_text().replace('@step("Check")', ""))
    account = _without("Check", diagram, functions, root)
    assert (account.status, account.candidates) == (Status.MISSING, ())
    assert account.differences == ("No function is bound to it.",)


def _without(name: str, diagram: Diagram, functions: Functions, root: Path) -> Account:
    others = {node: function for node, function in functions.items() if node != name}
    inspector = Inspector(diagram, others, {}, root)
    return inspector.account(next(node for node in diagram.nodes if node.id == name))


def test_a_node_that_nothing_leads_to_is_not_wired(
    diagram: Diagram, functions: Functions, root: Path
) -> None:
    (track,) = diagram.tracks
    cut = tuple(replace(node, edges=()) if node.id == "Begin" else node for node in track.nodes)
    inspector = Inspector(Diagram((Track("lane", "lane", cut),)), functions, {}, root)
    account = inspector.account(cut[1])
    assert (account.node.id, account.status) == ("Work", Status.NOT_WIRED)
    assert "No edge leads to it" in account.differences[0]


@pytest.mark.parametrize(
    ("name", "title", "done", "words"),
    [
        (
            "Begin",
            "Observability",
            True,
            "`RAG STEP 1 (RAG.test.begin): Begin | attrs={...}`, seen in test runs",
        ),
        ("Work", "Feature flag / config", True, "settings `hours`, `strength`"),
        ("Begin", "Feature flag / config", False, "it reads no setting itself"),
        ("Work", "Rollout plan", True, "its lane leads to it"),
        ("Rescue", "Unit tests", False, "none went through it"),
    ],
)
def test_boxes_are_ticked_by_facts(audited: Saw, name: str, title: str, done: bool, words: str) -> None:
    (task,) = (task for task in _accounts(audited(WALKS))[name].tasks if task.title == title)
    assert (task.done, task.words) == (done, words)


def test_boxes_name_the_tests_that_ran(diagram: Diagram, functions: Functions, root: Path) -> None:
    node = diagram.nodes[0]
    evidence = {node.id: Evidence({"unit": [UNIT]}, frozenset({""}), 0.4)}
    account = Inspector(diagram, functions, evidence, root).account(node)
    assert account.tasks[0].tests == (UNIT,)
    assert account.milliseconds == 0.4
