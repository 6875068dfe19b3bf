"""Settings: where they come from, and one line that says what is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragstream.errors import ConfigError
from ragstream.settings import Settings, load, origins, prepare_data_dir, variable
from ragstream.settings.page import render

ELSEWHERE = "0.0.0.0"  # noqa: S104 - an address that others can reach


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().startswith(("RAGSTREAM_", "OPENAI_")):
            monkeypatch.delenv(name)


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that gives the one line by which these variables are refused."""

    def refuse(**variables: str) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(name if name.startswith("OPENAI_") else f"RAGSTREAM_{name}", value)
        with pytest.raises(ConfigError) as caught:
            load()
        line = str(caught.value)
        assert line.splitlines() == [line]
        assert len(line) < 300
        assert caught.value.__cause__ is None
        return line

    return refuse


def test_nothing_needs_to_be_set() -> None:
    settings = load()
    assert settings.local
    assert settings.hosts == ("localhost", "127.0.0.1", "[::1]")
    assert settings.app_database == Path(".ragstream/app.db")
    assert set(origins(settings).values()) == {"default"}


def test_every_loopback_address_that_it_listens_on_is_its_own() -> None:
    assert load({"host": "127.0.0.2"}).hosts[-1] == "127.0.0.2"
    assert load({"host": "::1"}).hosts == load().hosts


def test_flags_win_over_the_environment_over_the_file_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("RAGSTREAM_PORT=1\nRAGSTREAM_DRAIN=1\nRAGSTREAM_MODEL=filed\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("RAGSTREAM_PORT", "2")
    monkeypatch.setenv("RAGSTREAM_DRAIN", "2")
    settings = load({"port": 3})
    assert (settings.port, settings.drain, settings.model, settings.heartbeat) == (3, 2.0, "filed", 10.0)
    found = origins(settings)
    assert [found[name] for name in ("port", "drain", "model", "heartbeat")] == [
        "flag",
        "environment",
        ".env",
        "default",
    ]


def test_the_providers_variables_have_their_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-123")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1/")
    settings = load()
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-123"
    assert settings.openai_base_url == "http://127.0.0.1:11434/v1"
    assert origins(settings)["openai_api_key"] == "environment"
    assert variable("openai_api_key") == "OPENAI_API_KEY"
    assert variable("port") == "RAGSTREAM_PORT"


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("PORT", "0", 0),
        ("DATA_DIR", "~/x", Path.home() / "x"),
        ("LOG_LEVEL", "Warning", "warning"),
        ("SQLITE_SYNCHRONOUS", "full", "FULL"),
        ("TRACING", "yes", True),
        ("ALLOWED_HOSTS", "A.example., b.example:81 ,a.example", ("a.example", "b.example:81")),
        ("CORS_ORIGINS", "HTTPS://A.example:443", ("https://a.example",)),
        ("CORS_ORIGINS", "", ()),
        ("PROVIDER_OPTIONS", "top_p, reasoning_effort", ("top_p", "reasoning_effort")),
        ("FEATURES", "", frozenset({"follow_ups", "follow_up_rewrite"})),
        ("FEATURES", "-follow_up_rewrite", frozenset({"follow_ups"})),
        ("FEATURES", "-follow_ups,follow_ups", frozenset({"follow_ups", "follow_up_rewrite"})),
        ("HEADERS", "X-A: b: c\r\n\r\nX-B:\n", (("X-A", "b: c"), ("X-B", ""))),
        ("HEADERS", '{"X-A": "é", "X-B": ""}', (("X-A", "é"), ("X-B", ""))),
        ("SAMPLE_QUESTIONS", "Why?\n\n How, and when? \n", ("Why?", "How, and when?")),
        ("SAMPLE_QUESTIONS", '["Why?", "[1]"]', ("Why?", "[1]")),
        ("SYSTEM_PROMPT", "Be brief.", "Be brief."),
    ],
)
def test_text_becomes_a_value(monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object) -> None:
    monkeypatch.setenv(f"RAGSTREAM_{name}", text)
    assert getattr(load(), name.lower()) == value


