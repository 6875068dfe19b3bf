"""Who asks: API keys, local mode, allowed hosts and origins."""

from ragstream.identity.base import Authenticator, Credentials, Principal
from ragstream.identity.hosts import Hosts
from ragstream.identity.keys import ApiKeys
from ragstream.identity.local import LocalMode

__all__ = ["ApiKeys", "Authenticator", "Credentials", "Hosts", "LocalMode", "Principal"]
