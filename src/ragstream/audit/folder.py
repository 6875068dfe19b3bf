"""The folder of pages: written from accounts, or compared with them.

Line numbers, scores and durations may be out of date without being a finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ragstream.audit.page import Place, file_name, fill, page_text
from ragstream.audit.registry import registry_text
from ragstream.audit.report import Account
from ragstream.audit.sketch import drawn_in

__all__ = ["Folder"]

_VOLATILE = re.compile(
    r"(?<=\.py):\d+|(?<=score )\d\.\d\d|(?<=Confidence: )\d\.\d\d|(?<=Duration:\*\* ).*|(?<=duration_ms: ).*"
)
_STATUS = re.compile(r"^Status: (\S+)", re.MULTILINE)
_QUOTED = 120  # characters of a line that is wrong
_NUMBER = re.compile(r"STEP-(\d+)-")


@dataclass(frozen=True)
class Folder:
    """Pages, index and registry, where they are kept."""

    place: Place
    title: str  # of the index
    refresh: str  # the command that writes them

    def write(self, accounts: Sequence[Account]) -> list[Path]:
        """Bring every file up to date; return those that changed. Text that people wrote is kept."""
        changed = []
        moved = list(self._moved(accounts).values())
        self.place.folder.mkdir(parents=True, exist_ok=True)
        for path, text in self._planned(accounts).items():
            if _read(path) != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")
                changed.append(path)
        for page in moved:
            page.unlink()
        return [*changed, *moved]

    def findings(self, accounts: Sequence[Account]) -> Iterator[str]:
        """Yield a line for each file that does not say what is true."""
        for path, text in self._planned(accounts).items():
            if wrong := _wrong(_read(path), text):
                yield f"{path.name} {wrong}; run {self.refresh}"
        names, moved = {file_name(account) for account in accounts}, self._moved(accounts).values()
        for page in self._pages():
            if page.name not in names and page not in moved:
                yield f"{page.name} is of no step that is drawn; move what is worth keeping, and delete it"

    def _planned(self, accounts: Sequence[Account]) -> dict[Path, str]:
        folder = self.place.folder
        moved = self._moved(accounts)
        planned = {self.place.registry: registry_text(accounts)}
        for account in accounts:
            path = folder / file_name(account)
            planned[path] = page_text(account, self.place, _read(moved.get(account.node.number, path)))
        index = folder / "README.md"
        planned[index] = self._index(accounts, _read(index))
        return planned

    def _pages(self) -> list[Path]:
        return sorted(self.place.folder.glob("STEP-*-*.md"))

    def _moved(self, accounts: Sequence[Account]) -> dict[int, Path]:
        """Return the pages of steps whose label changed, and with it the page's name, by number."""
        names = {account.node.number: file_name(account) for account in accounts}
        pages = {page.name: page for page in self._pages()}
        moved: dict[int, Path] = {}
        for name, page in pages.items():
            match = _NUMBER.match(name)
            if match and names.get(int(match[1]), name) not in pages:
                moved[int(match[1])] = page
        return moved

    def _index(self, accounts: Sequence[Account], before: str) -> str:
        body = re.sub(r"\A# .*$", "", before, count=1, flags=re.MULTILINE)
        lines = ["✅ implemented, 🟡 partial, 🔌 not wired, ❌ missing"]
        for lane in dict.fromkeys(account.node.lane for account in accounts):
            lines += ["", f"## Lane `{lane}`", "", "| step | | type | category |", "|---|---|---|---|"]
            lines += [_row(account) for account in accounts if account.node.lane == lane]
        diagram = drawn_in(_read(self.place.diagram)).strip()
        lines += ["", "## Diagram", "", "```mermaid", diagram, "```"]
        return f"# {self.title}\n\n{fill(body, chr(10).join(lines))}\n"


def _row(account: Account) -> str:
    node = account.node
    label = node.label.replace("|", "\\|")
    link = f"[{node.number} — {label}]({file_name(account)})"
    return f"| {link} | {account.status.value} | {node.kind.value} | {node.category} |"


def _wrong(before: str, text: str) -> str:
    """Return what is wrong with what a file says ``before``, which should be ``text``; "" if nothing."""
    said, true = _lines(before), _lines(text)
    if said == true:
        return ""
    if not before:
        return "is missing"
    claimed, status = _STATUS.search(before), _STATUS.search(text)
    if claimed and status and claimed[1] != status[1]:
        return f"claims {claimed[1]}, but it is {status[1]}"
    gone, new = ([line for line in one if line not in other] for one, other in ((said, true), (true, said)))
    told = [f"it says “{line[:_QUOTED]}”" for line in gone[:1]]
    told += [f"it should say “{line[:_QUOTED]}”" for line in new[:1]]
    return f"is stale: {', '.join(told) or 'its lines have another order'}"


def _lines(text: str) -> list[str]:
    """Return the lines of ``text`` that have to be true."""
    lines = (line.rstrip() for line in _VOLATILE.sub("", text).splitlines())
    return [line for line in lines if line]


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""
