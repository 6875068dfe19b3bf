"""State: what the steps of a lane share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from ragstream.events import StreamEvent

__all__ = ["State"]


@dataclass(slots=True, kw_only=True)
class State:
    """What every lane's state has; lanes derive theirs from it."""

    request_id: str
    include_steps: bool = False  # whether STEP events are said
    ending: StreamEvent | None = None  # the terminal event, once it is decided
    places: asyncio.Semaphore | None = None  # for walks that close at once; None: any number may
    given_up: bool = False  # the walk goes no further: another one has taken over
    notes: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def note(self, **attributes: Any) -> None:
        """Add attributes to the current step's log line and span: no secrets, no prompts, no answers."""
        self.notes.update(attributes)