def test_keys_have_names_and_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGSTREAM_API_KEYS", "ann:canary-1, ann:canary:2,bob@x.y:canary-3")
    monkeypatch.setenv("OPENAI_API_KEY", "canary-4")
    monkeypatch.setenv("RAGSTREAM_DATABASE_URL", "postgresql://u:canary-5@h/d")
    settings = load()
    assert [(name, key.get_secret_value()) for name, key in settings.api_keys] == [
        ("ann", "canary-1"),
        ("ann", "canary:2"),
        ("bob@x.y", "canary-3"),
    ]
    assert not settings.local
    assert "canary" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("variables", "fix"),
    [
        ({"PORT": "abc"}, "RAGSTREAM_PORT (environment) is 'abc': give a whole number from 0 to 65535."),
        ({"PORT": "65536"}, "is '65536': give a whole number from 0 to 65535."),
        ({"HEARTBEAT": "0"}, "RAGSTREAM_HEARTBEAT (environment) is '0': give a number from 0.05 to 3600."),
        ({"HEARTBEAT": "nan"}, "give a number"),
        ({"WRITE_DEADLINE": "inf"}, "is 'inf': give a number above 0."),
        ({"RETRY_MS": "3600001"}, "give a whole number from 0 to 3600000."),
        ({"COMPRESSION": "br"}, "RAGSTREAM_COMPRESSION (environment) is 'br': give gzip or none."),
        ({"LOG_LEVEL": "loud" * 999}, "give debug, info, warning or error."),
        ({"STREAM_LOG": "kafka"}, "give memory, sqlite or redis."),
        (
            {"REDIS_URL": "http://:canary@h"},
            "it is not the URL of a Redis or Valkey; give redis://:password@",
        ),
        ({"LEASE": "0"}, "RAGSTREAM_LEASE (environment) is '0': give a number from 1 to 60."),
        ({"TRACING": ""}, "RAGSTREAM_TRACING (environment) is '': give true or false."),
        ({"DATA_DIR": " "}, "RAGSTREAM_DATA_DIR (environment): that is no path; give a folder."),
        (
            {"HEADERS": "Connection: close"},
            "RAGSTREAM_HEADERS (environment): Connection is set by the server itself",
        ),
        ({"HEADERS": '{"Content-Length": "1"}'}, "Content-Length is set by the server itself"),
        ({"HEADERS": "TRANSFER-ENCODING: x"}, "TRANSFER-ENCODING is set by the server itself"),
        ({"HEADERS": "Access-Control-Allow-Origin: *"}, "use RAGSTREAM_CORS_ORIGINS"),
        (
            {"HEADERS": '{"X-A": "b\\r\\nX-C: d"}'},
            "the value of X-A has characters that a header cannot carry",
        ),
        ({"HEADERS": "X-A: b\rX-C: d"}, "the value of X-A has characters that a header cannot carry"),
        ({"HEADERS": '{"X-A": "\\u0000"}'}, "has characters that a header cannot carry"),
        ({"HEADERS": "X-A: 🎓"}, "has characters that a header cannot carry"),
        ({"HEADERS": "X A: b"}, "'X A' is not a header's name"),
        ({"HEADERS": "no colon"}, "the line 'no colon' has no colon"),
        ({"HEADERS": '{"X-A": 1}'}, "the JSON is not an object of texts"),
        ({"HEADERS": '{"X-A"'}, "the JSON cannot be read"),
        ({"HEADERS": "X-A: b\nx-a: c"}, "a header stands there twice"),
        ({"CORS_ORIGINS": "https://a.example,*"}, "* would let every page ask"),
        ({"CORS_ORIGINS": "https://a.example/path"}, "'https://a.example/path' is not an origin"),
        ({"CORS_ORIGINS": "null"}, "'null' is not an origin"),
        ({"ALLOWED_HOSTS": "*.example.org"}, "'*.example.org' is not a host"),
        ({"FEATURES": "telepathy"}, "'telepathy' is not a feature; known: follow_ups, follow_up_rewrite"),
        ({"PROVIDER_OPTIONS": "top p"}, "'top p' is not a name"),
        ({"SAMPLE_QUESTIONS": "[1]"}, "the JSON is not a list of texts"),
        (
            {"OPENAI_BASE_URL": "localhost:8000"},
            "OPENAI_BASE_URL (environment): 'localhost:8000' is not a URL",
        ),
        ({"OPENAI_BASE_URL": "http://h:99999"}, "is not a URL"),
        ({"OPENAI_BASE_URL": "http://u:canary@h"}, "set OPENAI_API_KEY"),
        ({"OPENAI_API_KEY": "changeme"}, "OPENAI_API_KEY (environment): the key is a placeholder"),
        ({"OPENAI_API_KEY": ""}, "OPENAI_API_KEY (environment): the key is empty"),
        ({"OPENAI_API_KEY": "canary\nX: y"}, "characters that a header cannot carry"),
        ({"API_KEYS": ""}, "RAGSTREAM_API_KEYS (environment): it is empty; give name:key,name:key."),
        ({"API_KEYS": "ann:ChangeMe"}, "ann: the key is a placeholder"),
        ({"API_KEYS": "ann:"}, "ann: the key is empty"),
        ({"API_KEYS": "ann:canary,canary"}, "entry 2 has no name before a colon"),
        ({"API_KEYS": "a n:canary"}, "entry 1 has no name before a colon"),
        ({"API_KEYS": "ann:can ary"}, "ann: the key has characters that a header cannot carry"),
        ({"API_KEYS": "ann:canary,bob:canary"}, "two entries have the same key"),
        ({"DATABASE_URL": "mysql://u:canary@h/d"}, "give sqlite:///path/to/file or postgresql://"),
        ({"SYSTEM_PROMPT_FILE": "missing.txt"}, "'missing.txt' cannot be read: No such file or directory"),
        ({"SYSTEM_PROMPT_FILE": "."}, "'.' cannot be read: Is a directory"),
        ({"HOST": ELSEWHERE}, "set RAGSTREAM_API_KEYS=name:key and RAGSTREAM_ALLOWED_HOSTS="),
        ({"HOST": ELSEWHERE, "API_KEYS": "ann:canary"}, "RAGSTREAM_ALLOWED_HOSTS="),
        ({"HOST": ELSEWHERE, "ALLOWED_HOSTS": "a.example"}, "RAGSTREAM_API_KEYS="),
        ({"WORKERS": "2"}, "the sqlite log serves one process, and several need the Redis log"),
        ({"WORKERS": "2", "STREAM_LOG": "memory"}, "set RAGSTREAM_STREAM_LOG=redis and RAGSTREAM_REDIS_URL"),
        ({"SYSTEM_PROMPT": "x", "SYSTEM_PROMPT_FILE": ".env"}, "set only one"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_wrong_value_is_one_line_with_the_fix(
    refusal: Callable[..., str], variables: dict[str, str], fix: str
) -> None:
    Path(".env").touch()
    line = refusal(**variables)
    assert fix in line
    assert "canary" not in line


@pytest.mark.parametrize(
    ("name", "closest"),
    [("PROT", "PORT"), ("API_KEY", "API_KEYS"), ("CORS_ORIGIN", "CORS_ORIGINS"), ("heartbeats", "HEARTBEAT")],
)
def test_an_unknown_variable_is_refused_with_the_closest_name(
    refusal: Callable[..., str], name: str, closest: str
) -> None:
    assert f"did you mean RAGSTREAM_{closest}?" in refusal(**{name: "canary"})


def test_the_file_is_held_to_the_same(refusal: Callable[..., str]) -> None:
    Path(".env").write_text("RAGSTREAM_PROT=1\n")
    assert refusal().startswith("RAGSTREAM_PROT (.env) is no setting: did you mean RAGSTREAM_PORT?")
    Path(".env").write_text("RAGSTREAM_PORT=x\n")
    assert refusal() == "RAGSTREAM_PORT (.env) is 'x': give a whole number from 0 to 65535."
    Path(".env").write_bytes(b"A=\xff\n")
    assert ".env in this folder cannot be read" in refusal()


def test_flags_are_held_to_the_same() -> None:
    with pytest.raises(ConfigError, match=r"RAGSTREAM_PORT \(flag\) is -1: give a whole number"):
        load({"port": -1})
    with pytest.raises(ConfigError, match="There is no setting prot"):
        load({"prot": 1})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_loopback_address_needs_no_key(host: str) -> None:
    assert load({"host": host}).local


def test_another_address_needs_keys_and_names() -> None:
    flags: dict[str, Any] = {"host": ELSEWHERE, "api_keys": "ann:k", "allowed_hosts": "a.example:81"}
    settings = load(flags)
    assert not settings.local
    assert settings.hosts[-1] == "a.example:81"


def test_the_prompt_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text("Antworte knapp, bitte, für Ötzi.", "utf-8")
    assert load({"system_prompt_file": str(path)}).prompt == "Antworte knapp, bitte, für Ötzi."
    assert load({"system_prompt": "Be brief."}).prompt == "Be brief."
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        load({"system_prompt_file": str(path)})


def test_the_data_folder_is_made() -> None:
    folder = prepare_data_dir(load({"data_dir": "a/b"}))
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


def test_a_data_folder_that_cannot_be_is_one_line() -> None:
    Path("file").touch()
    with pytest.raises(
        ConfigError, match=r"RAGSTREAM_DATA_DIR is 'file/x', which cannot be written .*--data-dir"
    ):
        prepare_data_dir(load({"data_dir": "file/x"}))


def test_every_setting_says_what_it_is_for_and_what_it_takes() -> None:
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        assert field.description, name
        assert re.fullmatch(r"\S.*[^.\s]", str(extra["takes"])), name


def test_the_reference_page_is_current() -> None:
    page = Path(__file__).parents[2] / "docs/reference/settings.md"
    assert page.read_text("utf-8") == render(), "run: python -m ragstream.settings.page"


@pytest.mark.parametrize(
    ("text", "policy", "patience"),
    [
        ("continue", "continue", None),
        ("Cancel", "cancel", 0.0),
        ("grace=60", "grace=60", 60.0),
        (" grace = 0.5 ", "grace=0.5", 0.5),
    ],
)
def test_what_becomes_of_an_answer_that_its_readers_left(
    monkeypatch: pytest.MonkeyPatch, text: str, policy: str, patience: float | None
) -> None:
    monkeypatch.setenv("RAGSTREAM_ON_DISCONNECT", text)
    settings = load()
    assert (settings.on_disconnect, settings.patience) == (policy, patience)


@pytest.mark.parametrize("text", ["", "stop", "grace", "grace=", "grace=-1", "grace=1e9", "grace=ten", "60"])
def test_policies_that_are_none(refusal: Callable[..., str], text: str) -> None:
    line = refusal(ON_DISCONNECT=text)
    assert line.startswith("RAGSTREAM_ON_DISCONNECT (environment): ")
    assert line.endswith("give continue, cancel, or grace=SECONDS such as grace=60.")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_ANSWERS", "0"),
        ("MAX_ANSWERS_PER_OWNER", "many"),
        ("MAX_READERS", "-1"),
        ("MAX_READERS_PER_STREAM", "1.5"),
        ("ROTATE_AFTER", "0.5"),
    ],
)
def test_limits_that_are_none(refusal: Callable[..., str], name: str, value: str) -> None:
    assert f"RAGSTREAM_{name} (environment) is '{value}': give a" in refusal(**{name: value})
