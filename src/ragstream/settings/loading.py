"""Where settings come from: flags, the environment, ``.env`` in the working directory, defaults."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ragstream.errors import ConfigError
from ragstream.settings.fields import PREFIX, Settings

__all__ = ["Source", "load", "look_up", "origins", "prepare_data_dir", "variable"]

Source = Literal["flag", "environment", ".env", "default"]

_DOTENV = Path(".env")
_LONGEST = 80  # characters of a wrong value in a message
_NO_FLAGS: Mapping[str, object] = {}


def load(flags: Mapping[str, object] = _NO_FLAGS) -> Settings:
    """Return the settings in force; ``flags`` are values by field.

    Raises:
        ConfigError: a variable is none of ours, or a value is wrong; one line that names it, and the fix.
    """
    if strange := flags.keys() - Settings.model_fields.keys():
        raise ConfigError(f"There is no setting {min(strange)}.")
    dotenv = _read_dotenv()
    for source, names in (("environment", list(os.environ)), (".env", list(dotenv))):
        _refuse_unknown(names, source)
    sources = _sources(flags, dotenv)
    arguments: dict[str, Any] = {"_env_file": _DOTENV, **flags}
    try:
        settings = Settings(**arguments)
    except ValidationError as error:
        raise ConfigError(_words(error, sources)) from None
    settings._origins.update(sources)  # noqa: SLF001 - the one who makes them says where they came from
    return settings


def look_up(name: str) -> str | None:
    """Return a variable that another setting names, from the environment or ``.env``."""
    return os.environ.get(name) or _read_dotenv().get(name)


def origins(settings: Settings) -> Mapping[str, Source]:
    """Return where the value of each field came from."""
    known: dict[str, Any] = settings._origins  # noqa: SLF001
    return {name: known.get(name, "default") for name in Settings.model_fields}


def variable(name: str) -> str:
    """Return the environment variable of a field."""
    alias = Settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else PREFIX + name.upper()


def prepare_data_dir(settings: Settings) -> Path:
    """Make the data folder, if it is not there, and return it.

    Raises:
        ConfigError: it cannot be made or written.
    """
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise ConfigError(
            f"{variable('data_dir')} is {str(folder)!r}, which cannot be written ({error.strerror}): "
            "give a folder that can, with --data-dir or the variable."
        ) from error


def _read_dotenv() -> Mapping[str, str | None]:
    try:
        return dotenv_values(_DOTENV, encoding="utf-8") if _DOTENV.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f".env in this folder cannot be read ({error}): correct it, or remove it."
        ) from None


def _sources(flags: Mapping[str, object], dotenv: Mapping[str, str | None]) -> dict[str, Source]:
    found: dict[str, Source] = {}
    in_environment, in_dotenv = ({name.upper() for name in names} for names in (os.environ, dotenv))
    for name in Settings.model_fields:
        if name in flags:
            found[name] = "flag"
        elif variable(name) in in_environment:
            found[name] = "environment"
        elif variable(name) in in_dotenv:
            found[name] = ".env"
    return found


def _refuse_unknown(names: list[str], source: str) -> None:
    known = [variable(name) for name in Settings.model_fields]
    for name in names:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            shown = name if name.isidentifier() and len(name) <= _LONGEST else _short(name)
            close = difflib.get_close_matches(name.upper(), known, 1, 0.0)
            raise ConfigError(f"{shown} ({source}) is no setting: did you mean {close[0]}? If not, unset it.")


def _words(error: ValidationError, sources: Mapping[str, Source]) -> str:
    """Return the first of the faults as one line; a secret value is not repeated."""
    fault = error.errors(include_url=False)[0]
    place = str(fault["loc"][0])
    name = next(name for name in Settings.model_fields if place in (name, variable(name)))
    field = Settings.model_fields[name]
    start = f"{variable(name)} ({sources.get(name, 'default')})"
    if fault["type"] == "value_error":
        return f"{start}: {fault['ctx']['error']}; give {_takes(field)}."
    got = "wrong" if "Secret" in str(field.annotation) else _short(fault["input"])
    return f"{start} is {got}: give {_takes(field)}."


def _takes(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    assert isinstance(extra, dict)  # noqa: S101 - every setting is declared with it
    return str(extra["takes"])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
