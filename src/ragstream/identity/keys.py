"""API keys, as ``Authorization: Bearer key``."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from ragstream.errors import Unauthorized
from ragstream.identity.base import Credentials, Principal
from ragstream.identity.urls import refuse_keys_in_url
from ragstream.telemetry import get_logger

__all__ = ["ApiKeys"]

_log = get_logger(__name__)
_REFUSAL = "This needs a valid key: send it as Authorization: Bearer <key>."


class ApiKeys:
    """Knows callers by their keys.

    Only hashes of the keys are kept. Every hash is compared, each in constant time, so that the time taken
    says neither whether a key is near to one of ours nor whose it is.

    Args:
        keys: pairs of a caller's name and a key; a name may have several, old and new.
    """

    required = True

    def __init__(self, keys: Iterable[tuple[str, str]]) -> None:
        self._callers = tuple((_hash(key), Principal(name)) for name, key in keys)

    def authenticate(self, credentials: Credentials) -> Principal:
        """Return whose key came with the request.

        Raises:
            Unauthorized: none of ours; the log has the reason, the message has not.
            BadRequest: a key in the URL.
        """
        refuse_keys_in_url(credentials)
        try:
            return self._caller(_bearer(credentials.authorization))
        except ValueError as reason:
            _log.info("request without a valid key", reason=str(reason))
            raise Unauthorized(_REFUSAL) from None

    def _caller(self, key: str) -> Principal:
        given, found = _hash(key), None
        for known, principal in self._callers:
            if hmac.compare_digest(given, known):
                found = principal
        if found is None:
            raise ValueError("unknown key")
        return found


def _bearer(headers: tuple[str, ...]) -> str:
    if not headers:
        raise ValueError("no Authorization header")
    if len(headers) > 1:
        raise ValueError("several Authorization headers")
    scheme, _, key = headers[0].strip(" \t").partition(" ")
    if scheme.lower() != "bearer":
        raise ValueError("another scheme than Bearer")
    if not (key := key.strip(" ")):
        raise ValueError("empty key")
    return key


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
