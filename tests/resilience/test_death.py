"""kill -9, wherever it strikes while an answer closes: readers, log and history agree afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TERMINAL = {"message_complete", "failed", "cancelled", "interrupted"}
STATUS = {"complete": "message_complete", "interrupted": "interrupted"}


def rounds(folder: Path, most: int) -> list[dict[str, Any]]:
    command = [sys.executable, str(HERE / "closing_steps.py"), str(folder), str(most)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def test_killed_in_every_pass_of_the_closing_steps(tmp_path: Path) -> None:
    told = rounds(tmp_path, 300)
    assert told[-1]["code"] == 0, "the last pass was not reached"
    assert len(told) > 5
    for result in told:
        check(result)
    endings = {json.loads(result["logged"][-1][1])["type"] for result in told}
    assert endings == {"interrupted", "message_complete"}, "it should matter when the process dies"


def check(result: dict[str, Any]) -> None:
    n, sent, logged, stored = (result[name] for name in ("n", "sent", "logged", "stored"))
    assert [seq for seq, _ in logged] == list(range(1, len(logged) + 1)), n
    assert logged[: len(sent)] == sent, f"{n}: what a reader was sent is not in the log"
    events = [json.loads(data) for _, data in logged]
    types = [event["type"] for event in events]
    assert [name for name in types if name in TERMINAL] == types[-1:], n
    assert STATUS[stored["status"]] == types[-1], f"{n}: log and history disagree"
    text = "".join(
        json.loads(data)["text_delta"]["content"]
        for (_, data), name in zip(logged, types, strict=True)
        if name == "text_delta"
    )
    assert stored["text"] == text, n
