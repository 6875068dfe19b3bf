"""On what a result was measured: never the machine's name, nor a path of it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

__all__ = ["facts"]

_ROOT = Path(__file__).parents[2]
_OURS = ("ragstream", "uvicorn", "uvloop", "httptools", "aiohttp", "msgspec", "openai", "fastapi")
_THEIRS = {".venv-peers": ("sse-starlette", "openai", "fastapi"), ".venv-interop": ("litellm", "openai")}


def facts() -> dict[str, str]:
    """Return machine, versions and commit."""
    return {
        "cpu": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "commit": _commit(),
        "date": _git("log", "-1", "--format=%cs") or "unknown",
        "versions": ", ".join(f"{name} {version(name)}" for name in _OURS),
        "peers": "; ".join(_peers()),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    """Return the commit, and whether anything but the results, which a run writes anew, differs from it."""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")
    return (_git("describe", "--always") or "unknown") + ("-dirty" if changed else "")


def _git(*words: str) -> str:
    run = subprocess.run(["git", *words], cwd=_ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip()


def _peers() -> Iterable[str]:
    for folder, packages in _THEIRS.items():
        python = _ROOT / folder / "bin" / "python"
        if python.exists():
            code = "import sys; from importlib.metadata import version\n"
            code += "print(*(f'{name} {version(name)}' for name in sys.argv[1:]), sep=', ')"
            run = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
            yield run.stdout.strip()
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False, env=_PATH)
    if nginx.returncode == 0:
        yield nginx.stderr.strip().replace("nginx version: nginx/", "nginx ")


_PATH = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin"}
