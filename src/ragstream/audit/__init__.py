"""The blueprint audits itself: what is drawn, what is built, and what tests have shown of it."""

from ragstream.audit.folder import Folder
from ragstream.audit.hints import hints
from ragstream.audit.page import Place
from ragstream.audit.project import Project, gaps
from ragstream.audit.report import Account
from ragstream.audit.search import search_code
from ragstream.audit.sketch import read_any
from ragstream.audit.summary import as_json, as_text
from ragstream.audit.trace import audit_trace

__all__ = [
    "Account",
    "Folder",
    "Place",
    "Project",
    "as_json",
    "as_text",
    "audit_trace",
    "gaps",
    "hints",
    "read_any",
    "search_code",
]
