"""What a provider offers: the best advice to whoever named it without a model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ragstream.errors import ConfigError, ErrorCode, ProviderError
from ragstream.settings import Settings

if TYPE_CHECKING:
    from ragstream.llm import OpenAIProvider

__all__ = ["listed", "offered", "require_model"]

_PATIENCE = 10.0  # seconds for the provider to list its models
_MOST = 12  # models named in a line


async def offered(provider: OpenAIProvider) -> list[str]:
    """Return the models that the provider offers, and close it.

    Raises:
        ProviderError: it did not list them, or not in time.
    """
    try:
        async with asyncio.timeout(_PATIENCE):
            return await provider.models()
    except TimeoutError:
        raise ProviderError(
            f"{provider.name} did not list its models within {_PATIENCE:g} s",
            code=ErrorCode.UPSTREAM_TIMEOUT,
            provider=provider.name,
        ) from None
    finally:
        await provider.aclose()


def listed(models: Sequence[str]) -> str:
    """Return the first of them, in a line."""
    return ", ".join(models[:_MOST]) + (", …" if len(models) > _MOST else "") or "nothing"


def require_model(settings: Settings) -> None:
    """Refuse a provider that is named without a model, and list what it offers.

    Raises:
        ConfigError: there is a key or an address of a provider, but no model.
    """
    if settings.has_model or not (settings.openai_api_key or settings.openai_base_url):
        return
    from ragstream.bootstrap.wiring import only_provider

    name = "OPENAI_API_KEY" if settings.openai_api_key else "OPENAI_BASE_URL"
    try:
        offer = f"the provider offers {listed(asyncio.run(offered(only_provider(settings))))}"
    except ProviderError as error:  # what it offers is only advice
        offer = f"the provider did not list its models ({error})"
    raise ConfigError(
        f"{name} is set, but RAGSTREAM_MODEL is not: {offer}. Set RAGSTREAM_MODEL to a model, or unset "
        f"{name} to answer without a model."
    )
