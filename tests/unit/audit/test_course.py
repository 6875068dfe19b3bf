"""Conformance of walks: what is drawn passes, what is not is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ragstream.audit.course import Conformance, Course
from ragstream.audit.trace import audit_trace
from ragstream.blueprint import Diagram, read_diagram

DRAWN = """flowchart TD
subgraph lane["a lane"]
    Begin(["S001 · Begin"]) --> Work["S002 · Work"]
    Work --> Check{"S003 · Done?"}
    Check -->|no| Work
    Check -->|yes| Finish(["S004 · Finish"])
    Rescue[["S005 · Rescue"]] --> Finish
end
class Begin,Work,Check,Finish,Rescue test
"""


@pytest.fixture
def diagram() -> Diagram:
    return read_diagram(DRAWN)


def _line(step: int, to: int | None, request: str = "r", **more: Any) -> dict[str, Any]:
    return {"step": step, "request_id": request, "next_step": to, "processing_stage": "completed", **more}


def _check(to: int, outcome: str, request: str = "r") -> dict[str, Any]:
    return _line(3, to, request, outcome=outcome)


def _heard(diagram: Diagram, *lines: dict[str, Any]) -> list[str]:
    conformance = Conformance(Course(diagram.nodes))
    return [finding for line in lines for finding in conformance.hear(line)]


WALK = (_line(1, 2), _line(2, 3), _check(2, "no"), _line(2, 3), _check(4, "yes"), _line(4, None))


def test_a_walk_that_is_drawn_passes(diagram: Diagram) -> None:
    assert _heard(diagram, *WALK, *WALK) == []


def test_interleaved_requests_are_told_apart(diagram: Diagram) -> None:
    others = [line | {"request_id": "s"} for line in WALK]
    mixed = [line for pair in zip(WALK, others, strict=True) for line in pair]
    assert _heard(diagram, *mixed) == []


def test_two_walks_of_one_request_may_interleave(diagram: Diagram) -> None:
    assert _heard(diagram, *(line for line in WALK for _ in range(2))) == []


def test_a_rescue_may_follow_anything(diagram: Diagram) -> None:
    failed = _line(2, None) | {"processing_stage": "failed", "code": "cancelled"}
    assert _heard(diagram, WALK[0], failed, _line(5, 4), _line(4, None)) == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((_line(1, 4),), "S001 Begin -> S004 Finish: no such edge; drawn: S002 Work"),
        ((*WALK[:2], _check(4, "no")), "S003 Check -> S004 Finish with outcome 'no'"),
        ((*WALK[:2], _check(2, "perhaps")), "S003 Check -> S002 Work with outcome 'perhaps'"),
        ((WALK[0], _check(4, "yes")), "S002 Work announced, but S003 Check came"),
        ((_line(2, 3),), "S002 Work begins a walk"),
        ((WALK[0], _line(2, None)), "S002 Work -> nothing"),
        ((_line(9, None),), "S009 is not drawn"),
    ],
)
def test_what_is_not_drawn_is_named_once(diagram: Diagram, lines: tuple[Any, ...], words: str) -> None:
    (finding,) = _heard(diagram, *lines)
    assert words in finding


def test_nothing_is_kept_of_walks_that_are_over(diagram: Diagram) -> None:
    conformance = Conformance(Course(diagram.nodes))
    for number in range(100):
        for line in WALK:
            assert not list(conformance.hear(line | {"request_id": f"r{number}"}))
    assert not conformance._announced


def test_a_trace_names_the_line(diagram: Diagram) -> None:
    others = b'{"event":"something else","step":"of another kind"}'
    lines = [*(json.dumps(line).encode() for line in WALK[:2]), others, b"", b"{", b'{"step":1}']
    lines.append(json.dumps(_check(4, "no")).encode())
    assert [finding.partition(": ")[0] for finding in audit_trace(diagram, lines)] == ["line 5", "line 7"]
