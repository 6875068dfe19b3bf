"""The log in Redis, made from settings; and a look whether Redis is there, before all else is loaded."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ragstream.errors import ConfigError, StoreError
from ragstream.settings import Settings

if TYPE_CHECKING:
    from ragstream.streamlog.redis import RedisLog

__all__ = ["redis_log", "require_redis"]

_PATIENCE = 2.0  # seconds


def redis_log(settings: Settings) -> RedisLog:
    """Return the log in Redis.

    Raises:
        ConfigError: the package for it is not installed.
    """
    _require_package()
    from ragstream.streamlog.redis import RedisLog

    return RedisLog(
        settings.redis,
        max_bytes=settings.answer_max_bytes,
        retention=settings.retention_hours * 3600,
        total_bytes=settings.log_max_bytes,
        window=settings.commit_window_ms / 1000,
        lease=settings.lease,
        deadline=settings.answer_deadline,
    )


def require_redis(settings: Settings) -> None:
    """Refuse a Redis log without Redis.

    Raises:
        ConfigError: the package is missing, or nobody answers.
    """
    if settings.stream_log == "redis":
        _require_package()
        asyncio.run(_ask(settings.redis))


async def _ask(url: str) -> None:
    from ragstream.streamlog._redis_line import Address, Line

    line = Line(Address(url, patience=_PATIENCE), patience=_PATIENCE)
    try:
        await line.open()
        await line.ask("PING")
    except StoreError as fault:
        raise ConfigError(f"{str(fault).rstrip('.')}. Start it there, or set RAGSTREAM_REDIS_URL.") from fault
    finally:
        await line.aclose()


def _require_package() -> None:
    if find_spec("redis") is None:
        raise ConfigError("RAGSTREAM_STREAM_LOG=redis needs a package: pip install 'ragstream[redis]'.")
