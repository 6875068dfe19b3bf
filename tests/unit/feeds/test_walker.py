"""Which files are found below a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragstream.feeds.walker import Found, find_files

Write = Callable[..., Path]
ENDINGS = {".md", ".txt"}


def names(docs: Path, found: Found) -> list[str]:
    return [os.path.relpath(file.path, docs) for file in found.files]


def walk(docs: Path, endings: Collection[str] = ENDINGS) -> list[str]:
    return names(docs, find_files([docs], endings))


def test_folders_are_walked_in_the_order_of_names(docs: Path, write: Write) -> None:
    for name in ("b.md", "a.TXT", "sub/c.md", "sub/deep/d.md", "other/e.md", "f.docx", "g", "empty.md"):
        write(name)
    write("empty.md", "")
    assert walk(docs) == ["a.TXT", "b.md", "other/e.md", "sub/c.md", "sub/deep/d.md"]


def test_hidden_files_and_folders_are_left_out(docs: Path, write: Write) -> None:
    for name in (".hidden.md", ".git/a.md", "sub/.venv/a.md", "a.md"):
        write(name)
    assert walk(docs) == ["a.md"]


def test_what_is_named_itself_is_taken(docs: Path, write: Write) -> None:
    hidden, odd = write(".hidden/a.md"), write("b.odd")
    write(".gitignore", "*")
    found = find_files([hidden.parent, odd, hidden], ENDINGS)
    assert names(docs, found) == [".hidden/a.md", "b.odd"]


NAMES = ["a", "b", "a.md", "b.md", "doc"]
names_ = st.sampled_from(NAMES)
paths = st.lists(names_, min_size=1, max_size=3).map("/".join)
patterns = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "!", "", "/", "!/", "**/"]),
    st.lists(st.sampled_from([*NAMES, "*", "*.md", "?", "**", "[ab]", "d*"]), min_size=1, max_size=3).map(
        "/".join
    ),
    st.sampled_from(["", "", "/", "/**", "/*"]),
    st.sampled_from(["", "", " "]),
).filter(lambda pattern: "**/" not in pattern.strip()[-3:])  # pathspec takes "a/**/" for "a/**"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("repository") / ".git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    return path


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
@settings(max_examples=40, deadline=None)
@given(
    st.sets(paths, min_size=3, max_size=12), st.lists(patterns, max_size=5), st.lists(patterns, max_size=3)
)
def test_rules_mean_what_git_makes_of_them(
    repository: Path, files: set[str], top: list[str], inner: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for file in sorted(files, key=len, reverse=True):
            with suppress(FileExistsError, IsADirectoryError, NotADirectoryError):
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                (root / file).touch(exist_ok=True)
        (root / ".gitignore").write_text("\n".join(top))
        if (root / "a").is_dir():
            (root / "a" / ".gitignore").write_text("\n".join(inner))
        git = ["git", "-c", "core.excludesFile=/dev/null", f"--git-dir={repository}", f"--work-tree={root}"]
        listing = [*git, "ls-files", "-z", "--others", "--exclude-standard"]
        listed = subprocess.run(listing, cwd=root, check=True, capture_output=True, text=True).stdout
        for path in filter(Path.is_file, root.rglob("*")):
            path.write_text("x" if path.name != ".gitignore" else path.read_text())
        expected = {name for name in listed.split("\0") if name and ".gitignore" not in name}
        assert set(walk(root, {"", ".md"})) == expected, (top, inner)


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ({".gitignore": "*.txt\n"}, ["a.md", "sub/b.md", "sub/deep/c.md"]),
        ({".gitignore": "sub/\n"}, ["a.md", "a.txt"]),
        ({".gitignore": "x\u2028a.md\r\nsub/\r\n"}, ["a.md", "a.txt"]),  # two rules, not three
        ({".gitignore": "/a.*\n"}, ["sub/b.md", "sub/b.txt", "sub/deep/c.md"]),
        ({".gitignore": "*\n!*.md\n!*/\n"}, ["a.md", "sub/b.md", "sub/deep/c.md"]),
        (
            {".gitignore": "*.txt", "sub/.gitignore": "!b.txt"},
            ["a.md", "sub/b.md", "sub/b.txt", "sub/deep/c.md"],
        ),
        ({"sub/.gitignore": "/deep\n"}, ["a.md", "a.txt", "sub/b.md", "sub/b.txt"]),
        ({"sub/.gitignore": "/b.md\n"}, ["a.md", "a.txt", "sub/b.txt", "sub/deep/c.md"]),
        ({".gitignore": "# nothing\n\n"}, ["a.md", "a.txt", "sub/b.md", "sub/b.txt", "sub/deep/c.md"]),
    ],
)
def test_gitignore_files_are_honoured(
    rules: dict[str, str], left: list[str], docs: Path, write: Write
) -> None:
    for name in ("a.md", "a.txt", "sub/b.md", "sub/b.txt", "sub/deep/c.md"):
        write(name)
    for name, content in rules.items():
        write(name, content)
    assert walk(docs) == left


def test_rules_above_hold_up_to_the_top_of_the_repository(docs: Path, write: Write) -> None:
    write("../.gitignore", "*.md")  # of a folder that is no repository
    write(".gitignore", "drafts/\n")
    (docs / ".git").mkdir()
    for name in ("guide/a.md", "guide/drafts/b.md", "drafts/c.md"):
        write(name)
    assert walk(docs / "guide") == ["a.md"]
    assert walk(docs / "drafts") == ["c.md"]  # named itself


def test_links_in_a_circle_end(docs: Path, write: Write) -> None:
    write("sub/a.md")
    (docs / "sub" / "up").symlink_to("..")
    (docs / "sub" / "self").symlink_to("self")
    (docs / "sub" / "nowhere.md").symlink_to("missing.md")
    found = find_files([docs], ENDINGS)
    assert names(docs, found) == ["sub/a.md"]
    assert found.failed == []


def test_a_folder_is_taken_by_its_own_name_rather_than_by_a_link(docs: Path, write: Write) -> None:
    write("z/a.md")
    (docs / "a").symlink_to("z")
    assert walk(docs) == ["z/a.md"]


def test_a_link_out_of_the_folder_is_followed(docs: Path, write: Write, tmp_path: Path) -> None:
    write("../elsewhere/a.md")
    (docs / "link").symlink_to(tmp_path / "elsewhere")
    (docs / "b.md").symlink_to(tmp_path / "elsewhere" / "a.md")
    assert walk(docs) == ["b.md", "link/a.md"]


def test_overlapping_roots_give_each_file_once(docs: Path, write: Write) -> None:
    file = write("sub/a.md")
    write("b.md")
    assert names(docs, find_files([file, docs / "sub", docs], ENDINGS)) == ["sub/a.md", "b.md"]


def test_a_file_is_shown_as_it_was_named(docs: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("sub/a.md")
    monkeypatch.chdir(docs.parent)
    [file] = find_files([Path("docs/../docs")], ENDINGS).files
    assert (file.uri, file.location) == ("docs/../docs/sub/a.md", str(docs / "sub" / "a.md"))


def test_a_name_that_is_not_utf8_is_written_out(docs: Path) -> None:
    (docs / os.fsdecode(b"caf\xe9.md")).write_text("text")
    [file] = find_files([docs], ENDINGS).files
    assert file.uri.endswith("caf\\xe9.md")
    assert file.path.read_text() == "text"


def test_what_is_missing_is_reported(docs: Path) -> None:
    found = find_files([docs / "missing", docs], ENDINGS)
    assert [(failed.uri, failed.reason) for failed in found.failed] == [
        (str(docs / "missing"), "There is no such file or folder.")
    ]
    assert not found.covers(str(docs / "missing" / "a.md")) or found.covers(str(docs))


def test_what_is_unreadable_is_reported_and_not_taken_for_gone(docs: Path, write: Write) -> None:
    write("open/a.md")
    write("shut/b.md")
    (docs / "shut").chmod(0)
    code = (
        "import os, sys; from pathlib import Path; from ragstream.feeds.walker import find_files;"
        "os.geteuid() or os.setuid(65534);"  # root may read everything
        "f = find_files([Path(sys.argv[1])], {'.md'});"
        "print([x.path.name for x in f.files], [x.reason for x in f.failed],"
        "f.covers(sys.argv[1] + '/shut/b.md'), f.covers(sys.argv[1] + '/open/c.md'))"
    )
    for folder in docs.parents[:3]:  # these belong to the test run alone
        folder.chmod(0o755)
    run = subprocess.run([sys.executable, "-c", code, str(docs)], capture_output=True, text=True, check=False)
    (docs / "shut").chmod(0o755)
    assert run.stdout == "['a.md'] ['It cannot be read: Permission denied.'] False True\n", run.stderr


def test_a_stamp_is_trusted_once_the_file_has_settled(docs: Path, write: Write) -> None:
    write("old.md")
    (docs / "new.md").write_text("text")
    new, old = find_files([docs], ENDINGS).files
    assert new.stamp == ""
    assert old.stamp != ""


def test_a_walk_covers_what_is_below_its_roots(docs: Path, write: Write) -> None:
    write("a.md")
    found = find_files([docs], ENDINGS)
    assert found.covers(f"{docs}/gone.md")
    assert not found.covers(f"{docs}-other/a.md")
    assert find_files([Path("/dev/null")], ENDINGS).covers("/dev/null")
