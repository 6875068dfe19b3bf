"""The applications that the documentation shows, run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
CHAT = "/assistant/api/v1/chatbot/chat"


@pytest.mark.parametrize(
    ("page", "expected"),
    [("README.md", "An answer is a log."), ("docs/how-to/mount-in-fastapi.md", "You asked: What is it? ")],
)
async def test_a_mounted_generator_answers(
    page: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    match = re.search(r"^```python\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert match
    example: dict[str, Any] = {}
    exec(compile(match.group(1), page, "exec"), example)  # noqa: S102 - the page's own code
    app = example["app"]
    question = {"messages": [{"role": "user", "content": "What is it?"}]}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        answer = (await client.post(CHAT, json=question)).raise_for_status().json()
    assert answer["message"]["content"] == expected
