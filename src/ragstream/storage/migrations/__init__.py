"""Bring a database's tables to what this version of the program needs: Alembic, run by the program itself.

Whoever comes first migrates; others wait for the lock, then find nothing to do. All of it is one transaction.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, text

from ragstream.errors import ConfigError
from ragstream.storage.database import Database

__all__ = ["migrate"]

_PATIENCE = 60.0  # seconds; another process may be migrating a large database
_LOCK = {
    "sqlite": "BEGIN IMMEDIATE",  # Python's driver begins a transaction only for INSERT, UPDATE and DELETE
    "postgresql": f"SELECT pg_advisory_xact_lock({int.from_bytes(b'ragstr')})",
}


async def migrate(url: str | Path) -> None:
    """Bring the tables of the database at ``url`` up to date.

    Raises:
        StoreError: the database cannot be reached or written.
        ConfigError: the URL is wrong, or a newer version of the program has migrated this database.
    """
    database = Database(url, patience=_PATIENCE)
    try:
        await database.write(_upgrade)
    finally:
        await database.aclose()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    connection.execute(text(_LOCK[connection.dialect.name]))
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigError(
            "A newer version of Ragstream has written this database: update, or take another database."
        ) from error
