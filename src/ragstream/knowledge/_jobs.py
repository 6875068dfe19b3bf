"""What a parser and its worker processes say to each other."""

from __future__ import annotations

import struct

import msgspec

from ragstream.knowledge.base import ParsedDocument

__all__ = ["HEAD", "Job", "Limits", "Outcome"]

HEAD = struct.Struct(">Q")  # the length of the MessagePack document that follows


class Limits(msgspec.Struct, frozen=True):
    """What reading one file may take."""

    size: int = 50 << 20  # bytes of the file
    memory: int = 1 << 30  # bytes of address space
    cpu: int = 30  # seconds
    wall: float = 30.0  # seconds


class Job(msgspec.Struct, frozen=True):
    """One file to read."""

    name: str
    data: bytes


class Outcome(msgspec.Struct, frozen=True):
    """What came of it: a document, or the code and message of its rejection."""

    document: ParsedDocument | None = None
    code: str = ""
    message: str = ""
    spent: bool = False  # this process shall not be given another job
