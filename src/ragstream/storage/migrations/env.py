"""What Alembic runs for each command, on the caller's connection and in the caller's transaction."""

from __future__ import annotations

from alembic import context

from ragstream.storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
