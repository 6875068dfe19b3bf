"""The reference page of the settings, made from their declarations."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from pydantic.fields import FieldInfo

from ragstream.settings.fields import Settings
from ragstream.settings.loading import variable

__all__ = ["render"]

_HEAD = """\
# Settings

Every setting is an environment variable; some are options of a command as well. An option wins over the
environment, the environment over a file `.env` in the working directory, and that over the default. A name
that is none of these, or a wrong value, stops the program with one line that says what to set.
`ragstream doctor` shows what is in force and where it came from.

Sizes are in bytes, times in seconds unless the name says otherwise. This page is made from the program:
`python -m ragstream.settings.page`.
"""


def render() -> str:
    """Return the page, in Markdown."""
    fields = Settings.model_fields.items()
    sections = groupby(fields, key=lambda item: _extra(item[1], "section"))
    return "\n".join([_HEAD, *(line for title, items in sections for line in _section(title, list(items)))])


def _section(title: str, fields: list[tuple[str, FieldInfo]]) -> list[str]:
    rows = [
        f"| `{variable(name)}` | {field.description} | {_extra(field, 'takes')} | {_default(field)} |"
        for name, field in fields
    ]
    return [
        f"## {title}",
        "",
        "| variable | what it is for | takes | default |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def _default(field: FieldInfo) -> str:
    match field.default:
        case None | () | "":
            return ""
        case bool():
            return f"`{str(field.default).lower()}`"
        case frozenset():
            return f"`{','.join(sorted(field.default))}`"
        case float():
            return f"`{field.default:g}`"
        case _:
            return f"`{field.default}`"


def _extra(field: FieldInfo, key: str) -> str:
    extra = field.json_schema_extra
    assert isinstance(extra, dict)  # noqa: S101 - every setting is declared with it
    return str(extra[key])


if __name__ == "__main__":
    Path("docs/reference/settings.md").write_text(render(), "utf-8")
