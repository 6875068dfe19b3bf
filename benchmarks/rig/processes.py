"""What a server's processes have used, read from /proc: its whole tree, whoever does the work in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["cpu_seconds", "memory_bytes", "tree"]

_TICK = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name, so from the state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """Return the process and all that descend from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    return list(_below(root, parents))


def _below(root: int, parents: dict[int, int]) -> Iterator[int]:
    yield root
    for pid, parent in parents.items():
        if parent == root:
            yield from _below(pid, parents)


def cpu_seconds(root: int) -> float:
    """Return the CPU time, in user and in kernel mode, of the tree and of those that have ended in it."""
    return sum(sum(int(field) for field in _stat(pid)[11:15]) for pid in tree(root)) / _TICK


def memory_bytes(root: int) -> int:
    """Return the proportional set size of the tree: pages that processes share count once."""
    total = 0
    for pid in tree(root):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total
