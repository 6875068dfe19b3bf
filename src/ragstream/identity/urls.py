"""Keys do not belong into addresses, which logs, histories and Referer headers carry on."""

from __future__ import annotations

from ragstream.errors import BadRequest
from ragstream.identity.base import Credentials

__all__ = ["refuse_keys_in_url"]

_NAMES = frozenset({"access_token", "api_key", "apikey", "api-key", "auth", "authorization", "key", "token"})


def refuse_keys_in_url(credentials: Credentials) -> None:
    """Refuse a request with a key in its address, whether the key is valid or not.

    Raises:
        BadRequest: a query parameter has a name that keys have.
    """
    for name in credentials.query_keys:
        if name.lower() in _NAMES:
            raise BadRequest(
                f"A key in the URL ({name.lower()}) is not taken: send it as Authorization: Bearer <key>."
            )
