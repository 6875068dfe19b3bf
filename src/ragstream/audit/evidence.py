"""What was seen of a step: what the registry says of its tests and duration, corrected by what ran since.

The registry carries the evidence, so that a checkout that has run nothing says the same as one that has. A
test is dropped from it when it is gone, failed, or ran without coming through the step; others take its place
only where a kind has none left. So pages change when something became false, and not with every new test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ragstream.audit.facts import Facts, standing
from ragstream.blueprint import Node

__all__ = ["KINDS", "Evidence", "carry"]

KINDS = ("unit", "parity", "integration")
_PARITY = re.compile(r"parity|_alike|_are_the_same")  # two ways are compared
_MOST = 3  # tests of a kind on a page: those that go through the fewest steps


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen of a step."""

    tests: dict[str, list[str]] = field(default_factory=dict)  # ids, by kind
    taken: frozenset[str] = frozenset()  # the outcomes with which tests left it
    milliseconds: float | None = None  # it took in the last benchmark


def carry(
    node: Node, before: Evidence, facts: Facts | None, root: Path, milliseconds: float | None = None
) -> Evidence:
    """Return the evidence for ``node``: what was ``before``, corrected by test runs and a benchmark."""
    fresh = facts.through(node.id) if facts else []
    tests = {
        kind: list(_holding(before.tests.get(kind, []), node, facts, root))
        or [test for test in fresh if kind in _kinds(test)][:_MOST]
        for kind in KINDS
    }
    taken = frozenset(facts.ways(node.id)) if facts else frozenset()
    if facts is None or not facts.whole:
        taken |= before.taken
    return Evidence(
        {kind: found for kind, found in tests.items() if found},
        taken & {edge.outcome or "" for edge in node.edges},
        before.milliseconds if milliseconds is None else milliseconds,
    )


def _holding(tests: list[str], node: Node, facts: Facts | None, root: Path) -> Iterator[str]:
    """Yield those of ``tests`` that may still be said to go through ``node``."""
    there = standing(tests, root)
    for test in tests:
        if test in there and (facts is None or node.id in facts.walks.get(test, (node.id,))):
            yield test


def _kinds(test: str) -> tuple[str, ...]:
    kind = "unit" if test.startswith("tests/unit/") else "integration"
    return (kind, "parity") if _PARITY.search(test) else (kind,)
