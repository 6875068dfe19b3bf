"""The protocols that an answer can be told in, a file each."""

from ragstream.delivery.protocols.agui import AGUIDialect
from ragstream.delivery.protocols.base import Dialect
from ragstream.delivery.protocols.chat import ChatDialect
from ragstream.delivery.protocols.native import NativeDialect
from ragstream.delivery.protocols.responses import ResponsesDialect
from ragstream.delivery.protocols.ui import UIDialect

__all__ = ["DIALECTS"]

_ALL: tuple[Dialect, ...] = (
    NativeDialect(),
    ChatDialect(),
    ResponsesDialect(),
    UIDialect(),
    AGUIDialect(),
)
DIALECTS = {dialect.name: dialect for dialect in _ALL}
