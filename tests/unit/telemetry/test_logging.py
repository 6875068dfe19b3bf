"""Every line of the process leaves in one form, and no text from outside can break out of its line."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from ragstream.telemetry import LogForm, LogLevel, configure_logging, get_logger, log_line, recorded_log

NAMES = ("ragstream", "uvicorn", "uvicorn.access", "uvicorn.error")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Put the process's logging back."""
    loggers = [logging.getLogger(), *map(logging.getLogger, NAMES)]
    before = [(logger, logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, propagate, handlers in before:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers
    structlog.reset_defaults()


def _configured(form: LogForm = "console", level: LogLevel = "info") -> io.StringIO:
    stream = io.StringIO()
    logging.getLogger().handlers.clear()  # pytest's, beside which a line has a record
    configure_logging(form=form, level=level, stream=stream)
    return stream


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a record was made for."""
    made: list[str] = []
    make = logging.Logger.makeRecord

    def note(self: logging.Logger, name: str, level: int, fn: str, lno: int, msg: object, *more: Any) -> Any:
        made.append(str(msg))
        return make(self, name, level, fn, lno, msg, *more)

    monkeypatch.setattr(logging.Logger, "makeRecord", note)
    return made


def _json(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    said: dict[str, Any] = json.loads(line)
    return said


def test_a_console_line_has_time_level_event_and_attributes() -> None:
    stream = _configured()
    get_logger("ragstream.test").info("it happened", stream_id="s1", count=2)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 INFO    it happened "
        r'\| attrs=\{"stream_id":"s1","count":2\}\n',
        stream.getvalue(),
    )


def test_a_json_line_has_the_same_attributes_after_its_head() -> None:
    stream = _configured("json")
    get_logger("ragstream.test").warning("it happened", stream_id="s1", count=2)
    said = _json(stream)
    assert list(said) == ["timestamp", "level", "logger", "event", "stream_id", "count"]
    assert (said["level"], said["logger"], said["event"]) == ("warning", "ragstream.test", "it happened")
    assert (said["stream_id"], said["count"]) == ("s1", 2)


def test_attributes_never_replace_the_head() -> None:
    stream = _configured("json")
    logger = logging.getLogger("ragstream.test")
    log_line(logger, logging.INFO, "true", {"event": "false", "level": "false", "logger": "false"})
    said = _json(stream)
    assert (said["event"], said["level"], said["logger"]) == ("true", "info", "ragstream.test")


class Ear(logging.Handler):
    """Somebody else's handler."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


@pytest.mark.parametrize("name", ["", "ragstream", "ragstream.test"])
def test_a_line_reaches_whoever_listens(name: str, records: list[str]) -> None:
    stream, logger, ear = _configured(), logging.getLogger("ragstream.test"), Ear()
    log_line(logger, logging.INFO, "before", {})
    listening = logging.getLogger(name)
    listening.addHandler(ear)
    try:
        log_line(logger, logging.INFO, "meanwhile", {"count": 2})
    finally:
        listening.removeHandler(ear)
    log_line(logger, logging.INFO, "after", {})
    assert ear.heard == records == ['meanwhile | attrs={"count":2}']
    assert [line.split("INFO    ")[1] for line in stream.getvalue().splitlines()] == [
        "before",
        'meanwhile | attrs={"count":2}',
        "after",
    ]


@pytest.mark.parametrize("at", ["logger", "handler", "propagate"])
def test_a_line_that_is_held_back_is_not_written(at: str) -> None:
    stream, logger = _configured(), logging.getLogger("ragstream.test")
    place: logging.Filterer = logging.getLogger().handlers[-1] if at == "handler" else logger
    place.addFilter(silence := lambda _record: at == "propagate")
    logger.propagate = at != "propagate"
    try:
        log_line(logger, logging.INFO, "secret", {})
    finally:
        place.removeFilter(silence)
        logger.propagate = True
    assert stream.getvalue() == ""


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_line_looks_the_same_with_and_without_a_record(form: LogForm, records: list[str]) -> None:
    stream, logger = _configured(form), logging.getLogger("ragstream.test")
    ear, attributes = Ear(), {"count": 2, "name": "\u2028"}
    log_line(logger, logging.WARNING, "it\nhappened", attributes)
    logging.getLogger().addHandler(ear)
    log_line(logger, logging.WARNING, "it\nhappened", attributes)
    first, second = (re.sub(r"T[\d:.]+", "", line) for line in stream.getvalue().splitlines())
    assert first == second
    assert len(ear.heard) == len(records) == 1


def test_a_handler_that_was_changed_is_heeded() -> None:
    stream, logger = _configured(), logging.getLogger("ragstream.test")
    handler = logging.getLogger().handlers[-1]
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    log_line(logger, logging.INFO, "it happened", {})
    handler.setLevel(logging.ERROR)
    log_line(logger, logging.INFO, "it happened again", {})
    assert stream.getvalue() == "INFO: it happened\n"


def test_a_line_that_cannot_be_written_is_reported_and_costs_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _configured().close()
    log_line(logging.getLogger("ragstream.test"), logging.INFO, "it happened", {})
    assert "I/O operation on closed file" in capsys.readouterr().err


class Mute:
    """What cannot be said."""

    def __str__(self) -> str:
        raise ValueError("no words")


def test_what_cannot_be_said_is_reported_and_costs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = _configured()
    log_line(logging.getLogger("ragstream.test"), logging.INFO, "it happened", {"what": Mute()})
    assert "no words" in capsys.readouterr().err
    assert stream.getvalue() == ""


def test_a_line_whose_flush_fails_is_not_written_twice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = _configured()
    fails = [OSError("no space")]

    def flush() -> None:
        if fails:
            raise fails.pop()

    monkeypatch.setattr(stream, "flush", flush)
    log_line(logging.getLogger("ragstream.test"), logging.INFO, "it happened", {})
    assert "no space" in capsys.readouterr().err
    assert stream.getvalue().count("it happened") == 1


def test_a_host_that_watches_all_records_is_given_them(
    records: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _configured()
    logger, seen = logging.getLogger("ragstream.test"), list[str]()
    log_line(logger, logging.INFO, "before", {})
    with monkeypatch.context() as patch:
        watch = lambda _self, record: seen.append(record.getMessage())  # noqa: E731 - as Sentry does
        patch.setattr(logging.Logger, "callHandlers", watch)
        log_line(logger, logging.INFO, "watched", {})
    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(lambda *args, **more: factory(*args, **more))
    try:
        log_line(logger, logging.INFO, "made", {})
    finally:
        logging.setLogRecordFactory(factory)
    assert (seen, records) == (["watched"], ["watched", "made"])


def test_structlogs_own_loggers_go_the_same_way() -> None:
    stream = _configured("json")
    structlog.get_logger("ragstream.other").info("it happened", count=2)
    said = _json(stream)
    assert (said["event"], said["logger"], said["count"]) == ("it happened", "ragstream.other", 2)


@pytest.mark.parametrize("name", ["uvicorn.error", "uvicorn.access"])
def test_uvicorns_lines_go_the_same_way_once(name: str) -> None:
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(io.StringIO()))
    logging.getLogger(name).propagate = False
    stream = _configured("json")
    logging.getLogger(name).info("%s:%d - %s", "127.0.0.1", 80, "GET /")
    said = _json(stream)
    assert (said["event"], said["logger"]) == ("127.0.0.1:80 - GET /", name)
    assert logging.getLogger("uvicorn").handlers == []


def test_other_libraries_are_heard_from_warning_on_even_at_debug() -> None:
    stream = _configured("json", "debug")
    logging.getLogger("somebody").info("prompt and key")
    assert stream.getvalue() == ""
    logging.getLogger("somebody").warning("look")
    assert _json(stream)["event"] == "look"


@pytest.mark.parametrize(("level", "heard"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_a_threshold(level: LogLevel, heard: int) -> None:
    stream = _configured(level=level)
    logger = get_logger("ragstream.test")
    for say in (logger.debug, logger.info, logger.warning, logger.error):
        say("it happened")
    assert len(stream.getvalue().splitlines()) == heard


def test_configuring_again_replaces() -> None:
    first, second = _configured(), _configured()
    get_logger("ragstream.test").info("it happened")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_the_request_id_comes_from_the_context_unless_the_line_has_one() -> None:
    stream = _configured("json")
    logger = get_logger("ragstream.test")
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        logger.info("a", count=1)
        logger.info("b", request_id="r2")
    logger.info("c")
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line.get("request_id") for line in said] == ["r1", "r2", None]


@given(st.text(), st.text())
def test_whatever_is_logged_stays_on_its_line(event: str, value: str) -> None:
    forms: tuple[LogForm, ...] = ("console", "json")
    for form in forms:
        stream = _configured(form)
        get_logger("ragstream.test").info(event, value=value)
        logging.getLogger("uvicorn.error").info("%s", value)
        assert stream.getvalue().count("\n") == 2
        assert all(line.isprintable() for line in stream.getvalue().split("\n"))


@pytest.mark.parametrize("form", ["console", "json"])
def test_line_breaks_and_terminal_codes_are_escaped(form: LogForm) -> None:
    stream = _configured(form)
    forged = "ok\r\n2026-01-01 ERROR forged\x1b[31m\u2028"
    get_logger("ragstream.test").info(forged, name=forged)
    assert not set("\r\x1b\u2028") & set(stream.getvalue())
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("value", "said"), [(object, "<class 'object'>"), ("\ud800", "\ud800"), (float("nan"), None)]
)
def test_what_json_cannot_say_is_said_somehow(value: Any, said: Any) -> None:
    stream = _configured("json")
    get_logger("ragstream.test").info("odd", value=value)
    assert _json(stream)["value"] == said


def test_a_traceback_is_indented_so_that_its_text_cannot_pose_as_a_line() -> None:
    stream = _configured()
    try:
        raise ValueError("broken\n2026-01-01 ERROR forged")
    except ValueError:
        get_logger("ragstream.test").exception("it broke", count=1)
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith('ERROR   it broke | attrs={"count":1}')
    assert rest
    assert all(line.startswith("    ") for line in rest)


def test_a_traceback_is_one_field_in_json() -> None:
    stream = _configured("json")
    try:
        raise ValueError("broken")
    except ValueError as error:
        log_line(logging.getLogger("ragstream.test"), logging.ERROR, "it broke", {}, error)
    assert _json(stream)["exception"].endswith("ValueError: broken")


def test_without_configuration_nothing_global_is_touched(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ragstream.test"):
        get_logger("ragstream.test").info("it happened", count=2)
    assert caplog.messages == ['it happened | attrs={"count":2}']
    assert not structlog.is_configured()


def test_the_recording_fake_keeps_lines_as_values() -> None:
    stream = _configured()
    with recorded_log("ragstream.test") as lines:
        get_logger("ragstream.test.deeper").debug("it happened", count=2)
        logging.getLogger("ragstream.test").info("plain %s", "words")
        try:
            raise ValueError("broken")
        except ValueError:
            get_logger("ragstream.test").exception("it broke")
    assert [(line.level, line.event, line.attributes) for line in lines] == [
        ("debug", "it happened", {"count": 2}),
        ("info", "plain words", {}),
        ("error", "it broke", {}),
    ]
    assert lines[0].text == 'it happened | attrs={"count":2}'
    assert isinstance(lines[2].exception, ValueError)
    assert stream.getvalue() == ""
