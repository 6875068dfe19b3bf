"""The process in which files are read: ``python -m ragstream.knowledge._worker``.

It says that it is ready, then takes jobs from stdin and answers on stdout, each a length and a MessagePack
document, until stdin ends. A file that is meant to hurt meets limits here: memory, CPU time a job, no files
written, no core dump. Where a limit or a fault of a library kills the process, the parent sees the signal.
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

import msgspec

from ragstream.errors import DocumentRejected, RequestError
from ragstream.knowledge._jobs import HEAD, Job, Limits, Outcome
from ragstream.knowledge.reading import read

if sys.platform != "win32":  # Windows has no such limits; the parent's deadline still holds there
    import resource

__all__ = ["main"]

_NICE = 5  # reading files yields to answering
_GROWN = 384 << 20  # bytes of memory after which a process is replaced: its heap may be in pieces


def main(limits: Limits) -> None:
    """Serve jobs until stdin ends."""
    source, sink = sys.stdin.buffer, _private_stdout()
    _limit_process(limits)
    most = max(_GROWN, _peak())
    _send(sink, b"")  # ready
    while frame := _receive(source):
        _limit_cpu(limits)
        _send(sink, _reply(frame, most))


def _reply(frame: bytes, most: int) -> bytes:
    """Do a job and return its encoded outcome."""
    try:
        job = msgspec.msgpack.decode(frame, type=Job)
        document = read(job.name, job.data)
        return msgspec.msgpack.encode(Outcome(document=document, spent=_peak() > most))
    except RequestError as error:  # rejected, or not of the type that it should be
        outcome = Outcome(code=error.code, message=str(error), spent=_peak() > most)
    except MemoryError:
        message = "The file needs more memory than reading a file may take. Split it."
        outcome = Outcome(code="document_too_large", message=message, spent=True)
    except Exception as error:  # noqa: BLE001 - a library's fault with this file is this file's rejection
        message = f"The file cannot be read ({type(error).__name__})."
        outcome = Outcome(code=DocumentRejected.code, message=message, spent=True)
    return msgspec.msgpack.encode(outcome)


def _receive(source: BinaryIO) -> bytes:
    head = source.read(HEAD.size)
    return source.read(HEAD.unpack(head)[0]) if len(head) == HEAD.size else b""


def _send(sink: BinaryIO, reply: bytes) -> None:
    sink.write(HEAD.pack(len(reply)))
    sink.write(reply)
    sink.flush()


def _private_stdout() -> BinaryIO:
    """Keep stdout for replies alone: what a library prints goes to stderr."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return replies


def _limit_process(limits: Limits) -> None:
    if sys.platform != "win32":
        os.nice(_NICE)
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _limit_cpu(limits: Limits) -> None:
    """Let the next job have its seconds: the limit counts from the process's begin."""
    if sys.platform != "win32":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(usage.ru_utime + usage.ru_stime) + 1 + limits.cpu
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _peak() -> int:
    """Return the most memory that this process has had, in bytes.

    Linux counts that of the parent at the time of its fork too.
    """
    if sys.platform == "win32":
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Limits))
