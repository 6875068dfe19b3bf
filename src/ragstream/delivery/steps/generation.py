"""S106 and S107: an answer is made, once, and handed to the supervisor."""

from __future__ import annotations

import hashlib
import secrets
import time

import msgspec

from ragstream.blueprint import step
from ragstream.delivery.base import Inquiry
from ragstream.delivery.exchange import Exchange
from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.single_pass import SinglePassStream
from ragstream.errors import BadIdempotencyKey, ProgrammingError
from ragstream.events import Question

__all__ = ["claim_stream", "create_generator"]

_KEY_MAX = 255


@step("AsyncGen")
async def create_generator(exchange: Exchange, kit: DeliveryKit) -> None:
    """Create the answer's async generator, unstarted, with its session, options and provider settings."""
    question = _question(exchange)
    exchange.run = kit.answerer.prepare(question)
    exchange.stream = SinglePassStream(exchange.run.events())
    exchange.stream_id, exchange.session_id = question.stream_id, question.session_id
    exchange.note(generator_created=True, generator_configured=True)


@step("SinglePass")
async def claim_stream(exchange: Exchange, kit: DeliveryKit) -> None:
    """Claim stream id and idempotency key, and let the supervisor pull the generator, this once.

    A request that repeats an idempotency key reads the answer that the first one began.
    """
    if exchange.run is None or exchange.stream is None or exchange.principal is None:
        raise ProgrammingError("only a created generator can be claimed")
    stream_id = await _claim_key(exchange, kit)
    if stream_id == exchange.stream_id:
        await kit.supervisor.start(exchange.run, exchange.stream.take())
    else:
        await exchange.stream.aclose()
        exchange.stream_id = stream_id
        exchange.session_id = await _session_of(stream_id, kit)
    exchange.records = kit.log.read(exchange.stream_id)
    exchange.note(stream_id=exchange.stream_id, session_id=exchange.session_id)


def _question(exchange: Exchange) -> Question:
    asked, principal = exchange.asked, exchange.principal
    if not isinstance(asked, Inquiry) or principal is None:
        raise ProgrammingError("a generator is created only for a validated question")
    return Question(
        stream_id=secrets.token_hex(16),
        message_id=secrets.token_hex(16),
        session_id=exchange.session.id if exchange.session else secrets.token_hex(16),
        request_id=exchange.request_id,
        owner=principal.name,
        messages=asked.messages,
        continues=exchange.session is not None,
        model=asked.model,
        options=asked.options,
        metadata=asked.metadata,
        include_steps=asked.include_steps,
        created=int(time.time()),
    )


async def _claim_key(exchange: Exchange, kit: DeliveryKit) -> str:
    key = exchange.request.headers.get("idempotency-key")
    if key is None or exchange.principal is None:
        return exchange.stream_id
    if not 0 < len(key) <= _KEY_MAX or not key.isprintable():
        raise BadIdempotencyKey(f"An idempotency key has 1 to {_KEY_MAX} printable characters.")
    body_hash = hashlib.sha256(msgspec.json.encode(exchange.asked)).hexdigest()
    return await kit.idempotency.claim(exchange.principal.name, key, body_hash, exchange.stream_id)


async def _session_of(stream_id: str, kit: DeliveryKit) -> str:
    turn = await kit.turns.get(stream_id)
    return turn.session_id if turn else ""
