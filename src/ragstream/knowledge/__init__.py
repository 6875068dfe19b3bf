"""The knowledge base: parse, chunk, index, search."""

from ragstream.knowledge.base import (
    Chunk,
    Document,
    DocumentParser,
    KnowledgeBase,
    KnowledgeSize,
    Library,
    Origin,
    ParsedDocument,
    Retriever,
)

__all__ = [
    "Chunk",
    "Document",
    "DocumentParser",
    "KnowledgeBase",
    "KnowledgeSize",
    "Library",
    "Origin",
    "ParsedDocument",
    "Retriever",
]
