"""kill -9, wherever it strikes while an answer closes: readers, log and history agree afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.trial import Said, Trial

HERE = Path(__file__).parent
STATUS = {"complete": "message_complete", "interrupted": "interrupted"}


def rounds(folder: Path, most: int) -> list[dict[str, Any]]:
    command = [sys.executable, str(HERE / "closing_steps.py"), str(folder), str(most)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n") if line]


@pytest.mark.trial("T05", "kill -9 in every pass of the loop while an answer closes")
def test_killed_in_every_pass_of_the_closing_steps(tmp_path: Path, trial: Trial) -> None:
    told = rounds(tmp_path, 300)
    assert told[-1]["code"] == 0, "the last pass was not reached"
    assert len(told) > 5
    for result in told:
        check(result, trial)
    endings = {json.loads(result["logged"][-1][1])["type"] for result in told}
    assert endings == {"interrupted", "message_complete"}, "it should matter when the process dies"


def check(result: dict[str, Any], trial: Trial) -> None:
    n, sent, logged, stored = (result[name] for name in ("n", "sent", "logged", "stored"))
    assert [seq for seq, _ in logged] == list(range(1, len(logged) + 1)), n
    events = [json.loads(data) for _, data in logged]
    log = [Said(seq, event["type"], data.encode()) for (seq, data), event in zip(logged, events, strict=True)]
    had = [Said(seq, json.loads(data)["type"], data.encode()) for seq, data in sent]
    trial.case(had + log[len(had) :], log, f"{n}: what a reader was sent is not in the log")
    assert STATUS[stored["status"]] == log[-1].type, f"{n}: log and history disagree"
    deltas = [event["text_delta"]["content"] for event in events if event["type"] == "text_delta"]
    assert stored["text"] == "".join(deltas), n
