#!/usr/bin/env python3
"""Write anew what the documentation quotes from the program.

A fenced block whose info string is ``text ragstream … --help`` holds what that command prints. With
``--check`` nothing is written, and the exit code is 1 where something would be.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
QUOTED = re.compile(r"^```text ragstream( [\w-]+)? --help\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLAIN = {"TYPER_USE_RICH": "0", "COLUMNS": "100", "NO_COLOR": "1"}


def quote(match: re.Match[str]) -> str:
    """Return the block with what the command prints now."""
    words = ["ragstream", *(match.group(1) or "").split(), "--help"]
    command = [sys.executable, "-m", *words]
    printed = subprocess.run(
        command, env=os.environ | PLAIN, capture_output=True, text=True, check=True
    ).stdout.replace("python -m ragstream", "ragstream")
    lines = [line.rstrip() for line in printed.strip().splitlines()]
    return "\n".join([f"```text {' '.join(words)}", *lines, "```"])


def main() -> int:
    """Name the pages whose quotations are out of date, and rewrite them."""
    outdated = 0
    for page in sorted(ROOT.glob("docs/**/*.md")):
        old = page.read_text("utf-8")
        new = QUOTED.sub(quote, old)
        if new != old:
            outdated += 1
            print(page.relative_to(ROOT))
            if "--check" not in sys.argv:
                page.write_text(new, "utf-8")
    return 1 if outdated and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
