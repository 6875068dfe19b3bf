"""Which hosts this server is, and which pages may ask it."""

from __future__ import annotations

import pytest

from ragstream.errors import BadHost, BadOrigin
from ragstream.identity.hosts import LOOPBACK, Hosts, is_loopback, parse_host, parse_origin

HOSTS = Hosts(
    [*LOOPBACK, "answers.example.org", "exact.example.org:8443"],
    ["https://app.example.org", "http://[2001:db8::1]:81"],
)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LocalHost:8000",
        "localhost.",
        "localhost.:8000",
        "127.0.0.1:65535",
        "[::1]",
        "[::1]:8000",
        "[0:0:0:0:0:0:0:1]:8000",
        "answers.example.org",
        "ANSWERS.example.ORG.:443",
        "exact.example.org:8443",
    ],
)
def test_our_own_names_are_taken(host: str) -> None:
    HOSTS.check([host])


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["localhost", "localhost"],
        ["localhost", "evil.example"],
        ["evil.example"],
        ["localhost.evil.example:8000"],
        ["evil.answers.example.org"],
        ["answers.example.orgx"],
        ["xanswers.example.org"],
        ["exact.example.org"],
        ["exact.example.org:443"],
        ["localhost:0"],
        ["localhost:65536"],
        ["localhost:80x"],
        ["localhost:"],
        ["localhost:\uff18\uff10"],
        ["localhost, evil.example"],
        ["localhost/path"],
        ["user@localhost"],
        ["localhost@evil.example"],
        ["http://localhost"],
        ["local host"],
        ["localhost\0"],
        ["localhost\n"],
        [" localhost"],
        ["localhost.."],
        [".localhost"],
        ["*"],
        ["[::1"],
        ["::1"],
        ["[::2]"],
        ["[127.0.0.1]"],
        ["[localhost]"],
        ["127.1"],
        ["2130706433"],
        ["0x7f000001"],
        ["127.0.0.2"],
        ["lo\u212aalhost"],
        ["x" * 10_000],
    ],
    ids=lambda hosts: ascii(hosts)[:40],
)
def test_any_other_name_is_refused(hosts: list[str]) -> None:
    with pytest.raises(BadHost):
        HOSTS.check(hosts)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("LOCALHOST:8000", "HTTP://localhost:8000"),
        ("localhost", "http://localhost"),
        ("localhost", "http://localhost:80"),
        ("localhost:80", "http://localhost"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("answers.example.org", "https://answers.example.org"),  # behind a proxy that does TLS
        ("answers.example.org:443", "https://answers.example.org"),
        ("localhost:8000", "https://app.example.org"),
        ("localhost:8000", "https://APP.example.org:443"),
        ("localhost:8000", "http://[2001:DB8:0::1]:81"),
    ],
)
def test_our_own_pages_and_those_that_are_named_may_ask(host: str, origin: str) -> None:
    HOSTS.check([host], [origin])


@pytest.mark.parametrize(
    "origins",
    [
        ["null"],
        [""],
        ["https://evil.example"],
        ["http://evil.localhost:8000"],
        ["http://localhost:3000"],  # another program on the same machine
        ["https://localhost"],
        ["http://127.0.0.1:8000"],  # the same machine, but not the page that was opened
        ["http://app.example.org"],
        ["https://app.example.org:8443"],
        ["https://app.example.org.evil.example"],
        ["https://app.example.org/"],
        ["https://user@app.example.org"],
        ["app.example.org"],
        ["file://"],
        ["chrome-extension://abc"],
        ["javascript://localhost:8000"],
        ["http://"],
        ["*"],
        ["http://localhost:8000", "http://localhost:8000"],
        ["http://localhost:8000 https://evil.example"],
    ],
    ids=lambda origins: repr(origins)[:40],
)
def test_pages_of_any_other_origin_may_not(origins: list[str]) -> None:
    with pytest.raises(BadOrigin):
        HOSTS.check(["localhost:8000"], origins)


def test_a_foreign_host_is_refused_whatever_the_origin() -> None:
    """A name of the attacker's that resolves to this machine: page and host agree, and are both foreign."""
    with pytest.raises(BadHost):
        HOSTS.check(["evil.example:8000"], ["http://evil.example:8000"])


@pytest.mark.parametrize(
    ("text", "normal"),
    [("Example.ORG.", "example.org"), ("a_b.c:1", "a_b.c:1"), ("[2001:DB8:0:0::1]:80", "[2001:db8::1]:80")],
)
def test_a_host_has_one_normal_form(text: str, normal: str) -> None:
    assert str(parse_host(text)) == normal
    assert parse_host(normal) == parse_host(text)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("HTTPS://Example.ORG:443", "https://example.org"),
        ("http://example.org:443", "http://example.org:443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_origin_has_one_normal_form(text: str, normal: str) -> None:
    assert str(parse_origin(text)) == normal
    assert parse_origin(normal) == parse_origin(text)


@pytest.mark.parametrize("wrong", ["*", "https://*.example.org", "", "example.org/x"])
def test_what_is_no_host_or_origin_is_refused_when_it_is_configured(wrong: str) -> None:
    with pytest.raises(ValueError, match="not"):
        Hosts([wrong])
    with pytest.raises(ValueError, match="not"):
        Hosts(["localhost"], [wrong])


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
