"""How streams are delivered: the settings of this room, handed to it by the composition root."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DeliverySettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """Settings of delivery; times in seconds unless said otherwise."""

    heartbeat: float = 10.0  # silence after which a comment is sent
    retry: int = 2000  # milliseconds that a reader waits before it reconnects
    head_hold: float = 0.25  # how long the head waits for the first token, for an honest status
    write_deadline: float = 30.0  # a reader that takes nothing for so long is evicted
    body_deadline: float = 30.0  # a request body must have arrived by then
    max_body: int = 1 << 20  # bytes of a request body
    compression: bool = False  # gzip, flushed at every event, where the client accepts it
    max_answers: int = 1000  # under way in this process
    max_answers_per_owner: int | None = None  # None: as many as the process may have
    max_readers: int = 20_000  # in this process
    max_readers_per_stream: int = 5000
    patience: float | None = None  # for so long an answer goes on that its readers left; None: to its end
    rotate_after: float | None = None  # readers that can resume are sent away by then; None: never
    claim_patience: float = 1.5  # a repeated question waits so long for the first one to begin elsewhere
    lost_after: float = 0.0  # an answer ends whose log was missing for so long: its process may make it anew
    headers: tuple[tuple[str, str], ...] = ()  # further headers of every streamed response
