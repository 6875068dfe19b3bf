"""What a test run saw: which tests went through which steps, and by which ways they left them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import msgspec

from ragstream.errors import ConfigError

__all__ = ["WAY_ON", "Facts", "Recorder", "load_facts"]

WAY_ON = ""  # how a step that does not decide is left


class Facts(msgspec.Struct, kw_only=True):
    """The recorded walks of every test that passed."""

    files: list[str]  # the test files of which at least one test passed
    tests: dict[str, dict[str, list[str]]]  # by test: the outcomes with which it left each step, by node

    def through(self, node: str) -> list[str]:
        """Return the tests that went through ``node``, those that went through the fewest steps first."""
        found = [test for test, steps in self.tests.items() if node in steps]
        return sorted(found, key=lambda test: (len(self.tests[test]), test))

    def ways(self, node: str) -> set[str]:
        """Return the outcomes with which tests left ``node``."""
        return {outcome for steps in self.tests.values() for outcome in steps.get(node, ())}

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
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: not the facts of a test run ({error}); remove it") from None


class Recorder:
    """Collects facts while tests run."""

    def __init__(self) -> None:
        self._walked: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._passed: set[str] = set()

    def left(self, test: str, node: str, outcome: str | None) -> None:
        """Note that ``test`` completed ``node`` and left it with ``outcome``."""
        self._walked[test][node].add(outcome or WAY_ON)

    def passed(self, test: str) -> None:
        """Note that ``test`` passed: what it walked counts."""
        self._passed.add(test)

    def facts(self) -> Facts:
        """Return what the tests that passed have shown."""
        return Facts(
            files=sorted({test.partition("::")[0] for test in self._passed}),
            tests={
                test: {node: sorted(ways) for node, ways in sorted(steps.items())}
                for test, steps in sorted(self._walked.items())
                if test in self._passed
            },
        )
