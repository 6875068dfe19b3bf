"""What a call costs: reckoned from its usage, or estimated before it is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ragstream.events import ImagePart, Usage
from ragstream.llm.base import ChatRequest

__all__ = ["Price", "add_usage", "cost", "estimate", "price_of"]

_BYTES_PER_TOKEN = 3  # of UTF-8: English has about 4, Chinese 3; a budget should err upwards
_TOKENS_PER_MESSAGE = 4  # role and separators
_TOKENS_PER_IMAGE = 1_000
_TOKENS_OF_ANSWER = 1_000  # where the request sets no limit


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a million tokens cost, in any one currency."""

    prompt: float
    completion: float
    cached: float | None = None  # of a prompt's tokens that the provider had cached; None: as the others


def price_of(prices: Mapping[str, Price], provider: str, model: str) -> Price | None:
    """Look a model's price up under "provider/model", then under "model"."""
    return prices.get(f"{provider}/{model}") or prices.get(model)


def cost(usage: Usage, price: Price) -> float:
    """Return what the tokens cost. Reasoning tokens are among a provider's completion tokens."""
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    cached_price = price.prompt if price.cached is None else price.cached
    prompt = (usage.prompt_tokens - cached) * price.prompt + cached * cached_price
    return (prompt + usage.completion_tokens * price.completion) / 1e6


def estimate(request: ChatRequest, price: Price) -> float:
    """Return about what the request will cost at most, assuming an ordinary answer if it sets no limit."""
    size = sum(len(message.text.encode("utf-8", "replace")) for message in request.messages)
    size += len(msgspec.json.encode(request.tools)) if request.tools else 0
    images = sum(
        isinstance(part, ImagePart)
        for message in request.messages
        if isinstance(message.content, tuple)
        for part in message.content
    )
    prompt = (
        size / _BYTES_PER_TOKEN + _TOKENS_PER_MESSAGE * len(request.messages) + _TOKENS_PER_IMAGE * images
    )
    completion = request.options.max_tokens or _TOKENS_OF_ANSWER
    return (prompt * price.prompt + completion * price.completion) / 1e6


def add_usage(usages: Iterable[Usage]) -> Usage | None:
    """Return the sum of several calls' tokens and costs; None of none."""
    total: Usage | None = None
    for usage in usages:
        total = usage if total is None else _sum(total, usage)
    return total


def _sum(one: Usage, other: Usage) -> Usage:
    known = [usage.cost for usage in (one, other) if usage.cost is not None]
    return Usage(
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        completion_tokens=one.completion_tokens + other.completion_tokens,
        total_tokens=one.total_tokens + other.total_tokens,
        cached_tokens=one.cached_tokens + other.cached_tokens,
        reasoning_tokens=one.reasoning_tokens + other.reasoning_tokens,
        cost=sum(known) if known else None,
    )
