"""What one writes by hand: FastAPI, the openai SDK, sse-starlette. Nothing is logged, resumed or stopped."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import FastAPI
from openai import AsyncOpenAI
from pydantic import BaseModel
from sse_starlette import EventSourceResponse

app = FastAPI()
client = AsyncOpenAI()


class Question(BaseModel):
    model: str
    messages: list[dict[str, Any]]


async def answer(question: Question) -> AsyncGenerator[dict[str, str], None]:
    stream = await client.chat.completions.create(
        model=question.model, messages=question.messages, stream=True
    )
    number = 0
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            number += 1
            yield {
                "id": str(number),
                "event": "text_delta",
                "data": json.dumps({"content": chunk.choices[0].delta.content}),
            }
    yield {"event": "done", "data": "{}"}


@app.post("/chat")
async def chat(question: Question) -> EventSourceResponse:
    return EventSourceResponse(answer(question))
