"""The lease of this process: while it is renewed, nobody takes the process for dead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ragstream.errors import StoreError
from ragstream.telemetry import get_logger

__all__ = ["Lease"]

_log = get_logger(__name__)
_LONGEST_BEAT = 2.0  # seconds: what Redis forgets is noticed within them
_NEVER = float("inf")


class Lease:
    """Renews the lease, and knows since when that has gone well.

    Args:
        seconds: how long it lasts without being renewed.
        beat: renews it; returns whether Redis still knew this process.
    """

    def __init__(self, seconds: float, beat: Callable[[], Awaitable[bool]]) -> None:
        self._seconds = seconds
        self._beat = beat
        self._every = min(_LONGEST_BEAT, seconds / 3)
        self._steady_since = _NEVER
        self._last_beat = _NEVER
        self._task: asyncio.Task[None] | None = None

    @property
    def steady(self) -> bool:
        """Whether all has gone well for a whole lease, so that whoever is silent may be held to be dead.

        Until then others may be about to renew theirs: Redis was away, or has forgotten, or we were.
        """
        return asyncio.get_running_loop().time() - self._steady_since >= self._seconds

    async def start(self) -> None:
        """Take the lease, and keep it.

        Raises:
            StoreError: Redis does not give it.
        """
        await self._renew()
        self._task = asyncio.create_task(self._keep(), name="redis lease")

    async def aclose(self) -> None:
        """Renew it no more. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self._renew()
            except StoreError as fault:
                self._steady_since = _NEVER
                _log.warning("lease not renewed", code=fault.code, error=str(fault))
            except Exception:  # noqa: BLE001 - the boundary of a task that must go on
                _log.exception("lease not renewed")

    async def _renew(self) -> None:
        known = await self._beat()
        now = asyncio.get_running_loop().time()
        silent, self._last_beat = now - self._last_beat, now
        if not known or silent > self._seconds or self._steady_since == _NEVER:
            self._steady_since = now
