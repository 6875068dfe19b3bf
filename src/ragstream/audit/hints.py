"""What looks wrong in a flowchart that is no blueprint: it is told, and the audit goes on."""

from __future__ import annotations

from collections.abc import Iterator

from ragstream.blueprint import Diagram, Kind, Node

__all__ = ["hints"]


def hints(diagram: Diagram) -> Iterator[str]:
    """Yield a line for each oddity in ``diagram``, with the line's number and what to change."""
    nodes = {node.id: node for node in diagram.nodes}
    entered = {edge.target for node in diagram.nodes for edge in node.edges}
    labelled = sum(node.label != node.id for node in diagram.nodes)
    starts: dict[str, Node] = {}
    circles: set[str] = set()
    for node in diagram.nodes:
        if node.kind is Kind.START and (first := starts.setdefault(node.lane, node)) is not node:
            yield _line(node, f"a second start in lane {node.lane!r} beside {first}; lead an edge to one")
        if node.label == node.id and not node.edges and 2 * labelled > len(nodes):
            yield _line(node, "edge to nowhere: it has no label; give it one, or mend its id")
        elif not node.edges and node.id not in entered and _has_edges(node.lane, diagram):
            yield _line(node, "no edge leads to it or from it; draw one, or leave it out")
        circle = _circle(node, nodes)
        if circle and not circles.intersection(circle):
            circles.update(circle)
            yield _line(node, f"a circle without a decision: {' --> '.join(circle)}; draw a rhombus, {{…}}")


def _has_edges(lane: str, diagram: Diagram) -> bool:
    return any(node.edges for node in diagram.nodes if node.lane == lane)


def _circle(node: Node, nodes: dict[str, Node]) -> list[str]:
    """Return the circle in which whoever comes to ``node`` goes round for ever, if there is one."""
    way: list[str] = []
    while node.id not in way:
        way.append(node.id)
        if node.kind is Kind.DECISION or len(node.edges) != 1:
            return []
        node = nodes[node.edges[0].target]
    return [*way[way.index(node.id) :], node.id]


def _line(node: Node, what: str) -> str:
    return f"line {node.line}: {node}: {what}"
