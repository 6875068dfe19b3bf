"""Every setting: its name, its default, what it may be, and what it is for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic.config import JsonDict
from pydantic_settings import BaseSettings, SettingsConfigDict

from ragstream.errors import ConfigError
from ragstream.identity.hosts import LOOPBACK, is_loopback
from ragstream.settings import parsing
from ragstream.settings.providers import NamedProvider, parse_providers

__all__ = ["PREFIX", "Settings"]

PREFIX = "RAGSTREAM_"

_ABOVE_ZERO = "a number above 0"
_MEBIBYTE = 1 << 20
_PARSERS: dict[str, Callable[[str], Any]] = {
    "allowed_hosts": parsing.parse_hosts,
    "api_keys": parsing.parse_keys,
    "cors_origins": parsing.parse_origins,
    "database_url": parsing.check_database,
    "features": parsing.parse_features,
    "headers": parsing.parse_headers,
    "openai_api_key": parsing.check_key,
    "on_disconnect": parsing.check_policy,
    "openai_base_url": parsing.check_url,
    "provider_options": parsing.parse_names,
    "providers": parse_providers,
    "redis_url": parsing.check_redis,
    "sample_questions": parsing.parse_lines,
}

_CHOICES = ("after_delta", "compression", "log_format", "log_level", "sqlite_synchronous", "stream_log")


def _setting(
    section: str, default: Any, takes: str, purpose: str, *, env: str | None = None, **limits: Any
) -> Any:
    """Declare a setting: the section of its page, what it takes (after "give"), and what it is for."""
    extra: JsonDict = {"section": section, "takes": takes}
    return Field(default, description=purpose, json_schema_extra=extra, validation_alias=env, **limits)


class Settings(BaseSettings):
    """The settings in force; ``load`` makes them.

    Sizes are in bytes, times in seconds unless their name says otherwise.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        validate_default=False,
        enable_decoding=False,
        populate_by_name=True,
        env_file_encoding="utf-8",
    )

    host: str = _setting(
        "Server",
        "127.0.0.1",
        "an address of this machine",
        "The address to listen on. Any other than loopback needs `RAGSTREAM_API_KEYS` and "
        "`RAGSTREAM_ALLOWED_HOSTS`.",
        min_length=1,
    )
    port: int = _setting(
        "Server",
        8000,
        "a whole number from 0 to 65535",
        "The port to listen on; 0 takes a free one.",
        ge=0,
        le=65535,
    )
    data_dir: Path = _setting(
        "Server", Path(".ragstream"), "a folder", "Where the index, the history and the logs are kept."
    )
    workers: int = _setting(
        "Server",
        1,
        "a whole number from 1 to 64",
        "Processes that serve; more than one needs a stream log that they share.",
        ge=1,
        le=64,
    )
    drain: float = _setting(
        "Server",
        20.0,
        "a number from 0 to 3600",
        "Seconds in which running answers may end after SIGTERM; the rest are interrupted.",
        ge=0,
        le=3600,
    )
    max_body_bytes: int = _setting(
        "Server", _MEBIBYTE, "a whole number from 1024", "The largest request body that is read.", ge=1024
    )
    body_deadline: float = _setting(
        "Server", 30.0, _ABOVE_ZERO, "Seconds in which a request body must have arrived.", gt=0
    )
    upload_max_bytes: int = _setting(
        "Server", 50 * _MEBIBYTE, "a whole number from 1024", "The largest file that is taken.", ge=1024
    )
    sample_questions: tuple[str, ...] = _setting(
        "Server",
        (),
        "a JSON list of texts, or one question a line",
        "Questions that the page offers before the first one is asked.",
    )

    api_keys: tuple[tuple[str, SecretStr], ...] = _setting(
        "Access",
        (),
        "name:key,name:key",
        "Who may ask, and with which key: `Authorization: Bearer key`. The name owns its sessions and "
        "streams; it may have several keys. Without keys, whoever reaches the loopback address may ask.",
    )
    allowed_hosts: tuple[str, ...] = _setting(
        "Access",
        (),
        "names or addresses, with commas, each with a port if only that one is meant",
        "The hosts under which this server is reached. Loopback names are always among them.",
    )
    cors_origins: tuple[str, ...] = _setting(
        "Access",
        (),
        "origins such as https://example.org, with commas",
        "The web pages of other origins that may ask.",
    )

    model: str = _setting(
        "Answers",
        "",
        "the name of a model of the provider",
        "The model that writes the answers. Without one, the sentences that answer are quoted.",
    )
    openai_api_key: SecretStr | None = _setting(
        "Answers", None, "the provider's key", "The key for the provider.", env="OPENAI_API_KEY"
    )
    openai_base_url: str | None = _setting(
        "Answers",
        None,
        "a URL such as http://127.0.0.1:11434/v1",
        "The address of an OpenAI-compatible provider; without it, OpenAI's own.",
        env="OPENAI_BASE_URL",
    )
    providers: tuple[NamedProvider, ...] = _setting(
        "Answers",
        (),
        "a JSON list of objects with base_url and model, and if need be name, api_key or api_key_env, "
        "input_price, output_price, cached_price, takes",
        "Several providers instead of the one above, in the order in which they are asked. `api_key_env` "
        "names a variable that holds the key; prices are for a million tokens.",
    )
    budget: float | None = _setting(
        "Answers",
        None,
        _ABOVE_ZERO,
        "The most that one answer may be estimated to cost, in the currency of the prices.",
        gt=0,
    )
    after_delta: Literal["fail", "continue", "replace"] = _setting(
        "Answers",
        "fail",
        "fail, continue or replace",
        "When a provider fails in the middle of an answer: `fail` ends it, `continue` lets another attempt "
        "go on from there, `replace` takes back what was said and answers anew.",
    )
    provider_options: tuple[str, ...] = _setting(
        "Answers",
        (),
        "names, with commas",
        "Further options of the provider that a request may set, such as `top_p,reasoning_effort`.",
    )
    system_prompt: str = _setting(
        "Answers", "", "a text", "What the model is told before the passages; empty: our own words."
    )
    system_prompt_file: Path | None = _setting(
        "Answers", None, "a file of UTF-8 text", "The same, read from a file."
    )
    retrieval_limit: int = _setting(
        "Answers",
        12,
        "a whole number from 1 to 100",
        "How many passages are looked for.",
        ge=1,
        le=100,
    )
    context_budget: int = _setting(
        "Answers",
        12_000,
        "a whole number from 500",
        "How many characters of passages the model is given at most.",
        ge=500,
    )
    features: frozenset[str] = _setting(
        "Answers",
        parsing.ON_AT_FIRST,
        f"some of {', '.join(parsing.FEATURES)}, with commas, each with a minus to switch it off",
        "Optional steps. `name` switches one on, `-name` off. "
        + "; ".join(f"`{name}`: {what}" for name, what in parsing.FEATURES.items())
        + ".",
    )
    connect_timeout: float = _setting(
        "Answers", 10.0, _ABOVE_ZERO, "Seconds to connect to the provider.", gt=0
    )
    first_token_timeout: float = _setting(
        "Answers", 120.0, _ABOVE_ZERO, "Seconds that the provider may take to say anything.", gt=0
    )
    token_timeout: float = _setting(
        "Answers", 60.0, _ABOVE_ZERO, "Seconds that the provider may be silent between two tokens.", gt=0
    )
    answer_deadline: float = _setting(
        "Answers", 600.0, _ABOVE_ZERO, "Seconds that one answer may take in all.", gt=0
    )
    answer_max_bytes: int = _setting(
        "Answers",
        8 * _MEBIBYTE,
        "a whole number from 65536",
        "The most that the events of one answer may take in the log.",
        ge=65536,
    )

    heartbeat: float = _setting(
        "Streams",
        10.0,
        "a number from 0.05 to 3600",
        "Seconds of silence after which a comment is sent, so that proxies keep the connection.",
        ge=0.05,
        le=3600,
    )
    retry_ms: int = _setting(
        "Streams",
        2000,
        "a whole number from 0 to 3600000",
        "Milliseconds that a reader is asked to wait before it reconnects.",
        ge=0,
        le=3_600_000,
    )
    head_hold_ms: int = _setting(
        "Streams",
        250,
        "a whole number from 0 to 10000",
        "Milliseconds that the response's head waits for the first token, so that an early failure has an "
        "honest status.",
        ge=0,
        le=10_000,
    )
    write_deadline: float = _setting(
        "Streams",
        30.0,
        _ABOVE_ZERO,
        "Seconds after which a reader that takes nothing is let go; it may resume.",
        gt=0,
    )
    compression: Literal["gzip", "none"] = _setting(
        "Streams", "none", "gzip or none", "Compression of streams, where the client accepts it."
    )
    headers: tuple[tuple[str, str], ...] = _setting(
        "Streams",
        (),
        "a JSON object, or a line `Name: value` each",
        "Further headers of every streamed response.",
    )

    on_disconnect: str = _setting(
        "Streams",
        "continue",
        "continue, cancel, or grace=SECONDS such as grace=60",
        "What becomes of an answer when its last reader leaves: it goes on, is stopped at once, or is "
        "stopped unless somebody reads it again within so many seconds. Whoever was let go or sent away by "
        "the server has 30 seconds at least.",
    )
    rotate_after: float | None = _setting(
        "Streams",
        None,
        "a number from 1 to 86400",
        "Seconds after which a native stream is ended in good order, at the latest, for its reader to come "
        "back: set it below the time that a proxy allows one response in all. Without it, streams stay.",
        ge=1,
        le=86_400,
    )

    max_answers: int = _setting(
        "Limits",
        1000,
        "a whole number from 1",
        "Answers under way in one process; one more is refused with 503 and `server_answers_limit`.",
        ge=1,
    )
    max_answers_per_owner: int = _setting(
        "Limits",
        250,
        "a whole number from 1",
        "Answers that one name of `RAGSTREAM_API_KEYS` may have under way in one process; one more is "
        "refused with 429 and `owner_answers_limit`. Without keys there are no names, and no such limit.",
        ge=1,
    )
    max_readers: int = _setting(
        "Limits",
        20_000,
        "a whole number from 1",
        "Readers of answers in one process; one more is refused with 503 and `server_readers_limit`. Each "
        "needs a file descriptor (`ulimit -n`).",
        ge=1,
    )
    max_readers_per_stream: int = _setting(
        "Limits",
        5000,
        "a whole number from 1",
        "Readers of one answer in one process; one more is refused with 429 and `stream_readers_limit`.",
        ge=1,
    )

    stream_log: Literal["memory", "sqlite", "redis"] = _setting(
        "Storage",
        "sqlite",
        "memory, sqlite or redis",
        "Where answers are logged while they are written: `memory` forgets them at the end of the process, "
        "`redis` serves several processes and machines and needs `pip install 'ragstream[redis]'`.",
    )
    redis_url: SecretStr | None = _setting(
        "Storage",
        None,
        "redis://:password@host:port/database, rediss://… or unix://path",
        "Where Redis or Valkey is, for that log; without it, `redis://127.0.0.1:6379`.",
    )
    lease: float = _setting(
        "Storage",
        5.0,
        "a number from 1 to 60",
        "With the Redis log, the seconds after which a process that is silent is held to be dead; its "
        "answers then end as interrupted.",
        ge=1,
        le=60,
    )
    commit_window_ms: int = _setting(
        "Storage",
        5,
        "a whole number from 0 to 1000",
        "Milliseconds for which events are gathered into one commit to the log.",
        ge=0,
        le=1000,
    )
    sqlite_synchronous: Literal["NORMAL", "FULL"] = _setting(
        "Storage",
        "NORMAL",
        "NORMAL or FULL",
        "What SQLite waits for: `NORMAL` outlives the death of the process, `FULL` also a power failure.",
    )
    retention_hours: float = _setting(
        "Storage",
        24.0,
        _ABOVE_ZERO,
        "Hours after which the log of an ended answer is deleted, and an idempotency key is forgotten.",
        gt=0,
    )
    log_max_bytes: int = _setting(
        "Storage",
        1024 * _MEBIBYTE,
        "a whole number from 1048576",
        "The most that all logs may take; beyond it the oldest ended ones are deleted.",
        ge=_MEBIBYTE,
    )
    database_url: SecretStr | None = _setting(
        "Storage",
        None,
        "sqlite:///path/to/file or postgresql://user:password@host/name",
        "The database of sessions and their history; without it, `app.db` in the data folder.",
    )

    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "Telemetry", "info", "debug, info, warning or error", "The least important lines that are logged."
    )
    log_format: Literal["console", "json"] = _setting(
        "Telemetry", "console", "console or json", "The form of the log's lines, on standard error."
    )
    tracing: bool = _setting(
        "Telemetry", False, "true or false", "OpenTelemetry spans; needs `pip install 'ragstream[otel]'`."
    )

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)  # field -> where its value came from

    @property
    def local(self) -> bool:
        """Whether nobody is asked for a key."""
        return not self.api_keys

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that this server is: the loopback address that it listens on is one, whatever it is."""
        own = (self.host,) if is_loopback(self.host) and ":" not in self.host else ()
        return tuple(dict.fromkeys((*LOOPBACK, *own, *self.allowed_hosts)))

    @property
    def has_model(self) -> bool:
        """Whether a model writes the answers."""
        return bool(self.model or self.providers)

    @property
    def patience(self) -> float | None:
        """Seconds for which an answer goes on that its readers left; None: to its end."""
        return parsing.patience(self.on_disconnect)

    @property
    def prompt(self) -> str:
        """The system prompt, from wherever it was given; empty: our own."""
        return _read(self.system_prompt_file) if self.system_prompt_file else self.system_prompt

    @property
    def redis(self) -> str:
        """The URL of Redis."""
        return self.redis_url.get_secret_value() if self.redis_url else "redis://127.0.0.1:6379"

    @property
    def app_database(self) -> str | Path:
        """The database of sessions: a URL, or a file."""
        if self.database_url:
            return self.database_url.get_secret_value()
        return self.data_dir / "app.db"

    @field_validator(*_PARSERS, mode="before")
    @classmethod
    def _parse(cls, value: Any, info: ValidationInfo) -> Any:
        return _PARSERS[info.field_name or ""](value) if isinstance(value, str) else value

    @field_validator(*_CHOICES, mode="before")
    @classmethod
    def _ignore_case(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            return value
        return value.upper() if info.field_name == "sqlite_synchronous" else value.lower()

    @field_validator("data_dir", "system_prompt_file", mode="before")
    @classmethod
    def _name_a_path(cls, value: Any) -> Any:
        if isinstance(value, str) and (not value.strip() or "\0" in value):
            raise ValueError("that is no path")
        return Path(value).expanduser() if isinstance(value, str) else value

    @field_validator("system_prompt_file", mode="after")
    @classmethod
    def _can_be_read(cls, path: Path) -> Path:
        _read(path)
        return path

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        if not is_loopback(self.host) and not (self.api_keys and self.allowed_hosts):
            raise ConfigError(
                f"RAGSTREAM_HOST is {self.host!r}, which others can reach: set RAGSTREAM_API_KEYS=name:key "
                "and RAGSTREAM_ALLOWED_HOSTS=the names under which they reach it, or take 127.0.0.1."
            )
        if self.workers > 1 and self.stream_log != "redis":
            raise ConfigError(
                f"RAGSTREAM_WORKERS is {self.workers}, but the {self.stream_log} log serves one process, and "
                "several need the Redis log: set RAGSTREAM_STREAM_LOG=redis and RAGSTREAM_REDIS_URL, or "
                "RAGSTREAM_WORKERS=1."
            )
        if self.model and self.providers:
            raise ConfigError("Of RAGSTREAM_MODEL and RAGSTREAM_PROVIDERS, set only one.")
        if self.budget is not None and all(one.input_price is None for one in self.providers):
            raise ConfigError(
                "RAGSTREAM_BUDGET needs prices: give input_price and output_price in RAGSTREAM_PROVIDERS."
            )
        if self.system_prompt and self.system_prompt_file:
            raise ConfigError("Of RAGSTREAM_SYSTEM_PROMPT and RAGSTREAM_SYSTEM_PROMPT_FILE, set only one.")
        return self


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"{str(path)!r} cannot be read: {reason}") from error
