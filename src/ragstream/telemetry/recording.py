"""A fake log for tests: what was logged, as values."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ragstream.telemetry.logging import LogEvent

__all__ = ["LogLine", "recorded_log"]


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log."""

    level: str  # "debug", "info", "warning", "error"
    event: str
    attributes: dict[str, Any]
    text: str  # as a console shows it, without the time
    exception: BaseException | None


class _Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[LogLine] = []

    def emit(self, record: logging.LogRecord) -> None:
        said = record.msg if isinstance(record.msg, LogEvent) else LogEvent(record.getMessage(), {})
        self.lines.append(
            LogLine(
                level=record.levelname.lower(),
                event=said.event,
                attributes=dict(said.attributes),
                text=record.getMessage(),
                exception=record.exc_info[1] if record.exc_info else None,
            )
        )


@contextmanager
def recorded_log(name: str = "ragstream", *, level: int = logging.DEBUG) -> Iterator[list[LogLine]]:
    """Collect what the logger ``name`` and those below it say from ``level`` on; nothing else hears it."""
    logger, recorder = logging.getLogger(name), _Recorder()
    before = logger.level, logger.propagate
    logger.addHandler(recorder)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield recorder.lines
    finally:
        logger.removeHandler(recorder)
        logger.setLevel(before[0])
        logger.propagate = before[1]
