"""The truth about the knowledge base: documents and chunks in one SQLite file, shared by several processes.

Every transaction that changes something takes the next change number (the *epoch*). A chunk keeps the number
under which it came, a chunk that went leaves a row with the number under which it went: so an index can ask
for what it has not seen. What is indexed of a chunk's row never changes; a document that changed keeps the
rows of those chunks that did not.

Everything here blocks.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections import defaultdict, deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from hashlib import blake2b

import msgspec

from ragstream.errors import ConfigError, StorageUnavailable
from ragstream.events import Passage
from ragstream.knowledge._database import Database
from ragstream.knowledge.base import Chunk, Document, KnowledgeSize, Origin, ParsedDocument

__all__ = ["Changes", "DocumentStore", "IndexFolder", "IndexedChunk"]

_FORMAT = 1
_SCHEMA = """
CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    pk INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, location TEXT NOT NULL UNIQUE, uri TEXT NOT NULL,
    title TEXT NOT NULL, media_type TEXT NOT NULL, content_hash TEXT NOT NULL, stamp TEXT NOT NULL,
    characters INTEGER NOT NULL, chunks INTEGER NOT NULL, updated REAL NOT NULL
);
CREATE TABLE chunks (
    pk INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL, start INTEGER NOT NULL, page INTEGER,
    heading TEXT, digest BLOB NOT NULL, change INTEGER NOT NULL, text TEXT NOT NULL
);
CREATE INDEX chunks_of_document ON chunks (document, start);
CREATE INDEX chunks_by_change ON chunks (change);
CREATE TABLE removals (chunk INTEGER PRIMARY KEY, change INTEGER NOT NULL);
CREATE INDEX removals_by_change ON removals (change);
CREATE TABLE indexes (analyzer TEXT PRIMARY KEY, folder TEXT NOT NULL, ready INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO state VALUES ('epoch', 0), ('forgotten', 0);
"""
_DOCUMENT = "id, title, uri, media_type, content_hash, characters, chunks, updated"


class IndexedChunk(msgspec.Struct, frozen=True):
    """A chunk as an index takes it in."""

    pk: int
    title: str
    heading: str | None
    text: str


class Changes(msgspec.Struct, frozen=True):
    """What an index has not seen yet: what went, and what came, up to an epoch."""

    epoch: int
    removed: Iterator[int]
    added: Iterator[IndexedChunk]


class IndexFolder(msgspec.Struct, frozen=True):
    """An index of these chunks: the analyzer that made it, its folder, and whether it may be searched."""

    analyzer: str
    folder: str
    ready: bool


class DocumentStore(Database):
    """Documents and chunks in one SQLite file."""

    def open(self) -> None:
        """Create the file where it is missing.

        Raises:
            ConfigError: the file was written by another version.
            StorageUnavailable: the file cannot be opened or written.
        """
        with self._writing() as connection:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_FORMAT}")
            elif found != _FORMAT:
                raise ConfigError(
                    f"{self.path} has format {found}, this version reads {_FORMAT}:"
                    " delete it and ingest again."
                )

    # --- documents

    def put(self, origin: Origin, parsed: ParsedDocument) -> Document:
        """Add a document, or replace the one from the same location, in one transaction."""
        with self._writing() as connection:
            change = self._next_change(connection)
            known = connection.execute(
                "SELECT pk, id FROM documents WHERE location = ?", (origin.location,)
            ).fetchone()
            document = Document(
                id=known[1] if known else secrets.token_hex(16),
                title=parsed.title,
                uri=origin.uri,
                media_type=parsed.media_type,
                content_hash=origin.content_hash,
                characters=len(parsed.text),
                chunks=len(parsed.chunks),
                updated=time.time(),
            )
            pk = known[0] if known else None
            values = (pk, origin.location, origin.stamp, *msgspec.structs.astuple(document))
            pk = connection.execute(
                f"INSERT OR REPLACE INTO documents (pk, location, stamp, {_DOCUMENT})"  # noqa: S608
                " VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                values,
            ).lastrowid
            assert pk is not None  # noqa: S101 - an INSERT always has one
            _replace_chunks(connection, pk, parsed, change)
        return document

    def discard(self, locations: Collection[str]) -> int:
        """Remove the documents from these locations in one transaction; return how many there were."""
        return self._remove("SELECT pk FROM documents WHERE location = ?", locations)

    def remove(self, document_id: str) -> bool:
        """Remove one document; False if there was none."""
        return bool(self._remove("SELECT pk FROM documents WHERE id = ?", [document_id]))

    def _remove(self, select: str, values: Collection[str]) -> int:
        with self._writing() as connection:
            found = [row for value in values for row in connection.execute(select, (value,))]
            if found:
                change = self._next_change(connection)
                for (pk,) in found:
                    chunks = connection.execute("SELECT pk FROM chunks WHERE document = ?", (pk,)).fetchall()
                    _remove_chunks(connection, [chunk for (chunk,) in chunks], change)
                connection.executemany("DELETE FROM documents WHERE pk = ?", found)
        return len(found)

    def touch(self, origins: Collection[Origin]) -> None:
        """Note new stamps of files whose content is the same."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE documents SET stamp = ? WHERE location = ? AND content_hash = ?",
                [(origin.stamp, origin.location, origin.content_hash) for origin in origins],
            )

    def origins(self) -> dict[str, Origin]:
        """Return where each document comes from, by location."""
        rows = self._rows("SELECT location, uri, content_hash, stamp FROM documents")
        return {
            location: Origin(location=location, uri=uri, content_hash=content_hash, stamp=stamp)
            for location, uri, content_hash, stamp in rows
        }

    def size(self) -> KnowledgeSize:
        """Return how much there is."""
        counts = "SELECT count(*), coalesce(sum(chunks), 0) FROM documents"
        [(documents, chunks)] = self._rows(counts)
        return KnowledgeSize(documents=documents, chunks=chunks, epoch=self.epoch())

    def documents(self, limit: int) -> list[Document]:
        """Return documents by title."""
        select = f"SELECT {_DOCUMENT} FROM documents ORDER BY title COLLATE NOCASE, uri LIMIT ?"  # noqa: S608
        return [_document(row) for row in self._rows(select, (limit,))]

    def document(self, document_id: str) -> Document | None:
        """Return one document."""
        rows = self._rows(f"SELECT {_DOCUMENT} FROM documents WHERE id = ?", (document_id,))  # noqa: S608
        return _document(rows[0]) if rows else None

    def text(self, document_id: str) -> str | None:
        """Return a document's whole text."""
        rows = self._rows(
            "SELECT c.text FROM documents d LEFT JOIN chunks c ON c.document = d.pk WHERE d.id = ?"
            " ORDER BY c.start",
            (document_id,),
        )
        return "".join(text or "" for (text,) in rows) if rows else None

    def passages(self, scores: dict[int, float]) -> list[Passage]:
        """Return the chunks with these keys and scores, best first; those that are gone are left out."""
        marks = ",".join("?" * len(scores))
        rows = self._rows(
            "SELECT c.pk, d.id, d.title, d.uri, c.text, c.start, c.page, c.heading"  # noqa: S608
            f" FROM chunks c JOIN documents d ON d.pk = c.document WHERE c.pk IN ({marks})",
            tuple(scores),
        )
        by_key = {row[0]: row for row in rows}
        return [_passage(by_key[pk], score) for pk, score in scores.items() if pk in by_key]

    # --- changes, and the indexes that follow them

    def epoch(self) -> int:
        """Return the number of the last change."""
        return self._state("epoch")

    def forgotten(self) -> int:
        """Return the change up to which removals are no longer listed."""
        return self._state("forgotten")

    @contextmanager
    def changes(self, after: int) -> Iterator[Changes]:
        """Give what changed after a change number, as of one moment."""
        with self._reading() as connection:
            epoch = connection.execute("SELECT value FROM state WHERE name = 'epoch'").fetchone()[0]
            removed = connection.execute("SELECT chunk FROM removals WHERE change > ?", (after,))
            added = connection.execute(
                "SELECT c.pk, d.title, c.heading, c.text FROM chunks c JOIN documents d ON d.pk = c.document"
                " WHERE c.change > ?",
                (after,),
            )
            yield Changes(epoch, (pk for (pk,) in removed), (IndexedChunk(*row) for row in added))

    def forget_removals(self, through: int) -> None:
        """Drop the list of removals up to a change; an index that has not seen them must be rebuilt."""
        if not self._rows("SELECT 1 FROM removals WHERE change <= ? LIMIT 1", (through,)):
            return
        with self._writing() as connection:
            connection.execute("DELETE FROM removals WHERE change <= ?", (through,))
            connection.execute("UPDATE state SET value = max(value, ?) WHERE name = 'forgotten'", (through,))

    def indexes(self) -> list[IndexFolder]:
        """Return the indexes that exist or are being built."""
        rows = self._rows("SELECT analyzer, folder, ready FROM indexes")
        return [IndexFolder(analyzer, folder, bool(ready)) for analyzer, folder, ready in rows]

    def claim_index(self, analyzer: str) -> IndexFolder:
        """Return the index of this analyzer; where there is none, name the folder for it."""
        for _ in range(2):
            for index in self.indexes():
                if index.analyzer == analyzer:
                    return index
            with self._writing() as connection:
                connection.execute(
                    "INSERT OR IGNORE INTO indexes VALUES (?, ?, 0)", (analyzer, secrets.token_hex(8))
                )
        raise StorageUnavailable(f"{self.path} changes too fast; try again.")

    def finish_index(self, index: IndexFolder) -> None:
        """Let an index be searched."""
        with self._writing() as connection:
            connection.execute("UPDATE indexes SET ready = 1 WHERE folder = ?", (index.folder,))

    def retire_indexes(self, but: IndexFolder) -> None:
        """Give up every other index."""
        if len(self.indexes()) > 1:
            with self._writing() as connection:
                connection.execute("DELETE FROM indexes WHERE folder <> ?", (but.folder,))

    def drop_index(self, index: IndexFolder) -> None:
        """Give up an index; it has to be built again, elsewhere."""
        with self._writing() as connection:
            connection.execute("DELETE FROM indexes WHERE folder = ?", (index.folder,))

    def _state(self, name: str) -> int:
        [(value,)] = self._rows("SELECT value FROM state WHERE name = ?", (name,))
        return int(value)

    def _next_change(self, connection: sqlite3.Connection) -> int:
        row = connection.execute(
            "UPDATE state SET value = value + 1 WHERE name = 'epoch' RETURNING value"
        ).fetchone()
        return int(row[0])


