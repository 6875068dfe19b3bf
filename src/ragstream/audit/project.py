"""The audit of Ragstream by itself: its diagram, its functions, its tests, its pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ragstream.audit.durations import load_durations
from ragstream.audit.evidence import Evidence, carry
from ragstream.audit.facts import WAY_ON, Facts, load_facts
from ragstream.audit.folder import Folder
from ragstream.audit.inspection import Inspector, way
from ragstream.audit.page import Place
from ragstream.audit.registry import evidence_in
from ragstream.audit.report import Account, Status
from ragstream.blueprint import Diagram
from ragstream.errors import ConfigError

__all__ = ["DURATIONS", "FACTS", "Project", "gaps"]

FACTS = ".ragstream-facts.json"  # what `make test` writes, at the root of a checkout
DURATIONS = ".ragstream-durations.json"  # what benchmarks/steps.py writes there


def gaps(accounts: Iterable[Account]) -> Iterator[str]:
    """Yield a line for each step that nothing does, or nothing leads to."""
    for account in accounts:
        if account.status in (Status.MISSING, Status.NOT_WIRED):
            yield f"{account.node}: {account.status.value} {' '.join(account.differences)}"


class Project:
    """A checkout, audited as it is now.

    Args:
        root: of the checkout.
        diagram: as it is drawn.
        functions: those marked for it, by node.

    Raises:
        ConfigError: ``root`` is no checkout, or its registry or facts cannot be read.
    """

    def __init__(self, root: Path, diagram: Diagram, functions: Mapping[str, Callable[..., Any]]) -> None:
        if not (root / "docs" / "architecture").is_dir():
            raise ConfigError(
                "docs/architecture is not here; run in a checkout of Ragstream, or audit other code with "
                "--diagram and --code"
            )
        root = root.resolve()
        home = root / "docs" / "architecture"
        self.facts: Facts | None = load_facts(root / FACTS)
        registry = home / "rag_steps.yml"
        before = evidence_in(registry)
        durations = load_durations(root / DURATIONS)
        evidence = {
            node.id: carry(
                node,
                before.get(node.id, Evidence()),
                self.facts,
                root,
                durations.get(node.step_id),
            )
            for node in diagram.nodes
        }
        inspector = Inspector(diagram, functions, evidence, root)
        self.accounts: Sequence[Account] = [inspector.account(node) for node in diagram.nodes]
        self.folder = Folder(
            Place(home / "steps", root, home / "diagrams" / "ragstream.mmd", registry),
            "The steps",
            "ragstream audit --write",
        )

    def findings(self) -> Iterator[str]:
        """Yield a line for everything that is not as it is drawn or written."""
        yield from gaps(self.accounts)
        for account in self.accounts if self.facts and self.facts.whole else ():
            yield from self._untaken(account)
        yield from self.folder.findings(self.accounts)

    def _untaken(self, account: Account) -> Iterator[str]:
        for edge in account.node.edges:
            if (edge.outcome or WAY_ON) not in account.taken:
                yield f"{account.node}: no test took the way {way(account.node, edge)}"
