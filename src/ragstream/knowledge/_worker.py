"""The process in which files are read: ``python -m ragstream.knowledge._worker``.

It takes jobs from stdin and answers on stdout, each a length and a MessagePack document, until stdin ends. A
file that is meant to hurt meets limits here: memory, CPU time a job, no files written, no core dump. Where a
limit or a fault of a library kills the process, the parent sees the signal.
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

import msgspec

from ragstream.errors import DocumentRejected, RequestError
from ragstream.knowledge._jobs import HEAD, Job, Limits, Outcome

if sys.platform != "win32":  # Windows has no such limits; the parent's deadline still holds there
    import resource

__all__ = ["main"]

_NICE = 5  # reading files yields to answering
_GROWN = 384 * 1024  # KiB of memory after which a process is replaced: its heap may be in pieces


def main(limits: Limits) -> None:
    """Serve jobs until stdin ends."""
    source, sink = sys.stdin.buffer, _private_stdout()
    _limit_process(limits)
    from ragstream.knowledge.reading import read  # within the limits

    encoder, decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Job)
    while frame := _receive(source):
        _limit_cpu(limits)
        try:
            job = decoder.decode(frame)
            outcome = Outcome(document=read(job.name, job.data), spent=_grown())
            reply = encoder.encode(outcome)
        except MemoryError:
            reply = encoder.encode(
                Outcome(
                    code="document_too_large",
                    message="The file needs more memory than reading a file may take. Split it.",
                    spent=True,
                )
            )
        except RequestError as error:  # rejected, or not of the type that it should be
            reply = encoder.encode(_rejection(error))
        except Exception as error:  # noqa: BLE001 - a library's fault with this file is this file's rejection
            reply = encoder.encode(
                Outcome(
                    code=DocumentRejected.code,
                    message=f"The file cannot be read ({type(error).__name__}).",
                    spent=True,
                )
            )
        sink.write(HEAD.pack(len(reply)))
        sink.write(reply)
        sink.flush()


def _rejection(error: RequestError) -> Outcome:
    return Outcome(code=error.code, message=str(error), spent=_grown())


def _receive(source: BinaryIO) -> bytes:
    head = source.read(HEAD.size)
    return source.read(HEAD.unpack(head)[0]) if len(head) == HEAD.size else b""


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


def _grown() -> bool:
    if sys.platform == "win32":
        return False
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > _GROWN


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Limits))
