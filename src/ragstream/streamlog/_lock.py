"""A lock on a folder, held by one process; the death of the process frees it at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ragstream.errors import ConfigError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["FolderLock"]

_NAME = "ragstream.lock"


class FolderLock:
    """An exclusive lock, taken at once or not at all.

    Raises:
        ConfigError: another process holds it, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / _NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as fault:
            raise ConfigError(
                f"The data directory {folder} cannot be written ({fault.strerror}): choose another one."
            ) from fault
        try:
            _lock(self._file.fileno())
        except OSError as fault:
            holder = _holder(path)
            self._file.close()
            raise ConfigError(
                f"The data directory {folder} is in use by {holder}: stop it, or choose another directory."
            ) from fault
        self._file.truncate(0)
        self._file.write(b"%d\n" % os.getpid())
        self._file.flush()

    def release(self) -> None:
        """Let others have it. The file stays: to remove it would open a gap between two processes."""
        self._file.close()


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(path: Path) -> str:
    try:
        return f"process {int(path.read_text('ascii'))}"
    except (OSError, ValueError):
        return "another process"
