"""Which tests show that a step works: what the registry says, corrected by what the last test run saw.

The registry carries the evidence, so that a checkout that has run nothing says the same as one that has. A
test is dropped from it when it is gone, or ran without coming through the step; others take its place only
where a kind has none left. So pages change when something became false, and not with every new test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from ragstream.audit.facts import Facts
from ragstream.blueprint import Node

__all__ = ["KINDS", "Evidence", "carry"]

KINDS = ("unit", "parity", "integration")
_PARITY = re.compile(r"parity|_alike|_are_the_same")  # two ways are compared
_MOST = 3  # tests of a kind on a page: those that go through the fewest steps


@dataclass(frozen=True, slots=True)
class Evidence:
    """What tests have shown of a step."""

    tests: dict[str, list[str]] = field(default_factory=dict)  # ids, by kind
    taken: frozenset[str] = frozenset()  # the outcomes with which tests left it


def carry(node: Node, before: Evidence, facts: Facts | None, root: Path) -> Evidence:
    """Return the evidence for ``node`` after a test run, or without one, from what was known ``before``."""
    drawn = {edge.outcome or "" for edge in node.edges}
    kept = {
        kind: [test for test in before.tests.get(kind, ()) if _holds(test, node, facts, root)]
        for kind in KINDS
    }
    if facts is None:
        taken = before.taken
    else:
        taken = frozenset(facts.ways(node.id))
        fresh = facts.through(node.id)
        for kind in KINDS:
            kept[kind] = kept[kind] or [test for test in fresh if kind in _kinds(test)][:_MOST]
    return Evidence({kind: tests for kind, tests in kept.items() if tests}, taken & drawn)


def _holds(test: str, node: Node, facts: Facts | None, root: Path) -> bool:
    file, _, name = test.partition("::")
    if facts is not None and file in facts.files:
        return node.id in facts.tests.get(test, ())
    path = root / file
    return path.is_file() and f"def {name.rpartition('::')[2]}(" in path.read_text("utf-8")


def _kinds(test: str) -> tuple[str, ...]:
    kind = "unit" if test.startswith("tests/unit/") else "integration"
    return (kind, "parity") if _PARITY.search(test) else (kind,)
