"""Which hosts this server is, and which web pages may ask it.

A browser lets any page send requests to any address. Two things give a foreign page away:

- ``Host``: a name of the attacker's that resolves to this machine (DNS rebinding) still stands in the header.
- ``Origin``: the page's own address, on every request but a plain navigation.

Both are compared as whole names: no suffixes, no wildcards. A page of our own has the origin that the
request's Host names; one at another port of the same machine is as foreign as any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from ragstream.errors import BadHost, BadOrigin

__all__ = ["LOOPBACK", "Host", "Hosts", "Origin", "is_loopback", "parse_host", "parse_origin"]

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")  # RFC 1123, and _
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Host(NamedTuple):
    """A name or an address, and a port where one is given."""

    name: str
    port: int | None

    def __str__(self) -> str:
        return self.name if self.port is None else f"{self.name}:{self.port}"


class Origin(NamedTuple):
    """Where a page is from."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


class Hosts:
    """The hosts that this server is, and the origins that may ask it.

    Args:
        allowed: names and addresses, with a port where only that one is meant.
        origins: further origins, as ``https://example.org``.

    Raises:
        ValueError: one of them is none.
    """

    def __init__(self, allowed: Iterable[str], origins: Iterable[str] = ()) -> None:
        self._hosts = frozenset(parse_host(host) for host in allowed)
        self._origins = frozenset(parse_origin(origin) for origin in origins)

    def check(self, hosts: Iterable[str], origins: Iterable[str] = ()) -> None:
        """Let a request pass that names us and comes from a page that may ask, or from no page.

        Args:
            hosts: every ``Host`` header.
            origins: every ``Origin`` header.

        Raises:
            BadHost: the request is meant for another host.
            BadOrigin: the page is a foreign one.
        """
        host = self._check_host(tuple(hosts))
        given = tuple(origins)
        if len(given) > 1 or (given and not self._may_ask(given[0], host)):
            raise BadOrigin("Pages of this origin may not ask here: name it in RAGSTREAM_CORS_ORIGINS.")

    def _check_host(self, hosts: tuple[str, ...]) -> Host:
        try:
            (given,) = hosts
            host = parse_host(given)
        except ValueError:
            raise BadHost("The request needs one Host header with the name of this server.") from None
        if host not in self._hosts and Host(host.name, None) not in self._hosts:
            raise BadHost("This server is not that host: name it in RAGSTREAM_ALLOWED_HOSTS.")
        return host

    def _may_ask(self, origin: str, host: Host) -> bool:
        try:
            page = parse_origin(origin)
        except ValueError:  # null, the origin of sandboxed frames and files, is among them
            return False
        return page in self._origins or page == Origin(
            page.scheme, host.name, host.port or _DEFAULT_PORTS[page.scheme]
        )


def parse_host(text: str) -> Host:
    """Return name and port of ``name``, ``name:port``, ``[IPv6]`` or ``[IPv6]:port``, in normal form.

    Raises:
        ValueError: it is none of these.
    """
    match = _AUTHORITY.fullmatch(text.lower()) if text.isascii() else None
    if match is None:
        raise ValueError("not a host")
    name, port = match[1], int(match[2]) if match[2] else None
    if port is not None and not 0 < port < 65536:
        raise ValueError("not a port")
    if name.startswith("["):
        return Host(f"[{IPv6Address(name[1:-1])}]", port)  # one of the many spellings
    name = name.removesuffix(".")  # the root's dot: the same name
    if not _NAME.fullmatch(name) or len(name) > 253:
        raise ValueError("not a host name")
    return Host(name, port)


def parse_origin(text: str) -> Origin:
    """Return the origin that ``scheme://host[:port]`` names.

    Raises:
        ValueError: it is none, has a path, or is not of http or https.
    """
    scheme, _, authority = text.lower().partition("://")
    if scheme not in _DEFAULT_PORTS:
        raise ValueError("not an http or https origin")
    host = parse_host(authority)
    return Origin(scheme, host.name, host.port or _DEFAULT_PORTS[scheme])


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach what listens on ``host``."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
