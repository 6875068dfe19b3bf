"""``ragstream ingest`` as people run it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 60
NOT_TEXT = "The file is not text: it has zero bytes or control characters. Save it as UTF-8 text."
COMMAND = [sys.executable, "-m", "ragstream", "ingest"]


def ingest(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments), "--data-dir", "data"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    (docs / "sub").mkdir(parents=True)
    (docs / "guide.md").write_text("# Guide\n\nZebras.\n")
    (docs / "sub" / "page.html").write_text("<p>Lions.")
    return tmp_path


def test_each_file_has_a_line_and_the_end_a_summary(folder: Path) -> None:
    first = ingest("docs", cwd=folder)
    assert first.returncode == 0, first.stderr
    assert sorted(first.stdout.splitlines()[:2]) == [
        "added     docs/guide.md (1 chunk)",
        "added     docs/sub/page.html (1 chunk)",
    ]
    assert first.stdout.splitlines()[2].startswith("2 added, 0 changed, 0 unchanged, 0 removed; 2 chunks in ")
    (folder / "docs" / "guide.md").unlink()
    second = ingest("docs", cwd=folder)
    assert second.returncode == 0
    assert sorted(second.stdout.splitlines()[:2]) == [
        "removed   docs/guide.md",
        "unchanged docs/sub/page.html",
    ]


def test_bad_files_are_listed_at_the_end_with_their_reasons(folder: Path) -> None:
    (folder / "docs" / "broken.pdf").write_text("%PDF-1.7")
    (folder / "docs" / "a\nb.txt").write_bytes(bytes(9))
    run = ingest("docs", "nowhere", cwd=folder)
    assert run.returncode == 1
    assert "2 added" in run.stdout
    told = run.stderr.splitlines()
    assert told[0] == "3 could not be read:"
    assert sorted(told[1:]) == [
        f"  docs/a?b.txt: {NOT_TEXT}",
        "  docs/broken.pdf: The PDF is broken or cut off: it cannot be opened.",
        "  nowhere: There is no such file or folder.",
    ]


def test_a_terminal_shows_a_bar(folder: Path) -> None:
    shown, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    command = [*COMMAND, "docs", "--data-dir", "data"]
    process = subprocess.Popen(command, cwd=folder, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    output = b""
    try:
        while select.select([shown], [], [], SECONDS)[0]:
            try:
                output += os.read(shown, 4096)
            except OSError:  # how Linux says that the other end is closed
                break
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        os.close(shown)
    text = output.decode()
    assert "2/2 files" in text
    assert "2 chunks" in text
    assert "added     docs" not in text


def test_control_c_stops_and_keeps_what_was_read(folder: Path) -> None:
    for number in range(300):
        (folder / "docs" / f"{number:03}.md").write_text(f"text {number}")
    command = [*COMMAND, "docs", "--data-dir", "data"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("added")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert errors == "Stopped. What was read is kept.\n"
    told = output.count("added") + 1
    summary = ingest("docs", cwd=folder).stdout.splitlines()[-1]
    added, kept = (int(summary.split(f" {word}")[0].split()[-1]) for word in ("added", "unchanged"))
    assert told <= kept < 302
    assert added + kept == 302


@pytest.mark.parametrize(
    ("arguments", "told"),
    [([], "Missing argument"), (["--help"], "Read Markdown, text, HTML and PDF files")],
)
def test_the_command_explains_itself(arguments: list[str], told: str, folder: Path) -> None:
    run = subprocess.run(
        [*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert told in run.stdout + run.stderr
    assert "Traceback" not in run.stderr
