"""Ask with LangChain's ChatOpenAI, in its environment: BASE [[INTERFACE, CALL, QUESTION], ...]."""

import json
import sys
from typing import Any

import openai
from langchain_openai import ChatOpenAI  # type: ignore[import-not-found]

base, calls = sys.argv[1:]
settings = {"base_url": f"{base}/v1", "api_key": "unused", "model": "ragstream", "max_retries": 0}
models = {  # LangChain can speak to either of OpenAI's interfaces
    "chat": ChatOpenAI(**settings, stream_usage=True),
    "responses": ChatOpenAI(**settings, use_responses_api=True),
}


def ask(interface: str, call: str, question: str) -> dict[str, Any]:
    """Return what the call gave, or the code of the error that it raised."""
    said: dict[str, Any] = {"text": "", "cited": []}
    model = models[interface]
    try:
        for message in model.stream(question) if call == "stream" else [model.invoke(question)]:
            said["text"] += message.text
            said["cited"] += [one for block in message.content_blocks for one in block.get("annotations", [])]
            said["usage"] = message.usage_metadata or said.get("usage")
            said["finish_reason"] = message.response_metadata.get("finish_reason") or said.get(
                "finish_reason"
            )
    except openai.APIError as error:
        said["error"] = error.code
    return said


sys.stdout.write(json.dumps([ask(*call) for call in json.loads(calls)]))
