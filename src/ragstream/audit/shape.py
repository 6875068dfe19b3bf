"""What follows from the drawing alone: how much hangs on a step."""

from __future__ import annotations

from collections.abc import Iterator

from ragstream.blueprint import Diagram, Kind, Node

__all__ = ["reached", "risks"]


def risks(node: Node, diagram: Diagram) -> Iterator[str]:
    """Yield what a fault of ``node`` would mean for its lane."""
    entrances = [other for other in diagram.nodes for edge in other.edges if edge.target == node.id]
    if node.kind is Kind.ERROR and not entrances:
        yield "The lane's rescue: what stops, fails or dies ends here, or ends without being told."
    if _is_unavoidable(node, diagram):
        yield "Every walk of the lane from its start to an end comes through it."
    elif entrances or node.kind is not Kind.ERROR:
        yield "Some walks of the lane pass it by: a fault may stay unseen until one does not."
    if len(entrances) > 1:
        names = ", ".join(dict.fromkeys(f"`{other.id}`" for other in entrances))
        yield f"It is reached by {len(entrances)} edges: from {names}."
    if node.kind is Kind.DECISION:
        outcomes = ", ".join(f"`{edge.outcome}`" for edge in node.edges)
        yield f"It decides between {outcomes}; a wrong outcome sends the walk down the wrong way."


def reached(diagram: Diagram, without: Node | None = None) -> set[str]:
    """Return the nodes that edges lead to from the starts and rescue nodes, none of them by ``without``."""
    nodes = {node.id: node for node in diagram.nodes}
    entered = {edge.target for node in diagram.nodes for edge in node.edges}
    waiting = [
        node.id
        for node in diagram.nodes
        if node.kind is Kind.START or (node.kind is Kind.ERROR and node.id not in entered and not without)
    ]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found and nodes[name] is not without:
            found.add(name)
            waiting += [edge.target for edge in nodes[name].edges]
    return found


def _is_unavoidable(node: Node, diagram: Diagram) -> bool:
    ends = {other.id for other in diagram.nodes if other.lane == node.lane and not other.edges}
    return not (ends - {node.id}) & reached(diagram, without=node)
