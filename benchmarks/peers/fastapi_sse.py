"""FastAPI's own server-sent events over the openai SDK."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent
from openai import AsyncOpenAI
from pydantic import BaseModel

app = FastAPI()
client = AsyncOpenAI()


class Question(BaseModel):
    model: str
    messages: list[dict[str, Any]]


class Delta(BaseModel):
    content: str


@app.post("/chat", response_class=EventSourceResponse)
async def chat(question: Question) -> AsyncIterable[ServerSentEvent]:
    stream = await client.chat.completions.create(
        model=question.model, messages=question.messages, stream=True
    )
    number = 0
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            number += 1
            delta = Delta(content=chunk.choices[0].delta.content)
            yield ServerSentEvent(data=delta, event="text_delta", id=str(number))
    yield ServerSentEvent(data={}, event="done")
