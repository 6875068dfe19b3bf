"""The document store: what is in it, what changed in it, and how it fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from ragstream.errors import ConfigError, StorageFull, StorageUnavailable
from ragstream.knowledge import Document, KnowledgeSize, Origin
from ragstream.knowledge.sqlite import DocumentStore

Keep = Callable[[str, str], Document]

SECTIONS = [f"## Part {number}\n\n{'some words ' * 130}\n\n" for number in range(8)]


def seen(store: DocumentStore, after: int) -> tuple[int, int, int]:
    """Return the epoch, and how many chunks went and came after a change."""
    with store.changes(after) as changes:
        return changes.epoch, len(list(changes.removed)), len(list(changes.added))


def test_a_document_can_be_listed_and_opened(store: DocumentStore, keep: Keep) -> None:
    kept = keep("b.md", "# Title\n\ntext\n")
    keep("a.txt", "other")
    assert [document.title for document in store.documents(10)] == ["a.txt", "Title"]
    assert store.documents(1)[0].title == "a.txt"
    assert store.document(kept.id) == kept
    assert store.text(kept.id) == "# Title\n\ntext\n"
    assert store.size() == KnowledgeSize(documents=2, chunks=2, epoch=2)


def test_what_is_not_there_is_none(store: DocumentStore) -> None:
    assert store.document("x") is None
    assert store.text("x") is None
    assert store.remove("x") is False
    assert store.discard(["/x"]) == 0
    assert store.epoch() == 0


def test_a_changed_document_keeps_its_id_and_the_chunks_that_are_the_same(
    store: DocumentStore, keep: Keep
) -> None:
    first = keep("a.md", "".join(SECTIONS))
    second = keep("a.md", "".join([*SECTIONS[:2], "## New\n\nwords\n\n", *SECTIONS[3:]]))
    assert second.id == first.id
    assert second.content_hash != first.content_hash
    epoch, removed, added = seen(store, 1)
    assert epoch == 2
    assert 1 <= removed <= 2
    assert 1 <= added <= 2
    assert store.text(first.id) == "".join([*SECTIONS[:2], "## New\n\nwords\n\n", *SECTIONS[3:]])


def test_chunks_that_moved_know_their_new_place(store: DocumentStore, keep: Keep) -> None:
    keep("a.md", "".join(SECTIONS))
    kept = keep("a.md", "# Before all\n\n" + SECTIONS[0] * 3 + "".join(SECTIONS[1:]))
    text = store.text(kept.id)
    assert text is not None
    with store.changes(0) as changes:
        passages = store.passages({chunk.pk: 1.0 for chunk in changes.added})
    assert passages
    assert all(text[passage.start : passage.end] == passage.text for passage in passages)


def test_a_new_title_indexes_every_chunk_again(store: DocumentStore, keep: Keep) -> None:
    kept = keep("a.md", "# Old\n\n" + "".join(SECTIONS))
    keep("a.md", "# New\n\n" + "".join(SECTIONS))
    assert seen(store, 1) == (2, kept.chunks, kept.chunks)


def test_a_removed_document_leaves_word_of_its_chunks(store: DocumentStore, keep: Keep) -> None:
    kept = keep("a.md", "".join(SECTIONS))
    assert store.remove(kept.id) is True
    assert seen(store, 0) == (2, kept.chunks, 0)
    assert store.size() == KnowledgeSize(documents=0, chunks=0, epoch=2)


def test_several_documents_go_in_one_change(store: DocumentStore, keep: Keep) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        keep(name, "text")
    assert store.discard(["/docs/a.txt", "/docs/c.txt", "/docs/nowhere.txt"]) == 2
    assert store.epoch() == 4
    assert list(store.origins()) == ["/docs/b.txt"]


def test_a_stamp_is_renewed_only_for_the_content_it_belongs_to(store: DocumentStore, keep: Keep) -> None:
    kept = keep("a.txt", "text")
    origin = Origin(location="/docs/a.txt", uri="a.txt", content_hash=kept.content_hash, stamp="2")
    store.touch([origin])
    assert store.origins()["/docs/a.txt"].stamp == "2"
    store.touch([Origin(location="/docs/a.txt", uri="a.txt", content_hash="other", stamp="3")])
    assert store.origins()["/docs/a.txt"].stamp == "2"


def test_passages_come_best_first_and_without_those_that_are_gone(store: DocumentStore, keep: Keep) -> None:
    keep("a.txt", "  first text \n")
    gone = keep("b.txt", "second")
    with store.changes(0) as changes:
        keys = [chunk.pk for chunk in changes.added]
    store.remove(gone.id)
    [passage] = store.passages({keys[1]: 0.9, keys[0]: 0.5})
    assert (passage.text, passage.start, passage.end, passage.score) == ("first text", 2, 12, 0.5)


def test_forgotten_removals_are_remembered_as_such(store: DocumentStore, keep: Keep) -> None:
    store.remove(keep("a.txt", "text").id)
    store.forget_removals(1)
    assert store.forgotten() == 0
    store.forget_removals(2)
    assert store.forgotten() == 2
    assert seen(store, 0) == (2, 0, 0)


def test_a_change_that_fails_changes_nothing(store: DocumentStore, keep: Keep) -> None:
    kept = keep("a.txt", "text")
    outside = sqlite3.connect(store.path)
    outside.execute("CREATE TRIGGER no BEFORE DELETE ON chunks BEGIN SELECT raise(ABORT, 'no'); END")
    with pytest.raises(StorageUnavailable):
        store.remove(kept.id)
    assert store.document(kept.id) == kept
    assert store.epoch() == 1
    outside.close()


def test_a_lock_held_too_long_is_an_error(
    store: DocumentStore, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    monkeypatch.setattr("ragstream.knowledge._database._BUSY", 0.05)
    outside = sqlite3.connect(store.path, isolation_level=None)
    outside.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable, match="locked"):
        keep("a.txt", "text")
    assert store.size().documents == 0  # reading goes on
    outside.execute("COMMIT")
    outside.close()
    assert keep("a.txt", "text").title == "a.txt"


def test_a_full_disk_has_its_own_error(store: DocumentStore, keep: Keep) -> None:
    store._connection().execute("PRAGMA max_page_count = 30")
    with pytest.raises(StorageFull):
        keep("a.txt", "text " * 100_000)
    assert store.size() == KnowledgeSize(documents=0, chunks=0, epoch=0)
    store._connection().execute("PRAGMA max_page_count = 3000")
    assert keep("a.txt", "text").title == "a.txt"


def test_a_file_of_another_format_is_refused(store: DocumentStore) -> None:
    outside = sqlite3.connect(store.path)
    outside.execute("PRAGMA user_version = 99")
    outside.close()
    with pytest.raises(ConfigError, match="format 99"):
        store.open()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(StorageUnavailable, match="damaged"):
        DocumentStore(path).open()


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable):
        DocumentStore(tmp_path / "missing" / "knowledge.db").open()


@pytest.fixture(autouse=True)
def closed(store: DocumentStore) -> object:
    yield
    store.close()
