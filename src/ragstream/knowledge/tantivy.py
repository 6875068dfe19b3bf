"""One lexical index on disk: BM25 over chunks, by tantivy.

Text comes as terms of our analyzer, joined by spaces. The index knows up to which change it follows the
document store: its *watermark* is in a document of its own, replaced in the same commit as the chunks.

Everything here blocks; searching and committing release the GIL.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import tantivy

from ragstream.errors import StorageFull
from ragstream.knowledge.analyzer import terms as terms_of
from ragstream.knowledge.sqlite import Changes, DocumentStore

__all__ = ["IndexBusy", "IndexDamaged", "LexicalIndex"]

_HEAP = 64_000_000  # bytes that a writer collects before it writes a segment
_MOST_TERMS = 64  # of a question, the rarest first: more would only cost time
_SATURATION = 2.2  # k1 + 1 in tantivy's BM25: a term's weight grows to idf times this
_WATERMARK = -1  # stands in the field `chunk` of the document that keeps the watermark


class IndexBusy(Exception):
    """Another writer is at work on this index."""


class IndexDamaged(Exception):
    """The index cannot be read; it has to be built again."""


class LexicalIndex:
    """An index in a folder, which is made where it is missing."""

    def __init__(self, folder: Path) -> None:
        """Open the index.

        Raises:
            IndexDamaged: it cannot be opened.
        """
        self.folder = folder
        self._schema = _schema()
        self._listing = folder / "meta.json"
        self._commit: tuple[int, int, int] | None = None  # that searchers see
        with _mapped():
            folder.mkdir(parents=True, exist_ok=True)
            self._index = tantivy.Index(self._schema, str(folder))
            self._index.config_reader(reload_policy="manual")

    def search(self, terms: Sequence[str], limit: int) -> dict[int, float]:
        """Return the keys of the best chunks and their scores, best first.

        A score is BM25 divided by what a passage would reach that says every term endlessly often, so it lies
        between 0 and 1. A term that no chunk has counts too, with the weight of the rarest one. BM25 as in
        Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009, with k1 = 1.2, b = 0.75.

        Raises:
            IndexDamaged: the index cannot be read.
        """
        with _mapped():
            searcher = self._searcher()
            frequency = {term: searcher.doc_freq("body", term) for term in terms}
            present = sorted(filter(frequency.__getitem__, terms), key=frequency.__getitem__)[:_MOST_TERMS]
            if not present:
                return {}
            best = _SATURATION * sum(_idf(count, searcher.num_docs) for count in frequency.values())
            hits = searcher.search(self._any_of(present), limit, count=False).hits
            keys = searcher.fast_field_values("chunk", [address for _, address in hits])
        return {int(key): score / best for key, (score, _) in zip(keys, hits, strict=True) if key is not None}

    def watermark(self) -> int:
        """Return the last change that the index has."""
        with _mapped():
            searcher = self._searcher()
            query = tantivy.Query.term_query(self._schema, "chunk", _WATERMARK)
            hits = searcher.search(query, 1, count=False).hits
            return int(searcher.doc(hits[0][1]).get_first("watermark") or 0) if hits else 0

    def _searcher(self) -> tantivy.Searcher:
        """Return a searcher of the last commit, whichever process made it.

        A reload that finds nothing new is cheap, but the first search after it is not. Each commit replaces
        the file that lists the segments.
        """
        listing = self._listing.stat()  # before the reload
        commit = (listing.st_ino, listing.st_mtime_ns, listing.st_size)
        if commit != self._commit:
            self._index.reload()
            self._commit = commit
        return self._index.searcher()

    def follow(self, store: DocumentStore, stopping: Event) -> int:
        """Take in what the store has beyond the watermark, in one commit; return the new watermark.

        Raises:
            IndexBusy: another writer is at work, or ``stopping`` was set: the index is as it was.
            IndexDamaged: the index cannot be read, or is not one of this store.
            StorageFull: the disk is full; the index is as it was.
        """
        with _mapped(), self._writing() as writer:
            watermark = self.watermark()
            if watermark > store.epoch() or 0 < watermark < store.forgotten():
                raise IndexDamaged("The index does not belong to this state of the store.")
            with store.changes(watermark) as changes:
                if changes.epoch == watermark:
                    return watermark
                self._take(writer, changes, stopping, fresh=watermark == 0)
            writer.commit()
        return changes.epoch

    @contextmanager
    def _writing(self) -> Iterator[tantivy.IndexWriter]:
        """Give the only writer there may be, and let go of the index's lock at the end.

        Nothing but ``wait_merging_threads`` does that at once: an error's traceback would keep the writer.
        """
        writer = self._index.writer(_HEAP, 1)
        try:
            yield writer
        except BaseException:
            with suppress(ValueError):  # the first error says more
                writer.wait_merging_threads()
            raise
        writer.wait_merging_threads()

    def _take(self, writer: tantivy.IndexWriter, changes: Changes, stopping: Event, *, fresh: bool) -> None:
        if not fresh:
            for pk in changes.removed:
                writer.delete_documents_by_term("chunk", pk)
        for chunk in changes.added:
            if stopping.is_set():
                raise IndexBusy("The knowledge base is being closed.")
            if chunk.text.strip():  # white space alone is no passage, whatever its document's title
                said = f"{_context(chunk.title, chunk.heading, chunk.text)}\n{chunk.text}"
                writer.add_document(tantivy.Document(chunk=chunk.pk, body=" ".join(terms_of(said))))
        writer.delete_documents_by_term("chunk", _WATERMARK)
        writer.add_document(tantivy.Document(chunk=_WATERMARK, watermark=changes.epoch))

    def _any_of(self, terms: Sequence[str]) -> tantivy.Query:
        return tantivy.Query.boolean_query(
            [
                (tantivy.Occur.Should, tantivy.Query.term_query(self._schema, "body", term, "freq"))
                for term in terms
            ]
        )


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("chunk", indexed=True, fast=True)  # deleting by an unsigned field does nothing
    builder.add_integer_field("watermark", stored=True)
    builder.add_text_field("body", tokenizer_name="whitespace", index_option="freq")
    return builder.build()


def _context(title: str, heading: str | None, text: str) -> str:
    """Return the title and headings above a chunk, as far as its own first lines do not say them."""
    begin = text[: 2 * (len(title) + len(heading or "")) + 40]
    return " ".join(words for words in (title, heading) if words and words not in begin)


def _idf(count: int, total: int) -> float:
    return math.log(1 + (max(total - count, 0) + 0.5) / (count + 0.5))


@contextmanager
def _mapped() -> Iterator[None]:
    """Tell apart what tantivy's errors mean; a corrupt file makes it panic, past ``Exception``."""
    try:
        yield
    except (ValueError, OSError) as error:
        message = str(error)
        if "LockBusy" in message:
            raise IndexBusy(message) from error
        if "No space left" in message or "StorageFull" in message:
            raise StorageFull("The disk is full: the index cannot grow. Free some space.") from error
        raise IndexDamaged(message) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise IndexDamaged(str(error)) from error
