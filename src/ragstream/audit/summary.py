"""The outcome of an audit as a whole, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from ragstream.audit.report import Account, Status

__all__ = ["as_json", "as_text"]


def as_text(accounts: Sequence[Account]) -> str:
    """Return a line for each step, and how many there are of each status."""
    return "\n".join(_lines(accounts))


def as_json(accounts: Sequence[Account]) -> str:
    """Return the accounts as a JSON object."""
    steps = [
        {
            "step": account.node.number,
            "id": account.node.step_id,
            "node": account.node.id,
            "label": account.node.label,
            "lane": account.node.lane,
            "status": account.status.name.lower(),
            "confidence": round(account.confidence, 2),
            "candidates": account.candidates,
            "differences": account.differences,
            "tests": account.tests,
            "duration_ms": account.milliseconds,
            "actions": account.actions,
        }
        for account in accounts
    ]
    return msgspec.json.format(msgspec.json.encode({"steps": steps})).decode()


def _lines(accounts: Sequence[Account]) -> Iterator[str]:
    for account in accounts:
        best = account.candidates[0] if account.candidates else None
        found = f"{best.file}:{best.line} {best.symbol.rpartition('.')[2]}" if best else "-"
        score = "" if account.confidence == 1.0 else f" {account.confidence:.2f}"
        yield f"{account.status.value}{score} {account.node} · {account.node.label}: {found}"
    counts = Counter(account.status for account in accounts)
    yield ", ".join(
        f"{counts[status]} {status.name.lower().replace('_', ' ')}" for status in Status if counts[status]
    )
