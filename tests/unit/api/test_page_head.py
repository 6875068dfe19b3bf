"""The page answers whoever only asks whether it is there."""

from __future__ import annotations

from pathlib import Path

import httpx
from fastapi import FastAPI

from ragstream.api import page


async def test_head_says_what_get_would(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>Hello")
    app = FastAPI()
    page.install(app, tmp_path)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        got, head = await client.get("/"), await client.head("/")
    assert (got.status_code, head.status_code, head.content) == (200, 200, b"")
    assert head.headers["content-security-policy"] == got.headers["content-security-policy"]
