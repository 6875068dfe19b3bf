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

_VOLATILE = re.compile(r"(?<=\.py):\d+|(?<=score )\d\.\d\d|(?<=Confidence: )\d\.\d\d|(?<=Duration:\*\* ).*")
_STATUS = re.compile(r"^Status: (\S+)", re.MULTILINE)
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
        self.place.folder.mkdir(parents=True, exist_ok=True)
        for path, text in self._planned(accounts).items():
            if _read(path) != text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")
                changed.append(path)
        for page, account in self._pages(accounts):
            if account is not None and page.name != file_name(account):
                page.unlink()  # its label changed, and with it its id; its text is on the new page
                changed.append(page)
        return changed

    def findings(self, accounts: Sequence[Account]) -> Iterator[str]:
        """Yield a line for each file that does not say what is true."""
        for path, text in self._planned(accounts).items():
            before = _read(path)
            if _stable(before) == _stable(text):
                continue
            claimed, true = _STATUS.search(before), _STATUS.search(text)
            if not before:
                yield f"{path.name} is missing; run {self.refresh}"
            elif claimed and true and claimed[1] != true[1]:
                yield f"{path.name} claims {claimed[1]}, but it is {true[1]}; run {self.refresh}"
            else:
                yield f"{path.name} is stale; run {self.refresh}"
        for page, account in self._pages(accounts):
            if account is None:
                yield f"{page.name} is of a step that is not drawn; move what is worth keeping, and delete it"
            elif page.name != file_name(account):
                yield f"{page.name} has a name that its step no longer has; run {self.refresh}"

    def _planned(self, accounts: Sequence[Account]) -> dict[Path, str]:
        folder = self.place.folder
        pages = {account.node.number: page for page, account in self._pages(accounts) if account}
        planned = {self.place.registry: registry_text(accounts)}
        for account in accounts:
            path = folder / file_name(account)
            before = _read(path) or _read(pages.get(account.node.number, path))
            planned[path] = page_text(account, self.place, before)
        index = folder / "README.md"
        planned[index] = self._index(accounts, _read(index))
        return planned

    def _pages(self, accounts: Sequence[Account]) -> Iterator[tuple[Path, Account | None]]:
        """Yield each page that is there, with its step if that is still drawn."""
        drawn = {account.node.number: account for account in accounts}
        for page in sorted(self.place.folder.glob("STEP-*.md")):
            if match := _NUMBER.match(page.name):
                yield page, drawn.get(int(match[1]))

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


def _stable(text: str) -> str:
    return _VOLATILE.sub("", text)


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""
