"""Find the files that can be read, below the paths that somebody named.

Hidden files and folders are left out, and what ``.gitignore`` files exclude: those in the folders walked, and
those above them up to the repository's top. What is named itself is always taken. Links are followed unless
they lead nowhere; a folder is entered once, by a link only if there is no other way, so that circles end.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import msgspec
from pathspec import GitIgnoreSpec

from ragstream.feeds.base import FailedFile

__all__ = ["Found", "SourceFile", "find_files"]

_LEADS_NOWHERE = (errno.ENOENT, errno.ELOOP)  # of a link
_FOLDER_END = "ps_d"  # a group in pathspec's regular expressions
_IGNORE = ".gitignore"
_UNSETTLED = 2.0  # seconds in which a file may change again without a new time: its stamp is not trusted


class SourceFile(msgspec.Struct, frozen=True):
    """A file to be read."""

    path: Path
    location: str  # absolute
    uri: str  # as it was named
    size: int  # bytes
    stamp: str  # size and time of its last change; "" while that tells nothing


class Found(msgspec.Struct, frozen=True):
    """What a walk came upon."""

    files: list[SourceFile]
    failed: list[FailedFile]  # what could not be looked at
    roots: list[str]  # locations that were looked at
    unknown: list[str]  # locations below them that could not be

    def covers(self, location: str) -> bool:
        """Whether a file at this location would have been found."""
        return _below(location, self.roots) and not _below(location, self.unknown)


class _Rules(msgspec.Struct, frozen=True):
    """One ``.gitignore``: where it stands, and what it excludes."""

    folder: str
    spec: GitIgnoreSpec


class _Folder(msgspec.Struct, frozen=True):
    """A folder to be entered, with the rules that hold for what is in it."""

    path: Path
    location: str
    rules: list[_Rules]


def find_files(roots: Sequence[Path], endings: Collection[str]) -> Found:
    """Walk files and folders; of folders take the non-empty files whose names have one of the endings."""
    found = Found([], [], [], [])
    taken: set[str] = set()
    entered: set[tuple[int, int]] = set()
    for root in roots:
        location = _text(os.path.abspath(root))  # noqa: PTH100 - Path.resolve would follow links
        try:
            status = root.stat()
        except OSError as error:
            found.failed.append(FailedFile(_text(str(root)), _reason(error)))
            continue
        found.roots.append(location)
        if stat.S_ISDIR(status.st_mode):
            walked = _walk(root, location, found, entered)
            files = [file for file in walked if file.path.suffix.lower() in endings and file.size]
        else:
            files = [_source(root, location, status)]
        for file in files:
            if file.location not in taken:
                taken.add(file.location)
                found.files.append(file)
    return found


def _walk(root: Path, location: str, found: Found, entered: set[tuple[int, int]]) -> Iterator[SourceFile]:
    waiting = [_Folder(root, location, _rules_above(location))]
    linked: list[_Folder] = []  # entered last: most lead to where others lead
    while waiting or linked:
        folder = waiting.pop() if waiting else linked.pop(0)
        try:
            entries = _enter(folder.path, entered)
        except OSError as error:
            found.failed.append(FailedFile(_text(str(folder.path)), _reason(error)))
            found.unknown.append(folder.location)
            continue
        rules = [*folder.rules, *_rules_in(folder.location)]
        folders: list[_Folder] = []
        for entry in entries:
            path = folder.path / entry.name
            at = os.path.join(folder.location, _text(entry.name))  # noqa: PTH118 - locations are strings
            status = None if entry.name.startswith(".") else _status(entry, found)
            if status is None:
                continue
            is_folder = stat.S_ISDIR(status.st_mode)
            if _ignored(at, rules, is_folder=is_folder):
                continue
            if is_folder:
                (linked if entry.is_symlink() else folders).append(_Folder(path, at, rules))
            elif stat.S_ISREG(status.st_mode):
                yield _source(path, at, status)
        waiting += reversed(folders)


def _enter(folder: Path, entered: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """Return what is in a folder, by name; nothing where it has been entered before."""
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in entered:
        return []
    entered.add(identity)
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _status(entry: os.DirEntry[str], found: Found) -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError as error:
        if error.errno not in _LEADS_NOWHERE:
            found.failed.append(FailedFile(_text(str(entry.path)), _reason(error)))
        return None


def _source(path: Path, location: str, status: os.stat_result) -> SourceFile:
    settled = time.time() - status.st_mtime > _UNSETTLED
    stamp = f"{status.st_size}-{status.st_mtime_ns}" if settled else ""
    return SourceFile(path, location, _text(str(path)), status.st_size, stamp)


def _rules_above(location: str) -> list[_Rules]:
    """Return the rules that hold for a folder from above it, outermost first, if it is in a repository."""
    rules: list[_Rules] = []
    folder = Path(location)
    for above in (folder, *folder.parents):
        if above != folder:
            rules = [*_rules_in(str(above)), *rules]
        if (above / ".git").exists():
            return [] if _ignored(location, rules, is_folder=True) else rules
    return []


def _rules_in(folder: str) -> list[_Rules]:
    try:
        lines = Path(folder, _IGNORE).read_text("utf-8", errors="replace").split("\n")
    except OSError:
        return []
    return [_Rules(folder, GitIgnoreSpec.from_lines(lines))]


def _ignored(location: str, rules: Sequence[_Rules], *, is_folder: bool) -> bool:
    """Whether the rules exclude it: the innermost file that says something about it decides."""
    for each in reversed(rules):
        path = os.path.relpath(location, each.folder).replace(os.sep, "/")
        verdict = _verdict(each.spec, path + "/" if is_folder else path)
        if verdict is not None:
            return verdict
    return False


def _verdict(spec: GitIgnoreSpec, path: str) -> bool | None:
    """Return what the last pattern says that matches the path itself, or None.

    The spec's own methods let a pattern that matches a folder speak for all that is in it. Git does not: what
    is in an excluded folder is never looked at, and "!folder/" brings nothing back that is in the folder.
    """
    for pattern in reversed(spec.patterns):
        if pattern.regex is not None and _matches(pattern.regex, path):
            return pattern.include
    return None


def _matches(pattern: re.Pattern[str], path: str) -> bool:
    """Whether a pattern matches a path to its end, which is "/" for a folder and then the pattern's group."""
    if _FOLDER_END not in pattern.groupindex:  # "*", and "folder/**" for all in it but not itself
        match = pattern.search(path)
        return match is not None and not (match.end() == len(path) and path.endswith("/"))
    return any(match.end(_FOLDER_END) in (-1, len(path)) for match in pattern.finditer(path))


def _below(location: str, folders: Sequence[str]) -> bool:
    return any(
        location == folder or location.startswith(folder.rstrip(os.sep) + os.sep) for folder in folders
    )


def _text(path: str) -> str:
    """Return a path as text that can be stored: bytes of a name that are not UTF-8 are written out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "There is no such file or folder."
    return f"It cannot be read: {error.strerror or error}."
