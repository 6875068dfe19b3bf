"""What the request lane may use."""

from __future__ import annotations

from dataclasses import dataclass

from ragstream.delivery.base import Answerer
from ragstream.delivery.settings import DeliverySettings
from ragstream.delivery.supervisor import Supervisor
from ragstream.identity.base import Authenticator
from ragstream.storage.base import Idempotency, Sessions, Turns
from ragstream.streamlog.base import StreamLog
from ragstream.telemetry import Metrics

__all__ = ["DeliveryKit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryKit:
    """The parts that the steps of the request lane are handed."""

    authenticator: Authenticator
    answerer: Answerer
    supervisor: Supervisor
    log: StreamLog
    sessions: Sessions
    turns: Turns
    idempotency: Idempotency
    metrics: Metrics
    settings: DeliverySettings
