"""What a diagram must obey to be run: one function a rule, each with one line that says what to change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ragstream.blueprint.diagram import Diagram, Kind, Node, Track
from ragstream.errors import BlueprintError

__all__ = ["check"]


def check(diagram: Diagram) -> None:
    """Raise BlueprintError for the first rule that the diagram breaks."""
    _check_numbers(diagram.nodes)
    for track in diagram.tracks:
        _check_entrances(track)
        for node in track.nodes:
            _check_ways_out(node)
        _check_reached(track)
        _check_cycles(track)


def _check_numbers(nodes: Iterable[Node]) -> None:
    seen: dict[int, Node] = {}
    for node in nodes:
        if (first := seen.setdefault(node.number, node)) is not node:
            raise _broken(
                node, f"its number is that of {first.id} (line {first.line}); take a number never used"
            )


def _check_entrances(track: Track) -> None:
    starts = [node for node in track.nodes if node.kind is Kind.START]
    if not starts:
        raise BlueprintError(
            f'lane {track.name!r} has no start; draw one round node, (["…"]), that no edge leads to'
        )
    if len(starts) > 1:
        raise _broken(starts[1], f"a second start in lane {track.name!r} beside {starts[0]}; a lane has one")
    rescues = [node for node in track.nodes if node.kind is Kind.ERROR and not track.entries[node.id]]
    if len(rescues) > 1:
        raise _broken(
            rescues[1],
            f"a second rescue node in lane {track.name!r} beside {rescues[0]}; lead an edge to one",
        )


def _check_ways_out(node: Node) -> None:
    labels = [edge.outcome for edge in node.edges]
    if node.kind is Kind.DECISION:
        if len(labels) < 2 or None in labels:
            raise _broken(node, "a decision has two or more ways out, each with an outcome: -->|yes|")
        if len(set(labels)) < len(labels):
            raise _broken(node, "two ways out carry the same outcome; a decision takes exactly one")
    elif node.kind is Kind.END:
        if labels:
            raise _broken(node, "an end has no way out; draw a box if the lane goes on")
    elif len(labels) != 1:
        raise _broken(node, f"it has {len(labels)} ways out, but must have one; only a rhombus decides")
    elif labels[0] is not None:
        raise _broken(node, f"its way out carries the outcome {labels[0]!r}, but only a rhombus decides")


def _check_reached(track: Track) -> None:
    nodes = {node.id: node for node in track.nodes}
    reached: set[str] = set()
    waiting = [node.id for node in (track.start, track.rescue) if node]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [edge.target for edge in nodes[name].edges]
    for node in track.nodes:
        if node.id not in reached:
            raise _broken(node, f"no way leads to it from the start of lane {track.name!r}")


def _check_cycles(track: Track) -> None:
    """Follow the one way out of each step that does not decide: it must come to a decision or an end."""
    nodes = {node.id: node for node in track.nodes}
    for node in track.nodes:
        way = list(_undecided(node, nodes))
        if way[-1].edges and way[-1].kind is not Kind.DECISION:
            raise _broken(node, f"a circle without a decision: {' --> '.join(step.id for step in way)}")


def _undecided(node: Node, nodes: dict[str, Node]) -> Iterator[Node]:
    seen: set[str] = set()
    while node.id not in seen:
        seen.add(node.id)
        yield node
        if node.kind is Kind.DECISION or not node.edges:
            return
        node = nodes[node.edges[0].target]
    yield node


def _broken(node: Node, what: str) -> BlueprintError:
    return BlueprintError(f"line {node.line}: {node}: {what}")
