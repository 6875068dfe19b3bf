"""Who asks."""

from __future__ import annotations

from typing import Protocol

import msgspec

__all__ = ["Authenticator", "Credentials", "Principal"]


class Principal(msgspec.Struct, frozen=True):
    """Somebody who may ask; owns the sessions and streams made under the name."""

    name: str


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a request brings to say who asks."""

    authorization: tuple[str, ...] = ()  # every Authorization header, verbatim
    query_keys: tuple[str, ...] = ()  # names of query parameters, for refusing keys in URLs


class Authenticator(Protocol):
    """Decides who asks."""

    required: bool  # whether a request without credentials is refused

    def authenticate(self, credentials: Credentials) -> Principal:
        """Return who asks.

        Raises:
            Unauthorized: no valid key; one message for every reason.
            BadRequest: a key in the URL.
        """
        ...
