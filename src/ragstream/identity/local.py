"""Local mode: whoever reaches a loopback address may ask."""

from __future__ import annotations

from ragstream.identity.base import Credentials, Principal
from ragstream.identity.urls import refuse_keys_in_url

__all__ = ["LOCAL", "LocalMode"]

LOCAL = Principal("local")


class LocalMode:
    """Asks for no key. Host and Origin are checked all the same: a foreign page must not reach in."""

    required = False

    def authenticate(self, credentials: Credentials) -> Principal:
        """Return the one caller there is, whatever key came along: clients often must send one.

        Raises:
            BadRequest: a key in the URL.
        """
        refuse_keys_in_url(credentials)
        return LOCAL
