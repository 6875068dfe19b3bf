"""What test runs saw: which tests went through which steps, and by which ways they left them.

A run updates what earlier runs saw and never forgets a test that it did not run: a run of a few tests, or one
on a machine without some service, destroys nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ragstream.errors import ConfigError

__all__ = ["WAY_ON", "Facts", "Recorder", "load_facts", "standing"]

WAY_ON = ""  # how a step that does not decide is left

Walk = dict[str, list[str]]  # by node: the outcomes with which a test left it


class Facts(msgspec.Struct, kw_only=True):
    """The walks of every test that ran; of a test that did not pass, none."""

    whole: bool  # all tests have run: an edge that nobody took is untested
    walks: dict[str, Walk]  # by test

    def through(self, node: str) -> list[str]:
        """Return the tests that went through ``node``, those that went through the fewest steps first."""
        found = [test for test, walk in self.walks.items() if node in walk]
        return sorted(found, key=lambda test: (len(self.walks[test]), test))

    def ways(self, node: str) -> set[str]:
        """Return the outcomes with which tests left ``node``."""
        return {outcome for walk in self.walks.values() for outcome in walk.get(node, ())}

    def updated(self, newer: Facts, root: Path) -> Facts:
        """Return these facts with those of a ``newer`` run, without the tests that are gone from ``root``."""
        kept = {test: self.walks[test] for test in standing(self.walks.keys() - newer.walks, root)}
        return Facts(whole=self.whole or newer.whole, walks=dict(sorted((kept | newer.walks).items())))

    def save(self, path: Path) -> None:
        """Write the facts to ``path``."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def load_facts(path: Path) -> Facts | None:
    """Return the facts in ``path``, or None where no test run has left any.

    Raises:
        ConfigError: the file is not one of facts.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Facts)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not the facts of a test run ({error}); remove it") from None


def standing(tests: Iterable[str], root: Path) -> set[str]:
    """Return those of ``tests`` whose file below ``root`` still defines them."""
    by_file: defaultdict[str, set[str]] = defaultdict(set)
    for test in tests:
        by_file[test.partition("::")[0]].add(test)
    found: set[str] = set()
    for file, named in by_file.items():
        path = root / file
        source = path.read_text("utf-8") if path.is_file() else ""
        found |= {test for test in named if f"def {test.rpartition('::')[2]}(" in source}
    return found


class Recorder:
    """Collects facts while tests run."""

    def __init__(self) -> None:
        self._walked: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._passed: dict[str, bool] = {}

    def left(self, test: str, node: str, outcome: str | None) -> None:
        """Note that ``test`` completed ``node`` and left it with ``outcome``."""
        self._walked[test][node].add(outcome or WAY_ON)

    def ended(self, test: str, *, passed: bool) -> None:
        """Note how ``test`` ended: what it walked counts if it passed each time."""
        self._passed[test] = self._passed.get(test, True) and passed

    def facts(self, *, whole: bool) -> Facts:
        """Return what the tests that ran have shown."""
        return Facts(
            whole=whole,
            walks={
                test: {node: sorted(ways) for node, ways in sorted(self._walked[test].items())}
                if passed
                else {}
                for test, passed in sorted(self._passed.items())
            },
        )
