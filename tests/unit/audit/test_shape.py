"""What follows from the drawing alone."""

from __future__ import annotations

from ragstream.audit.shape import reached, risks
from ragstream.blueprint import Diagram


def _risks(diagram: Diagram, name: str) -> list[str]:
    return list(risks(next(node for node in diagram.nodes if node.id == name), diagram))


def test_what_edges_lead_to(diagram: Diagram) -> None:
    assert reached(diagram) == {"Begin", "Work", "Check", "Finish", "Rescue"}
    work = next(node for node in diagram.nodes if node.id == "Work")
    assert reached(diagram, without=work) == {"Begin"}


def test_how_much_hangs_on_a_step(diagram: Diagram) -> None:
    through = "Every walk of the lane from its start to an end comes through it."
    assert _risks(diagram, "Begin") == [through]
    assert _risks(diagram, "Work") == [through, "It is reached by 2 edges: from `Begin`, `Check`."]
    assert _risks(diagram, "Check")[1].startswith("It decides between `no`, `yes`")
    assert _risks(diagram, "Rescue") == [
        "The lane's rescue: what stops, fails or dies ends here, or ends without being told."
    ]
