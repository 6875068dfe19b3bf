"""The steps of the answer lane, a module for each stretch of it."""

from ragstream.answer.steps import (
    calling,
    closing,
    ending,
    opening,
    prompting,
    query,
    retrieval,
    routing,
    tools,
)

__all__ = ["MODULES"]

MODULES = (opening, query, retrieval, prompting, routing, calling, tools, ending, closing)
