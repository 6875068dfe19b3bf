"""Recorded logs: the steps' lines in a JSON log, held against the diagram."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ragstream.audit.course import Conformance, Course
from ragstream.blueprint import Diagram

__all__ = ["audit_trace"]

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_STAGES = ("completed", "failed")


def audit_trace(diagram: Diagram, lines: Iterable[bytes]) -> Iterator[str]:
    """Yield a line for each transition in a JSON log that ``diagram`` does not have.

    Lines of others than steps are passed over, as are those of steps that only began. What is kept in memory
    is what unfinished requests announced.
    """
    conformance = Conformance(Course(diagram.nodes))
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            line = _decode(text)
        except msgspec.DecodeError:
            yield f"line {number}: not a JSON object; record with RAGSTREAM_LOG_FORMAT=json"
            continue
        if line.get("processing_stage") in _STAGES and isinstance(line.get("step"), int):
            yield from (f"line {number}: {finding}" for finding in conformance.hear(line))
