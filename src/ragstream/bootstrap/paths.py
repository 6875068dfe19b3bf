"""Paths that a command is given."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ragstream.errors import ConfigError

__all__ = ["require_paths"]


def require_paths(paths: Iterable[Path]) -> None:
    """Refuse paths that are not there, before anything is opened.

    Raises:
        ConfigError: names the first of them.
    """
    for path in paths:
        if not path.exists():
            raise ConfigError(f"There is no {path}: give folders or files that exist.")
