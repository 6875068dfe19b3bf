"""Foreign errors become ours here, and only here."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ragstream.errors import StorageFull, StorageUnavailable, StoreError

__all__ = ["store_error"]

_SQLITE_FULL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,  # what a file size limit (EFBIG) looks like
    sqlite3.SQLITE_IOERR_SHMSIZE,  # what the -shm file on a full disk looks like
}
_SQLITE_WORDS = {
    sqlite3.SQLITE_BUSY: "is locked by another program",
    sqlite3.SQLITE_LOCKED: "is locked by another program",
    sqlite3.SQLITE_READONLY: "is read-only: give this user the right to write to its file and folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check that its folder exists and can be written",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore it from a backup",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk fails",
}
_POSTGRES_FULL = ("53100", "53000")  # disk_full; insufficient_resources: a temporary file met its limit


def store_error(error: BaseException, name: str) -> StoreError | None:
    """Return what a failure of the database ``name`` is called here, or None for a fault of our own.

    Neither SQL nor values reach the message: they are what people wrote.
    """
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(original, sqlite3.OperationalError | sqlite3.DatabaseError):
        return _of_sqlite(original, name)
    if (state := getattr(original, "sqlstate", None)) is not None:
        return _of_postgres(str(state), name)
    if isinstance(error, PoolTimeout):
        return StorageUnavailable(f"The database {name} is busy: every connection is in use.")
    if isinstance(error, TimeoutError):
        return StorageUnavailable(f"The database {name} did not answer in time.")
    if isinstance(error, OSError | DBAPIError):
        return StorageUnavailable(f"The database {name} cannot be reached.")
    return None


def _of_sqlite(error: sqlite3.Error, name: str) -> StoreError | None:
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return None
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _SQLITE_FULL:
        return StorageFull(f"The disk with the database {name} is full.")
    words = _SQLITE_WORDS.get(code & 0xFF)  # the low byte is the primary code
    return StorageUnavailable(f"The database {name} {words}.") if words else None


def _of_postgres(state: str, name: str) -> StoreError | None:
    if state in _POSTGRES_FULL:
        return StorageFull(f"The disk with the database {name} is full.")
    match state[:2]:  # the class of the error
        case "28":
            return StorageUnavailable(f"The database {name} does not take this user and password.")
        case "3D":
            return StorageUnavailable(f"The database {name} does not exist: create it with createdb.")
        case "25":
            return StorageUnavailable(f"The database {name} is read-only.")
        case "08" | "40" | "53" | "55" | "57" | "58":
            return StorageUnavailable(f"The database {name} is not available.")
        case _:
            return None
