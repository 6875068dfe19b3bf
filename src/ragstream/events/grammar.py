"""Which event may follow which: one table.

An answer is NEW until its start is said, OPEN until its first token, then WRITING or, around tools,
CALLING, and ENDED after its one terminal event.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType

from ragstream.errors import IllegalEvent
from ragstream.events.event import EventType

__all__ = ["GRAMMAR", "Phase", "advance"]


class Phase(Enum):
    """How far an answer has come."""

    __hash__ = object.__hash__  # members are single, and Enum's own hash is a call into Python for each event

    NEW = "new"  # nothing said
    OPEN = "open"  # started, no token yet
    WRITING = "writing"  # text or reasoning is arriving
    CALLING = "calling"  # the model called tools
    ENDED = "ended"  # a terminal event was said


_ANYTIME = {
    EventType.STEP: None,
    EventType.REASONING_DELTA: Phase.WRITING,
    EventType.TEXT_DELTA: Phase.WRITING,
    EventType.TOOL_CALL_DELTA: Phase.CALLING,
    EventType.TOOL_CALL: Phase.CALLING,
    EventType.RESET: Phase.WRITING,
    EventType.MESSAGE_COMPLETE: Phase.ENDED,
    EventType.ERROR: Phase.ENDED,
    EventType.CANCELLED: Phase.ENDED,
    EventType.INTERRUPTED: Phase.ENDED,
}


def _row(phase: Phase, *more: EventType) -> MappingProxyType[EventType, Phase]:
    moves = {event: target or phase for event, target in _ANYTIME.items()}
    return MappingProxyType(moves | dict.fromkeys(more, phase))


GRAMMAR = MappingProxyType(
    {
        Phase.NEW: MappingProxyType({EventType.MESSAGE_START: Phase.OPEN}),
        Phase.OPEN: _row(Phase.OPEN, EventType.SOURCES),
        Phase.WRITING: _row(Phase.WRITING, EventType.CITATION),
        Phase.CALLING: _row(Phase.CALLING, EventType.TOOL_RESULT, EventType.SOURCES),
        Phase.ENDED: MappingProxyType[EventType, Phase]({}),
    }
)


def advance(phase: Phase, event: EventType) -> Phase:
    """Return the phase after ``event``.

    Raises:
        IllegalEvent: the table does not allow the event in this phase.
    """
    try:
        return GRAMMAR[phase][event]
    except KeyError:
        raise IllegalEvent(f"{event.value} cannot follow here: the answer is {phase.value}") from None
