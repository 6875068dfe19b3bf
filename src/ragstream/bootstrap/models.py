"""A key without a model: what the provider offers is the best advice."""

from __future__ import annotations

import asyncio

from ragstream.errors import ConfigError, ProviderError
from ragstream.settings import Settings

__all__ = ["require_model"]

_PATIENCE = 5.0  # seconds for the provider to list its models
_MOST = 12  # models named in the message


def require_model(settings: Settings) -> None:
    """Refuse a provider that is named without a model, and list what it offers.

    Raises:
        ConfigError: there is a key or an address of a provider, but no model.
    """
    if settings.has_model or not (settings.openai_api_key or settings.openai_base_url):
        return
    name = "OPENAI_API_KEY" if settings.openai_api_key else "OPENAI_BASE_URL"
    try:
        models = asyncio.run(_models(settings))
        offer = f"the provider offers {', '.join(models[:_MOST])}{', …' if len(models) > _MOST else ''}"
    except TimeoutError:
        offer = f"the provider did not list its models within {_PATIENCE:g} s"
    except ProviderError as error:  # what it offers is only advice
        offer = f"the provider did not list its models ({error})"
    raise ConfigError(
        f"{name} is set, but RAGSTREAM_MODEL is not: {offer}. Set RAGSTREAM_MODEL to a model, or unset "
        f"{name} to answer without a model."
    )


async def _models(settings: Settings) -> list[str]:
    from ragstream.bootstrap.wiring import only_provider

    provider = only_provider(settings)
    try:
        async with asyncio.timeout(_PATIENCE):
            return await provider.models()
    finally:
        await provider.aclose()
