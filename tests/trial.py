"""The trial: what tests count while they break things, in one table at the end of the run.

A test that tries a fault is marked ``trial("T01", "a reader drops after every event")`` and takes the fixture
``trial``, which compares what a reader has read with the log, counts, and fails at the first difference.
``-k T01`` chooses by number. ``--trial-table=FILE`` writes the table into a page, between two comments:
docs/explanation/reliability.md keeps it.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

TERMINAL = frozenset({"message_complete", "failed", "cancelled", "interrupted"})
COLUMNS = ("Trial", "What is tried", "Cases", "Gaps", "Duplicates", "Wrong ends", "Seconds", "Measured")
COUNTS = ("cases", "gaps", "duplicates", "wrong_ends")
BEGIN, END = "<!-- trial: begin -->", "<!-- trial: end -->"


class Said(NamedTuple):
    """One event as a reader has it."""

    seq: int  # 0: it was not logged
    type: str
    data: bytes


def said(blocks: Iterable[bytes]) -> list[Said]:
    """Return the events of the native stream's blocks; DONE, which is no event of the log, is left out."""
    found = (dict(re.findall(rb"^(id|event|data): (.*)$", block, re.MULTILINE)) for block in blocks)
    events = [
        Said(int(fields.get(b"id", 0)), fields[b"event"].decode(), fields[b"data"])
        for fields in found
        if b"event" in fields
    ]
    return [event for event in events if event.type != "done"]


@dataclass
class Trial:
    """What one test has tried so far."""

    number: str
    what: str
    cases: int = 0
    gaps: int = 0
    duplicates: int = 0
    wrong_ends: int = 0
    measured: dict[str, object] = field(default_factory=dict)
    say: Callable[[str], None] = field(default=lambda _: None)  # tells how far a long trial has come

    def case(
        self, read: Sequence[Said], log: Sequence[Said], note: object = "", *, ended: bool = True
    ) -> None:
        """Count a reader; fail if what it has read is not the log, or has not one end.

        Args:
            read: what it has read, over all its connections.
            log: what a reader has who was never disturbed.
            note: what tells this case from the others, the seed for instance.
            ended: the reader read to the end; else it left before, and ``log`` is the piece that it read.
        """
        seqs = [event.seq for event in read]
        gaps = len({event.seq for event in log} - set(seqs))
        duplicates = len(seqs) - len(set(seqs))
        wrong = [at for at, event in enumerate(read) if event.type in TERMINAL] != [len(read) - 1] * ended
        self.cases += 1
        self.gaps += gaps
        self.duplicates += duplicates
        self.wrong_ends += wrong
        assert (gaps, duplicates, wrong) == (0, 0, False), (note, seqs, read[-3:])
        assert list(read) == list(log), note

    def measure(self, **figures: object) -> None:
        """Note what is no promise but worth knowing: durations, sizes."""
        self.measured |= figures


class Row(NamedTuple):
    """One line of the table."""

    trial: Trial
    seconds: float
    passed: bool

    def cells(self) -> list[str]:
        trial = self.trial
        numbers = (trial.cases, trial.gaps, trial.duplicates, trial.wrong_ends)
        figures = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in trial.measured.items())
        return [
            trial.number,
            trial.what if self.passed else f"FAILED: {trial.what}",
            *(f"{number:,}" for number in numbers),
            f"{self.seconds:,.0f}",
            figures,
        ]


ROWS = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--trial-table", type=Path, help="write the trial's table into this Markdown file")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = list[Row]()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let ``-k T01`` find a trial by its number."""
    for marker in item.iter_markers("trial"):
        item.extra_keyword_matches.add(marker.args[0])


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Trial:
    """Return what counts the cases of the test's trial."""
    number, what = request.node.get_closest_marker("trial").args
    plugins = request.config.pluginmanager
    reporter: Any = plugins.get_plugin("terminalreporter")
    capture: Any = plugins.get_plugin("capturemanager")

    def say(words: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(f"  {number}: {words}")

    return Trial(number, what, say=say)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    trial = getattr(item, "funcargs", {}).get("trial")
    if call.when == "call" and isinstance(trial, Trial) and not report.skipped:
        item.config.stash[ROWS].append(Row(trial, call.duration, report.passed))
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = [row.cells() for row in merged(config.stash[ROWS])]
    if not rows:
        return
    terminalreporter.section("the trial")
    widths = [max(len(row[column]) for row in [list(COLUMNS), *rows]) for column in range(len(COLUMNS) - 1)]
    for row in [list(COLUMNS), *rows]:
        *cells, figures = row
        padded = (
            cell.rjust(width) if 1 < column < len(COLUMNS) - 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        terminalreporter.write_line("  ".join([*padded, figures]).rstrip())
    if (page := config.getoption("--trial-table")) is not None:
        keep(page, [conditions(config), "", *table(rows)])


def merged(rows: list[Row]) -> list[Row]:
    """Return one row for all tests that try the same, in the order of the numbers."""
    whole: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row.trial.number, row.trial.what
        if key in whole:
            first, one = whole[key].trial, row.trial
            sums = {name: getattr(first, name) + getattr(one, name) for name in COUNTS}
            both = Trial(*key, **sums, measured=first.measured | one.measured)
            whole[key] = Row(both, whole[key].seconds + row.seconds, whole[key].passed and row.passed)
        else:
            whole[key] = row
    return [whole[key] for key in sorted(whole)]


def table(rows: Iterable[list[str]]) -> list[str]:
    """Return the rows as a table of Markdown."""
    lines = [list(COLUMNS), ["---", "---", "---:", "---:", "---:", "---:", "---:", "---"], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def conditions(config: pytest.Config) -> str:
    """Return the command, the machine and the commit of this run."""
    command = shlex.join(["python", "-m", "pytest", *config.invocation_params.args])
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_processor()}"
    git = ("git", "-C", str(config.rootpath), "rev-parse", "--short", "HEAD")
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    return f"`{command}`, commit {commit}, Python {platform.python_version()}, {system}."


def keep(page: Path, lines: Iterable[str]) -> None:
    """Write the lines between the page's two comments."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    assert rest, f"{page} has no {BEGIN}"
    page.write_text("\n".join([before + BEGIN, "", *lines, "", END + after]))


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", told.read_text() if told.exists() else "", re.MULTILINE)
    return names[0] if names else platform.processor()
