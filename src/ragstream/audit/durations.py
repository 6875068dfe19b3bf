"""How long each step took in the last benchmark, as ``benchmarks/steps.py`` wrote it down."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from ragstream.errors import ConfigError

__all__ = ["average_durations", "load_durations"]

_SAMPLE = re.compile(r'^ragstream_step_seconds_(sum|count)\{step="([^"]+)"\} (\S+)$', re.MULTILINE)


def average_durations(exposition: str) -> dict[str, float]:
    """Return the average duration of each step, in milliseconds, from what a server's /metrics says."""
    sums: dict[str, dict[str, float]] = {"sum": {}, "count": {}}
    for what, step, value in _SAMPLE.findall(exposition):
        sums[what][step] = float(value)
    return {
        step: float(f"{1000 * sums['sum'][step] / count:.2g}")
        for step, count in sums["count"].items()
        if count
    }


def load_durations(path: Path) -> dict[str, float]:
    """Return milliseconds by the step's id; nothing where no benchmark has left any.

    Raises:
        ConfigError: the file is not one of durations.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, float])
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not the durations of steps ({error}); remove it") from None
