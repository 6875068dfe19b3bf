"""Run the other benchmarks, one after the other, and keep what they print in results/full.md.

    python benchmarks/full.py [FOLDER] [--only startup,streams] [--chunks 1000,10000,100000,1000000]

FOLDER has judged questions in the layout of ``retrieval.py``; without it that one is left out. Where a
program fails, or does not reach what it asks for, its place and the exit code tell, and the rest goes on.
With ``--only`` nothing is kept but what the programs keep themselves.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from rig.report import save

_HERE = Path(__file__).parent


class Run(NamedTuple):
    """A program of this folder with its arguments, and how it is called on the page."""

    program: str
    arguments: tuple[str, ...] = ()
    shown: str = ""
    kept: bool = False  # by itself, as a page of its own

    @property
    def name(self) -> str:
        """The whole command, without what is of this machine."""
        return self.shown or " ".join([self.program, *self.arguments])


RUNS = (
    Run("startup.py", kept=True),
    Run("streams.py", ("--log", "memory"), kept=True),
    Run("streams.py", ("--log", "sqlite", "--only", "readers,first,resume,unpinned"), kept=True),
    Run("streams.py", ("--log", "redis", "--only", "readers,store,resume"), kept=True),
    Run("engine.py"),
    Run("llm_client.py"),
    Run("streamlog_cost.py"),
    Run("streamlog_saturation.py"),
    Run("storage_turn.py"),
    Run("turn.py", ("--chunks", "10000", "--functions", "0")),
    Run("steps.py"),
    Run("ingest.py"),
    Run("scale.py"),
)
APART = ("compare.py", "full.py", "hotpath.py", "retrieval.py")  # the last one with a FOLDER


def main() -> int:
    options = _options()
    only = options.only.split(",") if options.only else []
    runs = [run for run in [*RUNS, *_retrieval(options)] if not only or run.program.partition(".")[0] in only]
    if not runs:
        sys.exit(f"There is no benchmark called {options.only}.")
    page, failed = "", []
    for run in runs:
        print(f"== {run.name}", flush=True)
        began = time.monotonic()
        code, said = _outcome(run)
        took = f"{time.monotonic() - began:.0f} s" + f", exit code {code}" * bool(code)
        print(took, flush=True)
        failed += [run.name] * bool(code)
        if not run.kept:
            page += f"## {run.name}\n\n```text\n{said.rstrip()}\n```\n\n{took}\n\n"
        if not only:  # after each, for the last ones take long
            save("full", "What the other benchmarks print", page, {"failed": failed}, told=False)
    return bool(failed)


def _retrieval(options: argparse.Namespace) -> list[Run]:
    folder = options.folder
    if not folder:
        return []
    scales = options.chunks.split(",") if options.chunks else []
    return [Run("retrieval.py", (folder,), "retrieval.py FOLDER")] + [
        Run("retrieval.py", (folder, "--scale", chunks), f"retrieval.py FOLDER --scale {chunks}")
        for chunks in scales
    ]


def _outcome(run: Run) -> tuple[int, str]:
    """Run the program; return its exit code and what it printed, which is shown meanwhile."""
    said = ""
    with subprocess.Popen(
        [sys.executable, "-u", str(_HERE / run.program), *run.arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            said += line
    return process.returncode, said


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("folder", nargs="?")
    options.add_argument("--only", default="", help="programs by name, separated by commas")
    options.add_argument("--chunks", default="1000,10000,100000,1000000", help="sizes of the knowledge base")
    return options.parse_args()


if __name__ == "__main__":
    sys.exit(main())
