"""Text from the environment as values: pure functions that raise ValueError with the reason."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from ragstream.identity.hosts import parse_host, parse_origin

__all__ = [
    "FEATURES",
    "ON_AT_FIRST",
    "check_database",
    "check_key",
    "check_policy",
    "check_redis",
    "check_url",
    "parse_features",
    "parse_headers",
    "parse_hosts",
    "parse_json",
    "parse_keys",
    "parse_lines",
    "parse_names",
    "parse_origins",
    "patience",
]

FEATURES = {  # what may be switched, and what it does
    "follow_ups": "a question that leans on earlier ones is searched for together with them",
    "follow_up_rewrite": "the model, where there is one, rewrites such a question into one that stands alone",
    "search_tool": "the model, where there is one that can call tools, may search on by itself",
}
ON_AT_FIRST = frozenset({"follow_ups", "follow_up_rewrite"})

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_OPTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, 5.5: no control characters
_OUR_HEADERS = frozenset(
    {
        *("cache-control", "connection", "content-encoding", "content-length", "content-type", "date"),
        *("keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding"),
        *("upgrade", "vary", "x-accel-buffering", "x-content-type-options"),
        *("x-request-id", "x-session-id", "x-stream-id"),
    }
)
_PLACEHOLDERS = frozenset({"changeme", "yourkey", "yourapikey", "yourkeyhere", "yourapikeyhere"})


def check_key(key: str) -> str:
    """Return the key, if it may be one; no message repeats it."""
    if not key.strip():
        raise ValueError("the key is empty")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("the key has characters that a header cannot carry")
    if re.sub(r"[^a-z]", "", key.lower()) in _PLACEHOLDERS:
        raise ValueError("the key is a placeholder")
    return key


def check_url(text: str) -> str | None:
    """Return the URL of a server, if it is one; an empty text is none at all."""
    if not text.strip():
        return None
    url = _parsed(urlsplit, text, "a URL")
    _parsed(lambda _: url.port, text, "a URL")  # raises where it is no number
    if url.scheme not in ("http", "https") or not url.hostname or not text.isprintable() or " " in text:
        raise ValueError(f"{text[:80]!r} is not a URL")
    if url.username is not None:
        raise ValueError("keys do not belong into it: set OPENAI_API_KEY")
    return text.rstrip("/")


def check_database(url: str) -> str:
    """Return the URL of a database of a kind that we have; no message repeats it, for it has a password."""
    scheme, _, rest = url.partition("://")
    kind = scheme.partition("+")[0]
    if kind not in ("sqlite", "postgresql", "postgres") or not rest.strip("/"):
        raise ValueError("it is not the URL of an SQLite or PostgreSQL database")
    return url


def check_redis(url: str) -> str:
    """Return the URL, if it may be one of Redis; no message repeats it, for it may have a password."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("redis", "rediss", "unix", "valkey", "valkeys") or not rest.strip("/"):
        raise ValueError("it is not the URL of a Redis or Valkey")
    return re.sub("^valkey", "redis", url)


def check_policy(text: str) -> str:
    """Return the policy for answers that their readers left, in lower case, if it is one."""
    policy = "".join(text.lower().split())
    patience(policy)
    return policy


def patience(policy: str) -> float | None:
    """Return the seconds for which an answer goes on that its readers left; None: to its end."""
    kind, _, seconds = policy.partition("=")
    if policy in ("continue", "cancel"):
        return None if policy == "continue" else 0.0
    if kind != "grace" or not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?", seconds):
        raise ValueError(f"{policy[:40]!r} is none")
    return float(seconds)


def parse_keys(text: str) -> tuple[tuple[str, SecretStr], ...]:
    """Return the pairs of ``name:key,name:key``; no message repeats a key."""
    if not text.strip():
        raise ValueError("it is empty")
    pairs: list[tuple[str, SecretStr]] = []
    for number, item in enumerate(text.split(","), 1):
        name, colon, key = item.strip().partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise ValueError(f"entry {number} has no name before a colon (letters, digits, . _ @ -)")
        try:
            pairs.append((name, SecretStr(check_key(key))))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    keys = [key.get_secret_value() for _, key in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError("two entries have the same key")
    return tuple(pairs)


def parse_hosts(text: str) -> tuple[str, ...]:
    """Return the hosts of a list with commas, in normal form."""
    return _distinct(str(_parsed(parse_host, item, "a host")) for item in _items(text))


def parse_origins(text: str) -> tuple[str, ...]:
    """Return the origins of a list with commas, in normal form."""
    if "*" in _items(text):
        raise ValueError("* would let every page ask in its reader's name")
    return _distinct(str(_parsed(parse_origin, item, "an origin")) for item in _items(text))


def parse_names(text: str) -> tuple[str, ...]:
    """Return the names of a list with commas."""
    for item in _items(text):
        if not _OPTION.fullmatch(item):
            raise ValueError(f"{item[:40]!r} is not a name")
    return _items(text)


def parse_features(text: str) -> frozenset[str]:
    """Return what is on: at first some are; the list switches on, or with a minus off."""
    switched_on = set(ON_AT_FIRST)
    for item in _items(text):
        name = item.removeprefix("-")
        if name not in FEATURES:
            raise ValueError(f"{name[:40]!r} is not a feature; known: {', '.join(FEATURES)}")
        (switched_on.discard if item.startswith("-") else switched_on.add)(name)
    return frozenset(switched_on)


def parse_lines(text: str) -> tuple[str, ...]:
    """Return the texts of a JSON list, or the lines that are not empty."""
    if text.lstrip().startswith("["):
        items = parse_json(text)
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ValueError("the JSON is not a list of texts")
        return tuple(items)
    return tuple(line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip())


def parse_headers(text: str) -> tuple[tuple[str, str], ...]:
    """Return the headers of a JSON object, or of ``Name: value`` lines."""
    pairs = list(_json_headers(text) if text.lstrip().startswith("{") else _header_lines(text))
    for name, value in pairs:
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is not a header's name")
        if not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the value of {name} has characters that a header cannot carry")
        if name.lower() in _OUR_HEADERS:
            raise ValueError(f"{name} is set by the server itself")
        if name.lower().startswith("access-control-"):
            raise ValueError(f"{name} is set by the server itself: use RAGSTREAM_CORS_ORIGINS")
    if len({name.lower() for name, _ in pairs}) < len(pairs):
        raise ValueError("a header stands there twice")
    return tuple(pairs)


def _json_headers(text: str) -> Iterable[tuple[str, str]]:
    headers = parse_json(text)
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise ValueError("the JSON is not an object of texts")
    return headers.items()


def _header_lines(text: str) -> Iterable[tuple[str, str]]:
    # A lone CR is left where it is: it is refused with the value that holds it.
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.strip():
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError(f"the line {line[:40]!r} has no colon")
            yield name.strip(" \t"), value.strip(" \t")


def parse_json(text: str) -> Any:
    """Return what the JSON says; the message of what is none does not repeat it."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"the JSON cannot be read: {error}") from None


def _items(text: str) -> tuple[str, ...]:
    return _distinct(item.strip() for item in text.split(",") if item.strip())


def _distinct(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _parsed(parse: Any, item: str, noun: str) -> Any:
    try:
        return parse(item)
    except ValueError:
        raise ValueError(f"{item[:80]!r} is not {noun}") from None
