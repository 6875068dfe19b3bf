"""The request lane's parts, real where they are small: memory stores, memory log, a scripted provider."""

from __future__ import annotations

import pytest

from ragstream.answer import AnswerKit, LaneAnswerer
from ragstream.bootstrap.binding import bind_blueprint
from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.settings import DeliverySettings
from ragstream.delivery.supervisor import Supervisor
from ragstream.identity.local import LocalMode
from ragstream.llm import LLMClient, ScriptedProvider
from ragstream.storage.memory import MemoryIdempotency, MemorySessions, MemoryTurns
from ragstream.streamlog.memory import MemoryLog
from ragstream.telemetry import Metrics


@pytest.fixture
def provider() -> ScriptedProvider:
    return ScriptedProvider(["Hel", "lo"])


@pytest.fixture
def kit(provider: ScriptedProvider) -> DeliveryKit:
    sessions = MemorySessions()
    turns = MemoryTurns(sessions)
    log, metrics = MemoryLog(), Metrics()
    lane = bind_blueprint().lane("answer")
    answers = AnswerKit(turns=turns, llm=LLMClient(providers=[provider]), retriever=None, meter=metrics)
    return DeliveryKit(
        authenticator=LocalMode(),
        answerer=LaneAnswerer(lane, answers, options=frozenset({"top_k"})),
        supervisor=Supervisor(log, metrics),
        log=log,
        sessions=sessions,
        turns=turns,
        idempotency=MemoryIdempotency(),
        metrics=metrics,
        settings=DeliverySettings(),
    )
