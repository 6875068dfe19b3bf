"""Stream one answer.

    OPENAI_API_KEY=… RAGSTREAM_MODEL=… python examples/main.py

Any OpenAI-compatible server will do: set OPENAI_BASE_URL.
"""

import asyncio

from ragstream import LLMClient


async def main() -> None:
    client = LLMClient()
    messages = [{"role": "user", "content": "What is an async generator?"}]
    async for event in client.chat_completion(messages=messages, stream=True):
        print(event)
    print("done")


asyncio.run(main())
