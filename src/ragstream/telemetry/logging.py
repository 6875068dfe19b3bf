"""Logs: one line an event, for people (console) or for machines (JSON), everything on one way.

structlog is the pen and the standard library the post: our loggers are structlog loggers over standard ones,
so levels, handlers and pytest's ``caplog`` work as everywhere, and lines of uvicorn or any other library
leave in the same form. ``get_logger`` touches no global configuration; a program that is only a guest in
somebody else's process never calls ``configure_logging``.

A line reads ``event | attrs={...}``. Whatever a value holds, it stays on that line: control characters are
escaped, and the lines of a traceback are indented, so that no text from outside can pose as a line of ours.
"""

from __future__ import annotations

import json
import logging
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from time import time
from typing import Any, Literal, TextIO

import msgspec
import structlog

__all__ = ["LogEvent", "LogForm", "LogLevel", "configure_logging", "get_logger", "log_line"]

LogForm = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_OURS = ("ragstream", "uvicorn")  # what follows the configured level; others speak from WARNING on
_encode = msgspec.json.Encoder(enc_hook=str).encode


def configure_logging(
    *, form: LogForm = "console", level: LogLevel = "info", stream: TextIO | None = None
) -> None:
    """Write the whole process's log to ``stream``, standard error by default. May be called again.

    Other libraries are heard from WARNING on, whatever ``level``: below it some log prompts and keys.
    """
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no line names them
    handler = _Handler(stream)
    handler.setFormatter(_JSONFormatter() if form == "json" else _ConsoleFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(threshold, logging.WARNING))
    for name in _OURS:
        logging.getLogger(name).setLevel(threshold)
    for name in ("uvicorn", "uvicorn.access", "uvicorn.error"):  # uvicorn brings handlers of its own
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    structlog.configure(
        processors=_PROCESSORS,
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger that takes attributes by keyword: ``log.info("what happened", stream_id=...)``."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name), processors=_PROCESSORS, wrapper_class=structlog.stdlib.BoundLogger
    )
    return logger


def log_line(
    logger: logging.Logger,
    level: int,
    event: str,
    attributes: MutableMapping[str, Any],
    error: BaseException | None = None,
) -> None:
    """Log one line whose attributes may have any name, and fast; ``error`` adds its traceback."""
    if not logger.isEnabledFor(level):
        return
    said = LogEvent(event, attributes)
    if error is None and (handler := _only_handler(logger)) and handler.write(level, logger.name, said):
        return
    trace = (type(error), error, error.__traceback__) if error else None
    # not ``logger.log``, which walks up the stack to find a caller whom no line of ours names
    logger.handle(logger.makeRecord(logger.name, level, "", 0, said, (), trace))


class LogEvent(msgspec.Struct, frozen=True):
    """The message that our loggers hand over: it reads as the whole line, under any handler."""

    event: str
    attributes: MutableMapping[str, Any]

    def __str__(self) -> str:
        return f"{self.event} | attrs={_json(self.attributes)}" if self.attributes else self.event


class _Formatter(logging.Formatter):
    """What a line looks like, made of a record or of its parts."""

    def format(self, record: logging.LogRecord) -> str:
        said = record.msg if isinstance(record.msg, LogEvent) else LogEvent(record.getMessage(), {})
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        return self.line(record.created, record.levelname, record.name, said, trace)

    def line(self, seconds: float, level: str, logger: str, said: LogEvent, trace: str = "", /) -> str:
        raise NotImplementedError


class _ConsoleFormatter(_Formatter):
    """``2026-11-21T08:00:00.123Z INFO event | attrs={...}``."""

    def line(self, seconds: float, level: str, _logger: str, said: LogEvent, trace: str = "", /) -> str:
        line = f"{_time(seconds)} {level:<7} {_one_line(str(said))}"
        return "\n    ".join([line, *map(_one_line, trace.split("\n"))]) if trace else line


class _JSONFormatter(_Formatter):
    """An object a line: time, level, logger and event, then the event's attributes."""

    def line(self, seconds: float, level: str, logger: str, said: LogEvent, trace: str = "", /) -> str:
        head = {"timestamp": _time(seconds), "level": level.lower(), "logger": logger, "event": said.event}
        line = {**head, **said.attributes, **head}  # attributes come after the head and never replace it
        if trace:
            line["exception"] = trace
        return _one_line(_json(line))


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, to be told from those that others added."""

    def write(self, level: int, logger: str, said: LogEvent) -> bool:
        """Write a line without a record, which costs as much as the line itself; return whether it could."""
        if not isinstance(self.formatter, _Formatter):  # somebody has set another
            return False
        try:
            line = self.formatter.line(time(), logging.getLevelName(level), logger, said)
        except Exception:  # noqa: BLE001 - the record that is made now fails alike, and is reported
            return False
        self.acquire()
        try:
            self.stream.write(f"{line}\n")
            self.stream.flush()
        except Exception:  # noqa: BLE001 - whatever the stream raises; no line may fail its caller
            self.handleError(logging.makeLogRecord({"name": logger, "levelno": level, "msg": said}))
        finally:
            self.release()
        return True


def _only_handler(logger: logging.Logger) -> _Handler | None:
    """Return our handler if a record of ``logger`` would be made and handled as usual, and by it alone."""
    if (
        logging.getLogRecordFactory() is not logging.LogRecord
        or logging.Logger.callHandlers.__module__ != "logging"  # Sentry, among others, puts its own there
        or type(logger).handle is not logging.Logger.handle
    ):
        return None
    while logger.parent is not None:
        if logger.handlers or logger.filters or not logger.propagate:
            return None
        logger = logger.parent
    match logger.handlers:
        case [_Handler(filters=[], level=logging.NOTSET) as handler]:
            return handler
    return None


def _hand_over(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> tuple[tuple[LogEvent], dict[str, Any]]:
    """Turn structlog's event into the arguments of a standard logger."""
    name, exc_info = event.pop("event"), event.pop("exc_info", None)
    return (LogEvent(name, event),), {"exc_info": exc_info}


def _add_context(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add what is bound to the context, the request id above all, after what the line says itself."""
    for name, value in structlog.contextvars.get_contextvars().items():
        event.setdefault(name, value)
    return event


_PROCESSORS: list[Any] = [structlog.stdlib.filter_by_level, _add_context, _hand_over]


def _time(seconds: float) -> str:
    whole, rest = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{rest:03d}+00:00"


@lru_cache(maxsize=1)  # a turn writes some thirty lines
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _json(values: MutableMapping[str, Any]) -> str:
    try:
        return _encode(values).decode()
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot say
        return json.dumps(dict(values), default=str)


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(char: str) -> str:
    return char if char.isprintable() else json.dumps(char)[1:-1]
