"""Where an uploaded file belongs: under its name alone, which is below nobody's folder."""

from __future__ import annotations

import unicodedata
from pathlib import PurePath

from ragstream.errors import InvalidField

__all__ = ["safe_name", "upload_location"]

_LONGEST = 150  # characters of a name that are kept


def upload_location(name: str) -> str:
    """Return the location of an upload with this safe name."""
    return f"upload:{name}"


def safe_name(name: str) -> str:
    """Return the last part of a name without control, formatting and path characters.

    Raises:
        InvalidField: nothing is left.
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    kept = (character for character in last if unicodedata.category(character)[0] != "C")
    safe = "".join(kept).strip(" .")
    if not safe:
        raise InvalidField("The file needs a name that ends in its type, such as notes.md.", path="file")
    path = PurePath(safe)
    if len(path.suffix) >= _LONGEST:
        return safe[:_LONGEST]
    return path.stem[: _LONGEST - len(path.suffix)] + path.suffix
