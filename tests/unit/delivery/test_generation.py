"""S106 and S107: the generator is made with all that was asked, unstarted, and is pulled once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any, cast

import pytest

from ragstream.api.intake import ChatIntake
from ragstream.delivery.base import Follow, Inquiry
from ragstream.delivery.exchange import Exchange
from ragstream.delivery.kit import DeliveryKit
from ragstream.delivery.steps.admission import _check_options
from ragstream.delivery.steps.following import find_stream
from ragstream.delivery.steps.generation import claim_stream, create_generator
from ragstream.errors import (
    BadIdempotencyKey,
    IdempotencyMismatch,
    InvalidField,
    ProgrammingError,
    StreamConsumed,
    Unavailable,
)
from ragstream.events import EventType, Message, Options, StreamEvent, TextPart
from ragstream.identity.base import Principal
from ragstream.llm import ScriptedProvider
from ragstream.storage.base import Session

TALK = Session(id="5" * 32, owner="ann", name="Talk", created=1.0, updated=1.0)
HELLO = (Message(role="user", content="Hello?"),)


def exchange(session: Session | None = None, headers: dict[str, str] | None = None, **asked: Any) -> Exchange:
    async def nothing(*_: Any) -> Any:
        raise AssertionError("neither read nor written before the first chunk")

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    made = Exchange(
        scope={"type": "http", "method": "POST", "path": "/", "headers": raw, "query_string": b""},
        receive=nothing,
        send=nothing,
        intake=ChatIntake(streaming=True),
        request_id="r1",
        principal=Principal("ann"),
        asked=Inquiry(**{"messages": HELLO} | asked),
    )
    made.session = session
    return made


async def read(kit: DeliveryKit, stream_id: str) -> list[StreamEvent]:
    events: list[StreamEvent] = []
    async with asyncio.timeout(5), aclosing(kit.log.read(stream_id)) as records:
        async for batch in records:
            events += [record.event for record in batch]
    return events


async def test_creation_starts_nothing(kit: DeliveryKit, provider: ScriptedProvider) -> None:
    made = exchange()
    await create_generator(made, kit)
    assert made.stream is not None
    assert provider.requests == []
    assert await kit.log.status(made.stream_id) is None
    await made.stream.aclose()


async def test_ids_are_random_and_long(kit: DeliveryKit) -> None:
    first, second = exchange(), exchange()
    await create_generator(first, kit)
    await create_generator(second, kit)
    assert len({first.stream_id, second.stream_id, first.session_id, second.session_id}) == 4
    assert all(len(bytes.fromhex(name)) == 16 for name in (first.stream_id, first.session_id))


async def test_the_session_is_kept(kit: DeliveryKit) -> None:
    made = exchange(TALK)
    await create_generator(made, kit)
    assert made.run is not None
    assert made.session_id == TALK.id
    assert made.run.question.continues


async def test_everything_asked_reaches_the_provider(kit: DeliveryKit, provider: ScriptedProvider) -> None:
    options = Options(temperature=0.3, max_tokens=9, seed=7, stop=("END",), extras={"top_k": 4})
    conversation = (
        Message(role="user", content="My name is Ann."),
        Message(role="assistant", content="Hello Ann."),
        Message(role="user", content=(TextPart("What is"), TextPart("my name?"))),
    )
    made = exchange(messages=conversation, model="big", options=options, metadata={"page": 3})
    await create_generator(made, kit)
    await claim_stream(made, kit)
    events = await read(kit, made.stream_id)
    (request,) = provider.requests
    assert request.messages[-3:] == conversation
    assert request.model == "big"
    assert request.options == options
    assert request.metadata == {"page": 3}
    assert request.session_id == made.session_id
    start = events[0].message_start
    assert start is not None
    assert (start.model, start.metadata, start.stream_id) == ("big", {"page": 3}, made.stream_id)


async def test_the_answer_is_generated_once_however_many_read(
    kit: DeliveryKit, provider: ScriptedProvider
) -> None:
    made = exchange()
    await create_generator(made, kit)
    await claim_stream(made, kit)
    readings = await asyncio.gather(*(read(kit, made.stream_id) for _ in range(20)))
    assert all(reading == readings[0] for reading in readings)
    assert readings[0][-1].type is EventType.MESSAGE_COMPLETE
    assert len(provider.requests) == 1


async def test_a_claimed_stream_cannot_be_iterated_again(kit: DeliveryKit) -> None:
    made = exchange()
    await create_generator(made, kit)
    await claim_stream(made, kit)
    assert made.stream is not None
    with pytest.raises(StreamConsumed):
        made.stream.take()
    await read(kit, made.stream_id)


async def test_only_a_validated_question_makes_a_generator(kit: DeliveryKit) -> None:
    made = exchange()
    made.principal = None
    with pytest.raises(ProgrammingError, match="validated"):
        await create_generator(made, kit)
    with pytest.raises(ProgrammingError, match="created"):
        await claim_stream(exchange(), kit)


async def test_the_same_key_reads_the_same_answer(kit: DeliveryKit, provider: ScriptedProvider) -> None:
    key = {"idempotency-key": "one"}
    first, again = exchange(headers=key), exchange(headers=key)
    for made in (first, again):
        await create_generator(made, kit)
        await claim_stream(made, kit)
    assert (again.stream_id, again.session_id) == (first.stream_id, first.session_id)
    assert await read(kit, first.stream_id) == await read(kit, again.stream_id)
    assert len(provider.requests) == 1


async def test_the_session_of_an_answer_that_is_not_stored_yet(
    kit: DeliveryKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(_stream_id: str) -> None:
        return None

    key = {"idempotency-key": "one"}
    first, again, later = exchange(headers=key), exchange(headers=key), exchange()
    await create_generator(first, kit)
    await claim_stream(first, kit)
    monkeypatch.setattr(kit.turns, "get", nothing)
    monkeypatch.setattr(kit.supervisor, "session_of", lambda _: None)  # another process writes it
    await create_generator(again, kit)
    await claim_stream(again, kit)
    later.asked = Follow(stream_id=first.stream_id)
    await find_stream(later, kit)
    assert again.session_id == later.session_id == first.session_id
    await read(kit, first.stream_id)


async def test_the_same_key_with_another_question_is_refused(kit: DeliveryKit) -> None:
    key = {"idempotency-key": "one"}
    first, other = exchange(headers=key), exchange(headers=key, model="another")
    for made in (first, other):
        await create_generator(made, kit)
    await claim_stream(first, kit)
    with pytest.raises(IdempotencyMismatch):
        await claim_stream(other, kit)
    assert other.stream is not None
    await other.stream.aclose()
    await read(kit, first.stream_id)


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
async def test_keys_that_are_refused(kit: DeliveryKit, key: str) -> None:
    made = exchange(headers={"idempotency-key": key})
    await create_generator(made, kit)
    with pytest.raises(BadIdempotencyKey):
        await claim_stream(made, kit)
    assert made.stream is not None
    await made.stream.aclose()


async def test_no_answer_begins_while_shutting_down(kit: DeliveryKit) -> None:
    await kit.supervisor.drain(0)
    made = exchange()
    await create_generator(made, kit)
    with pytest.raises(Unavailable, match="shutting down"):
        await claim_stream(made, kit)


async def test_creation_notes_that_it_did_and_nothing_of_the_question(kit: DeliveryKit) -> None:
    made = exchange()
    await create_generator(made, kit)
    assert made.notes == {"generator_created": True, "generator_configured": True}
    assert made.stream is not None
    await made.stream.aclose()


async def test_options_are_those_that_the_provider_is_configured_for(kit: DeliveryKit) -> None:
    known = exchange(options=Options(extras={"top_k": 4}))
    _check_options(cast(Inquiry, known.asked), kit)
    unknown = exchange(options=Options(extras={"top_q": 4}))
    with pytest.raises(InvalidField, match="known: temperature, max_tokens, seed, stop, top_k"):
        _check_options(cast(Inquiry, unknown.asked), kit)


async def test_without_a_model_the_configured_one_answers(kit: DeliveryKit) -> None:
    made = exchange()
    await create_generator(made, kit)
    await claim_stream(made, kit)
    start, *_, ending = await read(kit, made.stream_id)
    assert start.message_start is not None
    assert start.message_start.model == kit.answerer.model == ending.model