def _replace_chunks(
    connection: sqlite3.Connection, document: int, parsed: ParsedDocument, change: int
) -> None:
    """Make the document's rows these chunks; what is the same as before keeps its row."""
    kept: defaultdict[bytes, deque[int]] = defaultdict(deque)
    for pk, digest in connection.execute(
        "SELECT pk, digest FROM chunks WHERE document = ? ORDER BY start", (document,)
    ):
        kept[digest].append(pk)
    moved, new = [], []
    for chunk in parsed.chunks:
        text = parsed.text[chunk.start : chunk.end]
        digest = _digest(parsed.title, chunk, text)
        if kept[digest]:
            moved.append((chunk.start, chunk.page, kept[digest].popleft()))
        else:
            new.append((document, chunk.start, chunk.page, chunk.heading, digest, change, text))
    connection.executemany("UPDATE chunks SET start = ?, page = ? WHERE pk = ?", moved)
    connection.executemany(
        "INSERT INTO chunks (document, start, page, heading, digest, change, text) VALUES (?,?,?,?,?,?,?)",
        new,
    )
    _remove_chunks(connection, [pk for left in kept.values() for pk in left], change)


def _remove_chunks(connection: sqlite3.Connection, chunks: list[int], change: int) -> None:
    connection.executemany("DELETE FROM chunks WHERE pk = ?", [(pk,) for pk in chunks])
    connection.executemany("INSERT INTO removals VALUES (?, ?)", [(pk, change) for pk in chunks])


def _digest(title: str, chunk: Chunk, text: str) -> bytes:
    """Return a hash of what is indexed of a chunk."""
    indexed = "\0".join((title, chunk.heading or "", text))
    return blake2b(indexed.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _document(row: tuple) -> Document:  # type: ignore[type-arg]
    return Document(**dict(zip(Document.__struct_fields__, row, strict=True)))


def _passage(row: tuple, score: float) -> Passage:  # type: ignore[type-arg]
    """Make a passage of a chunk, without the white space around its text."""
    pk, document_id, title, uri, text, start, page, heading = row
    start += len(text) - len(text.lstrip())
    text = text.strip()
    return Passage(
        id=str(pk),
        document_id=document_id,
        title=title,
        uri=uri,
        text=text,
        start=start,
        end=start + len(text),
        score=score,
        page=page,
        heading=heading,
    )
