"""The knowledge base: parse, chunk, index, search."""

from ragstream.knowledge._jobs import Limits
from ragstream.knowledge.analyzer import question_terms, terms
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
from ragstream.knowledge.blocking import Blocking
from ragstream.knowledge.fake import FakeRetriever
from ragstream.knowledge.local import LocalKnowledge
from ragstream.knowledge.parsing import SubprocessParser

__all__ = [
    "Blocking",
    "Chunk",
    "Document",
    "DocumentParser",
    "FakeRetriever",
    "KnowledgeBase",
    "KnowledgeSize",
    "Library",
    "Limits",
    "LocalKnowledge",
    "Origin",
    "ParsedDocument",
    "Retriever",
    "SubprocessParser",
    "question_terms",
    "terms",
]
