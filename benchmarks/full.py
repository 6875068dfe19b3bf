"""Run the other benchmarks, one after the other, and keep what they print in results/full.md.

    python benchmarks/full.py [FOLDER] [--only startup,streams] [--chunks 1000,10000,100000,1000000]

FOLDER has judged questions in the layout of ``retrieval.py``; without it that one is left out. Where a
program fails, or does not reach what it asks for, its place and the exit code tell, and the rest goes on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from rig.report import save

_HERE = Path(__file__).parent
_KEPT = (  # by the programs themselves, as pages of their own
    "startup.py",
    "streams.py --log memory",
    "streams.py --log sqlite --only readers,first,resume,unpinned",
    "streams.py --log redis --only readers,store,resume",
)
_PRINTED = (
    "engine.py",
    "llm_client.py",
    "streamlog_cost.py",
    "streamlog_saturation.py",
    "storage_turn.py",
    "turn.py --chunks 10000 --functions 0",
    "steps.py",
    "ingest.py",
)


def main() -> int:
    options = _options()
    page, failed = "", 0
    for run in _chosen(_KEPT, options.only):
        failed |= _outcome(run)[0]
    for run in _chosen([*_PRINTED, *_retrieval(options)], options.only):
        began = time.monotonic()
        code, said = _outcome(run)
        failed |= code
        name = run.replace(options.folder, "FOLDER") if options.folder else run
        took = f"exit code {code}, " * bool(code) + f"{time.monotonic() - began:.0f} s"
        page += f"## {name}\n\n```text\n{said.rstrip()}\n```\n\n{took}\n\n"
    save("full", "What the other benchmarks print", page, {})
    return failed


def _chosen(runs: Iterable[str], only: str) -> list[str]:
    return [run for run in runs if not only or run.partition(".")[0] in only.split(",")]


def _retrieval(options: argparse.Namespace) -> Iterator[str]:
    if options.folder:
        yield f"retrieval.py {options.folder}"
        for chunks in options.chunks.split(","):
            yield f"retrieval.py {options.folder} --scale {chunks}"


def _outcome(run: str) -> tuple[int, str]:
    """Run a program of this folder; return its exit code and what it printed, which is shown meanwhile."""
    print(f"== {run}", flush=True)
    program, *arguments = run.split()
    said = ""
    with subprocess.Popen(
        [sys.executable, str(_HERE / program), *arguments],
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
