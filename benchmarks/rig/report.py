"""Results: medians with their spread, as a table, as JSON, and as a plot where matplotlib is installed."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rig.machine import facts

__all__ = ["RESULTS", "quantile", "save", "spread", "table"]

RESULTS = Path(__file__).parents[1] / "results"
_ROOT = Path(__file__).parents[2]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of the values lie; nan where there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return the median, and the least and the largest in brackets."""
    if not values:
        return "-"
    low, middle, high = min(values), statistics.median(values), max(values)
    if len(values) == 1:
        return f"{middle:.{digits}f}"
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def save(name: str, title: str, text: str, data: object, *, plot: bool = False, told: bool = True) -> None:
    """Write results/NAME.md and NAME.json with where they were measured, and print the first if ``told``."""
    RESULTS.mkdir(exist_ok=True)
    where = facts()
    page = f"# {title}\n\n{text}\n{_footer(where)}"
    (RESULTS / f"{name}.md").write_text(page, "utf-8")
    (RESULTS / f"{name}.json").write_text(
        json.dumps({"where": where, "data": data}, indent=1) + "\n", "utf-8"
    )
    if told:
        print(page)
    if plot:
        _plot(name)


def _footer(where: Mapping[str, str]) -> str:
    return (
        f"{where['cpu']}, {where['cores']} cores, Linux {where['kernel']}, Python {where['python']}; "
        f"commit {where['commit']} of {where['date']}; {where['versions']}. Beside it: {where['peers']}.\n"
    )


def _plot(name: str) -> None:
    python = _ROOT / ".venv-peers" / "bin" / "python"
    if python.exists():
        subprocess.run([python, Path(__file__).with_name("plot.py"), RESULTS / f"{name}.json"], check=True)
