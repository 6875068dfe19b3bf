"""Your own pipeline, mounted in your own app, with resumable streams, stop, history and JSON around it.

Run it with ``uvicorn mount:app`` and ask:

    curl -N http://127.0.0.1:8000/ai/api/v1/chatbot/chat/stream -H 'Content-Type: application/json' \
        -d '{"messages": [{"role": "user", "content": "Count to three"}]}'
"""

from collections.abc import AsyncGenerator

from fastapi import FastAPI

from ragstream import ChatRequest, Ragstream


async def answer(request: ChatRequest) -> AsyncGenerator[str, None]:
    yield f"You said: {request.messages[-1].text}. "
    for word in ("One,", " two,", " three."):
        yield word


ragstream = Ragstream(answer)
app = FastAPI()
app.mount("/ai", ragstream.app)
