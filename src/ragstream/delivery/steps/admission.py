"""S002 to S005 and S104: who asks, for what, and whether that can be honoured."""

from __future__ import annotations

import asyncio
from typing import Literal

from ragstream.blueprint import step
from ragstream.delivery.base import HOUSE_MODEL, Follow, Inquiry
from ragstream.delivery.conversation import find_conversation
from ragstream.delivery.exchange import Exchange
from ragstream.delivery.fault import fault_of_error
from ragstream.delivery.kit import DeliveryKit
from ragstream.errors import (
    BodyTooLarge,
    InvalidField,
    ModelNotFound,
    ProgrammingError,
    ReaderLeft,
    RequestError,
    RequestTimeout,
    UnsupportedMediaType,
)
from ragstream.identity.base import Credentials

__all__ = ["reject_request", "stream_check", "submit_query", "valid_check", "validate_request"]


@step("Start")
async def submit_query(exchange: Exchange, kit: DeliveryKit) -> None:  # noqa: ARG001
    """Take note of the request: its route and where it comes from."""
    exchange.note(method=exchange.scope["method"], path=exchange.scope["path"])


@step("ValidateRequest")
async def validate_request(exchange: Exchange, kit: DeliveryKit) -> None:
    """Find out who asks, read and parse the body, and check that what it names is there."""
    try:
        exchange.principal = kit.authenticator.authenticate(_credentials(exchange))
        body = await _read_body(exchange, kit) if exchange.intake.has_body else b""
        exchange.asked = exchange.intake.parse(exchange.request, body)
        if isinstance(exchange.asked, Inquiry):
            _check_model(exchange.asked, kit)
            _check_options(exchange.asked, kit)
            found = await find_conversation(exchange.asked, exchange.principal.name, kit)
            exchange.session = found.session
            exchange.branches_from, exchange.replaces = found.branches_from, found.replaces
    except RequestError as refusal:
        exchange.refusal = refusal
    exchange.note(authenticated=exchange.principal is not None, valid=exchange.refusal is None)


@step("ValidCheck")
def valid_check(exchange: Exchange) -> Literal["yes", "no"]:
    """Let only valid requests pass."""
    return "yes" if exchange.refusal is None else "no"


@step("RejectRequest")
async def reject_request(exchange: Exchange, kit: DeliveryKit) -> None:  # noqa: ARG001
    """Answer in the route's own form, and say what to change."""
    if exchange.refusal is None:
        raise ProgrammingError("only a refused request is rejected")
    fault = fault_of_error(exchange.refusal)
    reply = exchange.intake.dialect.problem(fault, request_id=exchange.request_id)
    exchange.note(status=reply.status_code, code=str(exchange.refusal.code))
    await reply(exchange.scope, exchange.receive, exchange.send)


@step("StreamCheck")
def stream_check(exchange: Exchange) -> Literal["yes", "no", "follow"]:
    """Tell a new streamed answer, a new whole one, and one that has begun apart."""
    if isinstance(exchange.asked, Follow):
        return "follow"
    return "yes" if exchange.streaming else "no"


def _credentials(exchange: Exchange) -> Credentials:
    request = exchange.request
    return Credentials(
        authorization=tuple(request.headers.getlist("authorization")),
        query_keys=tuple(request.query_params.keys()),
    )


async def _read_body(exchange: Exchange, kit: DeliveryKit) -> bytes:
    request, limit = exchange.request, kit.settings.max_body
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedMediaType(f"Encoded bodies are not read ({encoding[:40]!r}); send plain JSON.")
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("This route reads application/json; set Content-Type to it.")
    if (length := request.headers.get("content-length", "0")).isdecimal() and int(length) > limit:
        raise BodyTooLarge(f"The body has {length} bytes; the limit is {limit}.")
    try:
        async with asyncio.timeout(kit.settings.body_deadline):
            return await _receive_body(exchange, limit)
    except TimeoutError:
        raise RequestTimeout(f"The body did not arrive within {kit.settings.body_deadline:g} s.") from None


async def _receive_body(exchange: Exchange, limit: int) -> bytes:
    body = bytearray()
    while True:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            raise ReaderLeft("The client left before its request was whole.")
        body += message.get("body", b"")
        if len(body) > limit:
            raise BodyTooLarge(f"The body is larger than the limit of {limit} bytes.")
        if not message.get("more_body", False):
            return bytes(body)


def _check_model(asked: Inquiry, kit: DeliveryKit) -> None:
    if asked.model is None or asked.any_model or asked.model in kit.answerer.models:
        return
    known = ", ".join(dict.fromkeys([HOUSE_MODEL, *kit.answerer.models]))
    raise ModelNotFound(f"There is no model {asked.model[:64]!r}; there are: {known}.")


def _check_options(asked: Inquiry, kit: DeliveryKit) -> None:
    for name in asked.options.extras:
        if name not in kit.answerer.options:
            known = ", ".join(["temperature", "max_tokens", "seed", "stop", *sorted(kit.answerer.options)])
            raise InvalidField(f"Unknown option {name[:64]!r}; known: {known}.", path=f"options.{name[:64]}")
