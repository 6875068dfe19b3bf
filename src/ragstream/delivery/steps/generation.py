"""S106 and S107: an answer is made, once, and handed to the supervisor."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from time import monotonic
from typing import NamedTuple

import msgspec

from ragstream.blueprint import step
from ragstream.delivery.base import Follow, Inquiry
from ragstream.delivery.exchange import Exchange
from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.single_pass import SinglePassStream
from ragstream.delivery.steps.following import look_up, records_of, session_in_log
from ragstream.errors import BadIdempotencyKey, ProgrammingError
from ragstream.events import Message, Options, Question

__all__ = ["claim_stream", "create_generator"]

_KEY_MAX = 255
_LOOKS = 0.02, 0.5  # seconds between two looks whether an answer has begun elsewhere: first and at most


class _Claim(NamedTuple):
    owner: str
    key: str
    body_hash: str


@step("AsyncGen")
async def create_generator(exchange: Exchange, kit: DeliveryKit) -> None:
    """Create the answer's async generator, unstarted, with its session, options and provider settings."""
    question = _question(exchange, kit)
    exchange.run = kit.answerer.prepare(question)
    exchange.stream = SinglePassStream(exchange.run.events())
    exchange.stream_id, exchange.session_id = question.stream_id, question.session_id
    exchange.note(generator_created=True, generator_configured=True)


@step("SinglePass")
async def claim_stream(exchange: Exchange, kit: DeliveryKit) -> None:
    """Claim stream id and idempotency key, and let the supervisor pull the generator, this once.

    A request that repeats an idempotency key reads the answer that the first one began.
    """
    if (key := _key_of(exchange)) is None:
        await _begin(exchange, kit)
    else:
        await _begin_once(exchange, kit, key)
    if not exchange.session_id:
        exchange.session_id = await session_in_log(kit, exchange.stream_id)
    exchange.note(stream_id=exchange.stream_id, session_id=exchange.session_id)


def _question(exchange: Exchange, kit: DeliveryKit) -> Question:
    asked, principal, session = exchange.asked, exchange.principal, exchange.session
    if not isinstance(asked, Inquiry) or principal is None:
        raise ProgrammingError("a generator is created only for a validated question")
    new = asked.session_id if asked.makes_session and asked.session_id else secrets.token_hex(16)
    return Question(
        stream_id=secrets.token_hex(16),
        message_id=secrets.token_hex(16),
        session_id=session.id if session else new,
        request_id=exchange.request_id,
        owner=principal.name,
        messages=_new(asked) if session or exchange.branches_from else asked.messages,
        continues=session is not None,
        branches_from=exchange.branches_from,
        replaces=exchange.replaces,
        model=asked.model,
        options=_options(asked, kit),
        metadata=asked.metadata,
        include_steps=asked.include_steps,
        created=int(time.time()),
    )


def _new(asked: Inquiry) -> tuple[Message, ...]:
    """Return what a session does not know yet: the newest messages, and the request's instructions."""
    earlier, newest = asked.messages[: -asked.newest], asked.messages[-asked.newest :]
    return (*(message for message in earlier if message.role in ("system", "developer")), *newest)


def _options(asked: Inquiry, kit: DeliveryKit) -> Options:
    """Return the options with the wishes that the provider takes."""
    granted = {name: value for name, value in asked.wishes.items() if name in kit.answerer.options}
    if not granted:
        return asked.options
    return msgspec.structs.replace(asked.options, extras=asked.options.extras | granted)


def _key_of(exchange: Exchange) -> str | None:
    keys = exchange.request.headers.getlist("idempotency-key")
    if not keys:
        return None
    key = keys[0]
    if len(keys) > 1 or not 0 < len(key) <= _KEY_MAX or not (key.isascii() and key.isprintable()):
        raise BadIdempotencyKey(f"An idempotency key is one, of 1 to {_KEY_MAX} printable ASCII characters.")
    return key


async def _begin(exchange: Exchange, kit: DeliveryKit) -> None:
    if exchange.run is None or exchange.stream is None:
        raise ProgrammingError("only a created generator can be claimed")
    await kit.supervisor.start(exchange.run, exchange.stream.take())
    exchange.records = kit.log.read(exchange.stream_id, tap=exchange.tap)


def _same(asked: Inquiry | Follow | None, stream_id: str) -> Follow:
    """Return the wish to read an answer as this question would have been answered."""
    if asked is None:
        raise ProgrammingError("only a validated question can be answered again")
    return Follow(stream_id=stream_id, streaming=asked.streaming, wait=asked.wait, dialect=asked.dialect)


async def _begin_once(exchange: Exchange, kit: DeliveryKit, key: str) -> None:
    """Begin the answer, or read the one that the key's first question began, in whichever process.

    A key whose answer never began, because it was refused or its process died, is free again.
    """
    if exchange.principal is None or exchange.stream is None:
        raise ProgrammingError("only a created generator can be claimed")
    claim = _Claim(
        exchange.principal.name, key, hashlib.sha256(msgspec.json.encode(exchange.asked)).hexdigest()
    )
    awaited, deadline = "", 0.0
    pause, longest = _LOOKS
    while True:
        async with kit.supervisor.claiming:
            first = await kit.idempotency.claim(claim.owner, key, claim.body_hash, exchange.stream_id)
            if first == exchange.stream_id:
                return await _begin_claimed(exchange, kit, claim)
            if await _follow_first(exchange, kit, first):
                return None
            if first != awaited:
                awaited, deadline = first, monotonic() + kit.settings.claim_patience
            if monotonic() >= deadline:
                await kit.idempotency.release(claim.owner, key, first)
                continue
        await asyncio.sleep(pause)
        pause = min(2 * pause, longest)


async def _begin_claimed(exchange: Exchange, kit: DeliveryKit, claim: _Claim) -> None:
    try:
        await _begin(exchange, kit)
    except BaseException:
        await kit.idempotency.release(claim.owner, claim.key, exchange.stream_id)
        raise


async def _follow_first(exchange: Exchange, kit: DeliveryKit, first: str) -> bool:
    """Read the answer that the first question began; False if it has not begun."""
    status, turn, session_id = await look_up(kit, first)
    if status is None and turn is None:
        return False
    if exchange.stream is not None:
        await exchange.stream.aclose()
    exchange.stream_id, exchange.session_id = first, session_id
    exchange.records = records_of(kit, status, turn, _same(exchange.asked, first), exchange.tap)
    return True
