"""From settings to concrete parts: the one place that names them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from starlette.datastructures import Headers

from ragstream.answer import AnswerSettings, ExtractiveAnswerer
from ragstream.api.parts import About, ApiSettings
from ragstream.bootstrap.service import Parts, Resource, Service, blueprint
from ragstream.delivery.settings import DeliverySettings
from ragstream.errors import ConfigError
from ragstream.feeds import FeedsKit, Ingest, Progress
from ragstream.identity.base import Authenticator
from ragstream.identity.hosts import LOOPBACK, Hosts
from ragstream.identity.keys import ApiKeys
from ragstream.identity.local import LocalMode
from ragstream.knowledge.local import LocalKnowledge
from ragstream.knowledge.parsing import Parsers
from ragstream.llm import LLMClient
from ragstream.settings import Settings
from ragstream.storage.memory import MemoryIdempotency, MemorySessions, MemoryTurns
from ragstream.streamlog.base import StreamLog
from ragstream.streamlog.memory import MemoryLog
from ragstream.telemetry.metrics import Metrics

__all__ = ["desk", "library", "server"]


def server(settings: Settings, paths: Sequence[Path]) -> Service:
    """Return the service behind ``ragstream serve``: durable stores, HTTP, and ``paths`` read at the start."""
