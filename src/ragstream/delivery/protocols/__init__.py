"""The protocols that an answer can be told in, a file each."""

from ragstream.delivery.protocols.base import Dialect
from ragstream.delivery.protocols.chat import ChatDialect
from ragstream.delivery.protocols.native import NativeDialect

__all__ = ["DIALECTS"]

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (NativeDialect(), ChatDialect())}
