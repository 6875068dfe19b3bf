"""Ask with LangChain's ChatOpenAI, in the environment that has it: BASE [[CALL, QUESTION], ...]."""

import json
import sys
from typing import Any

import openai
from langchain_openai import ChatOpenAI  # type: ignore[import-not-found]

base, calls = sys.argv[1:]
model = ChatOpenAI(
    base_url=f"{base}/v1", api_key="unused", model="ragstream", max_retries=0, stream_usage=True
)


def ask(call: str, question: str) -> dict[str, Any]:
    """Return what the call gave, or the code of the error that it raised."""
    said: dict[str, Any] = {"text": ""}
    try:
        for message in model.stream(question) if call == "stream" else [model.invoke(question)]:
            said["text"] += message.content
            said["usage"] = message.usage_metadata or said.get("usage")
            said["finish_reason"] = message.response_metadata.get("finish_reason") or said.get(
                "finish_reason"
            )
    except openai.APIError as error:
        said["error"] = error.code
    return said


sys.stdout.write(json.dumps([ask(*call) for call in json.loads(calls)]))
