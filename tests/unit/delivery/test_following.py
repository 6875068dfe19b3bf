"""A reader looks for an answer that begins at the same moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.steps.following import look_up
from ragstream.events import Message
from ragstream.storage.base import Turn
from ragstream.streamlog.base import LogStatus

STREAM = "s" * 32
BEGUN = LogStatus(stream_id=STREAM, owner="ann", state="live", last_seq=1, last_type=None)


class Kit:
    """What a look-up asks: a log that says one thing after the other, and a stored question."""

    def __init__(self, *said: LogStatus | None) -> None:
        self._said: Iterator[LogStatus | None] = iter(said)
        self.log = self.turns = self.supervisor = self

    async def status(self, _stream_id: str) -> LogStatus | None:
        return next(self._said)

    async def get(self, stream_id: str) -> Turn:
        question = (Message(role="user", content="?"),)
        return Turn(
            stream_id=stream_id,
            message_id="m" * 32,
            session_id="t" * 32,
            owner="ann",
            question=question,
            created=0.0,
        )

    def session_of(self, _stream_id: str) -> str | None:
        return None


async def found(*said: LogStatus | None) -> LogStatus | None:
    kit: Any = Kit(*said)
    status, _, session_id = await look_up(cast("DeliveryKit", kit), STREAM)
    assert session_id == "t" * 32
    return status


async def test_a_log_that_began_between_two_looks_is_found() -> None:
    assert await found(None, BEGUN) == BEGUN


async def test_a_log_that_is_gone_stays_gone() -> None:
    assert await found(None, None) is None
