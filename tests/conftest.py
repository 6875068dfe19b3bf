"""What some tests need of the machine: where it is missing they are skipped, and the run's end says so.

With ``REQUIRE_SERVICES=1``, as in CI, a missing service stops the run before its first test.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest


class Need(NamedTuple):
    """Something of the machine that tests with a marker need."""

    met: Callable[[], bool]
    words: str  # what is needed, and how to get it
    service: bool = True  # False: a privilege, which CI may lack as well


def _any_of(*programs: str) -> Callable[[], bool]:
    return lambda: any(shutil.which(program) for program in programs)


def _postgres() -> bool:
    return bool(shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb")))


@functools.cache
def _may_mount() -> bool:
    """Whether a tmpfs can be mounted here; tried in a namespace of its own, so nothing is left behind."""
    if not shutil.which("unshare"):
        return False
    trial = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return os.geteuid() == 0 and subprocess.run(trial, capture_output=True, check=False).returncode == 0


NEEDS = {
    "browser": Need(
        _any_of("chromium", "chromium-browser", "google-chrome"), "Chromium: apt install chromium"
    ),
    "node": Need(_any_of("node"), "Node.js: apt install nodejs npm"),
    "postgres": Need(_postgres, "PostgreSQL: apt install postgresql"),
    "redis": Need(_any_of("redis-server", "valkey-server"), "Redis or Valkey: apt install redis-server"),
    "root": Need(_may_mount, "the right to mount: run as root", service=False),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what the machine cannot run, or refuse to start where everything must run."""
    for marker, need in NEEDS.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if not marked or need.met():
            continue
        if need.service and os.environ.get("REQUIRE_SERVICES"):
            raise pytest.UsageError(f"{len(marked)} tests need {need.words}")
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=f"needs {need.words}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was skipped for want of what, and how to have it run."""
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"Not run ({count}): {reason}")
