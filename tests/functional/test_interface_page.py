"""The page at ``/docs`` works where there is no way out."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from ragstream import Ragstream


async def nothing(_: Any) -> AsyncGenerator[str, None]:
    yield "Nothing."


@pytest.mark.parametrize("prefix", ["", "/rag"])
async def test_it_loads_nothing_from_elsewhere(prefix: str) -> None:
    app = FastAPI(docs_url=None)
    app.mount(prefix, Ragstream(nothing).app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        page = (await client.get(f"{prefix}/docs")).text
        addresses = re.findall(r"""(?:src=|href=|url: )["'](.+?)["']""", page)
        assert len(addresses) == 4  # style, icon, script, document
        for address in addresses:
            assert (await client.get(address)).status_code == 200, address
    assert "//" not in " ".join(addresses)
