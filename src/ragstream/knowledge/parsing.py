"""Read files in limited processes of their own, so that a bad one cannot hurt this process.

A worker is reused until a file breaks it: then it is replaced, and the file is rejected with the reason. Jobs
beyond the number of workers wait for their turn.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import PurePath

import msgspec

from ragstream.errors import DocumentRejected, TypeMismatch, Unavailable, UnsupportedMediaType
from ragstream.knowledge._jobs import HEAD, Job, Limits, Outcome
from ragstream.knowledge._text import MEDIA_TYPES
from ragstream.knowledge.base import ParsedDocument

__all__ = ["SubprocessParser"]

# Of our environment a worker gets what Python needs to start; no key of ours is in reach of a hostile file.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR")
_STARTING = 30.0  # seconds that a worker has to be ready
_GOODBYE = 2.0  # seconds that an idle worker has to end

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Outcome)


class SubprocessParser:
    """A ``DocumentParser`` with a few worker processes, started when they are first needed."""

    def __init__(self, workers: int = 2, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._turns = asyncio.Semaphore(workers)
        self._idle: list[_Worker] = []
        self._closed = False
        self.endings = frozenset(MEDIA_TYPES)
        self.largest = self._limits.size

    async def parse(self, name: str, data: bytes) -> ParsedDocument:
        """Extract the text of a file and cut it, within the limits.

        Raises:
            UnsupportedMediaType: an ending that is not read here.
            TypeMismatch: the bytes are not what the ending says.
            DocumentRejected: broken, encrypted, empty, or beyond a limit.
            Unavailable: no process can be started.
        """
        if len(data) > self.largest:
            raise DocumentRejected(
                f"The file is larger than {self.largest} bytes. Split it.", code="document_too_large"
            )
        async with self._turns:
            worker = await self._take()
            reusable = False
            try:
                outcome = await worker.read(Job(PurePath(name).name, data))
                reusable = not outcome.spent
            finally:
                if reusable and not self._closed:
                    self._idle.append(worker)
                else:
                    await asyncio.shield(worker.kill())
        return _document(outcome)

    async def aclose(self) -> None:
        """End the idle workers; one that is at work ends with its job. Idempotent."""
        self._closed = True
        while self._idle:
            await self._idle.pop().end()

    async def _take(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            await worker.kill()
        return await _Worker.start(self._limits)


class _Worker:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process, limits: Limits) -> None:
        self._process = process
        self._limits = limits

    @classmethod
    async def start(cls, limits: Limits) -> _Worker:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a file in the working directory shall not stand in for a module
            "-m",
            "ragstream.knowledge._worker",
            msgspec.json.encode(limits).decode(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        )
        worker = cls(process, limits)
        try:
            async with asyncio.timeout(_STARTING):
                await worker._receive()
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            await worker.kill()
            raise Unavailable(
                "The process that reads files does not start; see `ragstream doctor`."
            ) from error
        except BaseException:
            await asyncio.shield(worker.kill())
            raise
        return worker

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def read(self, job: Job) -> Outcome:
        """Do one job; where the process dies of it, say why."""
        try:
            async with asyncio.timeout(self._limits.wall):
                return await self._exchange(_encoder.encode(job))
        except TimeoutError:
            return self._too_slow(self._limits.wall)
        except (asyncio.IncompleteReadError, ConnectionError):
            return self._death(await self._process.wait())

    async def kill(self) -> None:
        """Stop the process, whatever it does."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._leave()

    async def end(self) -> None:
        """Let an idle process end by itself."""
        assert self._process.stdin is not None  # noqa: S101 - it was started with a pipe
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_GOODBYE):
                await self._leave()
        except TimeoutError:
            await self.kill()

    async def _leave(self) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it was started with a pipe
        await self._process.wait()
        self._process.stdin.close()
        with suppress(ConnectionError):
            await self._process.stdin.wait_closed()

    async def _exchange(self, frame: bytes) -> Outcome:
        assert self._process.stdin is not None  # noqa: S101 - it was started with a pipe
        self._process.stdin.write(HEAD.pack(len(frame)) + frame)
        await self._process.stdin.drain()
        return _decoder.decode(await self._receive())

    async def _receive(self) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 - it was started with a pipe
        (length,) = HEAD.unpack(await self._process.stdout.readexactly(HEAD.size))
        return await self._process.stdout.readexactly(length)

    def _death(self, status: int) -> Outcome:
        if status == -signal.SIGXCPU:
            return self._too_slow(self._limits.cpu)
        if status in (-signal.SIGABRT, -signal.SIGKILL):  # how an allocation beyond the limit ends
            return Outcome(
                code="document_too_large",
                message="The file unpacks to more than reading a file may take, or is made to do harm.",
                spent=True,
            )
        return Outcome(
            code=DocumentRejected.code,
            message=f"The file cannot be read: it made the reader crash (status {status}).",
            spent=True,
        )

    def _too_slow(self, seconds: float) -> Outcome:
        return Outcome(
            code="document_too_slow",
            message=f"The file takes more than {seconds:g} s to read. Split it.",
            spent=True,
        )


def _document(outcome: Outcome) -> ParsedDocument:
    if outcome.document is not None:
        return outcome.document
    for kind in (TypeMismatch, UnsupportedMediaType):
        if outcome.code == kind.code:
            raise kind(outcome.message)
    raise DocumentRejected(outcome.message, code=outcome.code)
