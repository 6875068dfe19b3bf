"""The index follows the store: after changes, kills, damage, and a change of the analyzer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from ragstream.errors import RetrievalFailed
from ragstream.knowledge import Document
from ragstream.knowledge.projection import Projection
from ragstream.knowledge.sqlite import DocumentStore
from ragstream.knowledge.tantivy import IndexBusy, IndexDamaged, LexicalIndex

Keep = Callable[[str, str], Document]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def projection(store: DocumentStore, folder: Path) -> Iterator[Projection]:
    yield Projection(store, folder)
    store.close()


def found(projection: Projection, store: DocumentStore, *terms: str) -> list[str]:
    return [passage.title for passage in store.passages(projection.search(terms, 10))]


def test_what_is_added_changed_and_removed_is_found_so(
    projection: Projection, store: DocumentStore, keep: Keep
) -> None:
    apples, _ = keep("apples.txt", "red apples"), keep("pears.txt", "green pears")
    assert projection.catch_up()
    assert found(projection, store, "appl") == ["apples.txt"]
    keep("pears.txt", "yellow bananas")
    store.remove(apples.id)
    assert projection.catch_up()
    assert found(projection, store, "appl", "green") == []
    assert found(projection, store, "banana") == ["pears.txt"]


def test_searching_what_was_never_indexed_builds_the_index(
    projection: Projection, store: DocumentStore, keep: Keep
) -> None:
    keep("a.txt", "apples")
    assert found(projection, store, "appl") == ["a.txt"]


def test_titles_and_headings_count_for_every_chunk_below_them(
    projection: Projection, store: DocumentStore, keep: Keep
) -> None:
    keep("a.md", "# Zebras\n\n## Stripes\n\n" + "plain words " * 400)
    projection.catch_up()
    assert len(projection.search(["zebra"], 10)) == len(projection.search(["stripe"], 10)) >= 3


def test_white_space_is_no_passage(projection: Projection, store: DocumentStore, keep: Keep) -> None:
    keep("a.md", "# Zebra\n\n" + " " * 5000 + "\n\nend")
    projection.catch_up()
    assert all(passage.text for passage in store.passages(projection.search(["zebra"], 10)))


def test_a_change_that_was_not_indexed_before_a_kill_is_indexed_after_it(
    projection: Projection, store: DocumentStore, keep: Keep, folder: Path
) -> None:
    keep("a.txt", "apples")
    projection.catch_up()
    keep("b.txt", "apples")  # and here the process is killed
    again = Projection(store, folder)
    assert again.catch_up()
    assert sorted(found(again, store, "appl")) == ["a.txt", "b.txt"]


def test_an_index_that_was_built_but_not_declared_ready_is_taken_over(
    store: DocumentStore, keep: Keep, folder: Path, projection: Projection
) -> None:
    keep("a.txt", "apples")
    entry = store.claim_index("1")
    LexicalIndex(folder / entry.folder).follow(store, Event())  # and here the process is killed
    assert found(projection, store, "appl") == ["a.txt"]
    assert [path.name for path in folder.iterdir()] == [entry.folder]


@pytest.mark.parametrize("damage", ["truncate", "scramble", "inside", "remove", "meta"])
def test_a_damaged_index_is_built_again(
    damage: str, projection: Projection, store: DocumentStore, keep: Keep, folder: Path
) -> None:
    for number in range(30):
        keep(f"{number}.txt", f"apples {number} " + "words " * number)
    projection.catch_up()
    [damaged] = folder.iterdir()
    for path in damaged.iterdir():
        if path.name.startswith(".") or (damage == "meta") != (path.name == "meta.json"):
            continue
        size = path.stat().st_size
        match damage:
            case "truncate":
                path.write_bytes(path.read_bytes()[: size // 2])
            case "scramble":
                path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))
            case "inside":  # past what is checked at opening: tantivy panics
                if path.suffix != ".fast":
                    continue
                content = path.read_bytes()
                path.write_bytes(bytes(255 - byte for byte in content[:-110]) + content[-110:])
            case "remove":
                path.unlink()
            case _:
                path.write_text("{")
    again = Projection(store, folder)  # a new process: this one has the old files mapped
    assert len(again.search(["appl"], 50)) == 30
    assert damaged.name not in [path.name for path in folder.iterdir()]


def test_an_index_ahead_of_its_store_is_built_again(
    projection: Projection, store: DocumentStore, keep: Keep
) -> None:
    keep("a.txt", "apples")
    keep("b.txt", "apples")
    projection.catch_up()
    store._connection().execute("UPDATE state SET value = 1 WHERE name = 'epoch'")  # a backup came back
    store._connection().execute("DELETE FROM documents WHERE uri = 'b.txt'")
    store._connection().execute("DELETE FROM chunks WHERE text = 'apples' AND pk = 2")
    assert projection.catch_up()
    assert found(projection, store, "appl") == ["a.txt"]


def test_a_new_analyzer_builds_its_index_beside_the_old_one(
    projection: Projection, store: DocumentStore, keep: Keep, folder: Path
) -> None:
    keep("a.txt", "apples")
    projection.catch_up()
    [old] = folder.iterdir()
    newer = Projection(store, folder, analyzer="2")
    assert found(newer, store, "appl") == ["a.txt"]  # from the old one, which is all there is yet
    assert list(folder.iterdir()) == [old]
    keep("b.txt", "apples")
    assert newer.catch_up()
    assert sorted(found(newer, store, "appl")) == ["a.txt", "b.txt"]
    assert old not in folder.iterdir()
    assert sorted(found(projection, store, "appl")) == ["a.txt", "b.txt"]  # the old process goes on


def test_two_analyzers_do_not_take_turns_at_building(
    projection: Projection, store: DocumentStore, keep: Keep, folder: Path
) -> None:
    keep("a.txt", "apples")
    newer = Projection(store, folder, analyzer="2")
    for each in (projection, newer, projection, newer):
        each.catch_up()
    before = sorted(folder.iterdir())
    for each in (projection, newer, projection, newer):
        each.catch_up()
    assert sorted(folder.iterdir()) == before


def test_an_index_that_missed_removals_is_built_again(
    projection: Projection, store: DocumentStore, keep: Keep, folder: Path
) -> None:
    keep("a.txt", "apples")
    projection.catch_up()
    entry = store.claim_index("2")
    LexicalIndex(folder / entry.folder).follow(store, Event())
    gone = keep("b.txt", "apples")
    LexicalIndex(folder / entry.folder).follow(store, Event())
    store.remove(gone.id)
    projection.catch_up()  # forgets that b.txt went
    with pytest.raises(IndexDamaged):
        LexicalIndex(folder / entry.folder).follow(store, Event())


def test_a_second_writer_waits_for_the_first(
    store: DocumentStore, keep: Keep, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("a.txt", "apples")
    index = LexicalIndex(folder / store.claim_index("1").folder)
    writer = index._index.writer(15_000_000, 1)
    with pytest.raises(IndexBusy):
        index.follow(store, Event())
    monkeypatch.setattr("ragstream.knowledge.projection._PATIENCE", 0.05)
    projection = Projection(store, folder)
    assert projection.catch_up() is False
    with pytest.raises(RetrievalFailed):
        projection.search(["appl"], 1)
    del writer
    assert projection.catch_up() is True


def test_scores_can_be_compared_between_questions(
    projection: Projection, store: DocumentStore, keep: Keep
) -> None:
    for number in range(40):
        keep(f"{number}.txt", f"common words about topic{number} and more of the same")
    projection.catch_up()
    [whole] = projection.search(["topic7", "common"], 1).values()
    [half] = projection.search(["topic7", "unknown"], 1).values()
    [little] = projection.search(["common", "unknown", "unheard"], 1).values()
    assert 1 > whole > 0.35 > half > 0.15 > little > 0


def test_a_question_of_thousands_of_words_is_searched_by_its_rarest(
    projection: Projection, store: DocumentStore, keep: Keep
) -> None:
    keep("a.txt", "needle " + " ".join(f"w{number}" for number in range(2000)))
    for number in range(5):
        keep(f"{number}.txt", " ".join(f"w{number}" for number in range(2000)))
    projection.catch_up()
    terms = [*(f"w{number}" for number in range(2000)), "needl"]
    best = next(iter(projection.search(terms, 3)))
    assert "needle" in store.passages({best: 1.0})[0].text
