"""Keep the lexical index in step with the document store.

An index is a folder with a random name, listed in the store. A missing index, a damaged one and one made by
another analyzer are the same case: a new folder is claimed, filled from change 0 on and declared ready, and
the others are retired. Until then an older index goes on being searched, if there is one.
A process that is killed leaves the watermark of the last commit; the writer's lock goes with the process.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from ragstream.errors import RetrievalFailed
from ragstream.knowledge.analyzer import VERSION
from ragstream.knowledge.sqlite import DocumentStore, IndexFolder
from ragstream.knowledge.tantivy import IndexBusy, IndexDamaged, LexicalIndex

__all__ = ["Projection"]

_TRIES = 3
_PATIENCE = 10.0  # seconds that a search waits for the first index to be built by somebody else
_PAUSE = 0.02


class Projection:
    """The index of a store, whichever folder it is in at the moment. Everything here blocks."""

    def __init__(self, store: DocumentStore, folder: Path, *, analyzer: str = VERSION) -> None:
        self._store = store
        self._folder = folder
        self._analyzer = analyzer
        self._open: tuple[IndexFolder, LexicalIndex] | None = None
        self._retired = False
        self._stopping = Event()

    def search(self, terms: Sequence[str], limit: int) -> dict[int, float]:
        """Return the keys of the best chunks and their scores; a damaged index is first built again.

        Raises:
            RetrievalFailed: there is no index that can be searched, and none can be built now.
        """
        for _ in range(_TRIES):
            entry = self._searchable()
            try:
                return self._index(entry).search(terms, limit)
            except IndexDamaged:
                self._drop(entry)
        raise RetrievalFailed("The index is damaged and could not be built again; see the disk's state.")

    def stop(self) -> None:
        """Give up what ``catch_up`` is at; the index stays as it was."""
        self._stopping.set()

    def catch_up(self) -> bool:
        """Take in every change committed so far; False where another writer is at it, or after ``stop``.

        Raises:
            StorageFull: the disk is full.
        """
        for _ in range(_TRIES):
            entry = self._store.claim_index(self._analyzer)
            try:
                index = self._index(entry)
                if index.watermark() != self._store.epoch() or not entry.ready:
                    watermark = index.follow(self._store, self._stopping)
                    self._store.forget_removals(watermark)
            except IndexBusy:
                return False
            except IndexDamaged:
                self._drop(entry)
                continue
            if not entry.ready:
                self._store.finish_index(entry)
            self._retire_others(entry)
            return True
        raise RetrievalFailed("The index could not be built; see the disk's state.")

    def _searchable(self) -> IndexFolder:
        """Return the ready index of our analyzer, else any that is ready; where there is none, make one."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            ready = [entry for entry in self._store.indexes() if entry.ready]
            if ready:
                return max(ready, key=lambda entry: entry.analyzer == self._analyzer)
            if not self.catch_up():  # somebody else is making it
                if time.monotonic() > deadline:
                    raise RetrievalFailed("The index is still being built; try again soon.")
                time.sleep(_PAUSE)

    def _index(self, entry: IndexFolder) -> LexicalIndex:
        opened = self._open
        if opened is not None and opened[0].folder == entry.folder:
            return opened[1]
        index = LexicalIndex(self._folder / entry.folder)
        if entry.ready:  # one that is being built is not searched, so it is not kept
            self._open = (entry, index)
        return index

    def _drop(self, entry: IndexFolder) -> None:
        self._open = None
        self._store.drop_index(entry)
        shutil.rmtree(self._folder / entry.folder, ignore_errors=True)

    def _retire_others(self, entry: IndexFolder) -> None:
        """Give up other indexes and delete their folders.

        Only once in this object's life: an older version that still runs may build its own index anew, and
        the two shall not take turns at that.
        """
        if self._retired:
            return
        self._retired = True
        self._store.retire_indexes(but=entry)
        listed = {entry.folder for entry in self._store.indexes()}
        for folder in self._folder.iterdir():
            if folder.name not in listed:
                shutil.rmtree(folder, ignore_errors=True)
