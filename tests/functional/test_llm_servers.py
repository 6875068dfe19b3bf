"""The client against servers that nobody here wrote, on loopback: llama.cpp, aimock and LiteLLM's proxy."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ragstream.events import Answer, EventType, Options
from ragstream.llm import LLMClient, OpenAIProvider, RetryPolicy

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
START_SECONDS = 180.0  # LiteLLM imports half a gigabyte, and the machine may have other work
HELLO = "Hello from a server that nobody here wrote, 🙂."


async def collect(url: str, question: str, *, key: str = "k", **how: Any) -> Answer:
    """Return the answer of the server at ``url``, held against the grammar."""
    answer = Answer()
    client = LLMClient("m", api_key=key, base_url=url, policy=how.pop("policy", RetryPolicy(base_delay=0.01)))
    async with asyncio.timeout(SECONDS):
        async for event in client.chat_completion([{"role": "user", "content": question}], **how):
            answer.apply(event)
    assert answer.ending is not None
    return answer


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


# --- llama.cpp


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of llama.cpp's server with a model of 320 tokens that writes nonsense."""
    xllamacpp = pytest.importorskip("xllamacpp")
    path = tmp_path_factory.mktemp("llama") / "tiny.gguf"
    _write_model(path)
    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.n_ctx, settings.n_parallel, settings.port = 2048, 4, 0
    settings.warmup = settings.ui = False
    settings.cpuparams.n_threads = 1
    settings.verbosity = -1
    server = xllamacpp.Server(settings)
    yield f"{server.listening_address}/v1"
    del server


def _write_model(path: Path) -> None:
    """Write a Llama of one layer with random weights, and a vocabulary of bytes and a few words."""
    import gguf
    import numpy as np

    width, inner, kinds = 32, 64, gguf.TokenType
    words = [f"▁w{n}" for n in range(61)]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    types = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL] + [kinds.BYTE] * 256 + [kinds.NORMAL] * len(words)
    model = gguf.GGUFWriter(path, "llama")
    model.add_context_length(2048)
    model.add_embedding_length(width)
    model.add_block_count(1)
    model.add_feed_forward_length(inner)
    model.add_head_count(2)
    model.add_head_count_kv(2)
    model.add_layer_norm_rms_eps(1e-5)
    model.add_rope_dimension_count(width // 2)
    model.add_vocab_size(len(tokens))
    model.add_tokenizer_model("llama")
    model.add_token_list(tokens)
    model.add_token_scores([0.0] * len(tokens))
    model.add_token_types([int(kind) for kind in types])
    model.add_bos_token_id(1)
    model.add_eos_token_id(2)
    model.add_chat_template("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:")
    random = np.random.default_rng(7)
    shapes = {"token_embd": (len(tokens), width), "output": (len(tokens), width), "output_norm": (width,)}
    shapes |= {f"blk.0.attn_{part}": (width, width) for part in ("q", "k", "v", "output")}
    shapes |= {"blk.0.attn_norm": (width,), "blk.0.ffn_norm": (width,)}
    shapes |= {
        "blk.0.ffn_gate": (inner, width),
        "blk.0.ffn_up": (inner, width),
        "blk.0.ffn_down": (width, inner),
    }
    for name, shape in shapes.items():
        model.add_tensor(f"{name}.weight", (random.standard_normal(shape) * 0.3).astype(np.float32))
    model.write_header_to_file()
    model.write_kv_data_to_file()
    model.write_tensors_to_file()
    model.close()


async def test_llama_streams_with_usage(llama: str) -> None:
    answer = await collect(llama, "Hello?", options=Options(max_tokens=40, seed=1))
    assert (answer.finish_reason, answer.error) == ("length", None)
    assert answer.text
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 40


async def test_llama_streamed_and_whole_are_alike(llama: str) -> None:
    options = Options(max_tokens=20, seed=1, temperature=0)
    streamed = await collect(llama, "Hello?", options=options)
    client = LLMClient("m", base_url=llama)
    [event] = [e async for e in client.chat_completion(_ask("Hello?"), stream=False, options=options)]
    assert event.content == streamed.text


async def test_llama_says_what_it_finds_wrong(llama: str) -> None:
    answer = await collect(llama, "x " * 3000)
    assert answer.error is not None
    assert answer.error.code == "upstream_rejected"
    assert "context" in answer.error.message


async def test_llama_serves_many_at_once_and_lets_them_go(llama: str) -> None:
    client = LLMClient("m", base_url=llama)

    async def leave_early() -> None:
        events = client.chat_completion(_ask("Hello?"), options=Options(max_tokens=200))
        async for event in events:
            if event.text_delta:
                break
        await events.aclose()

    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(leave_early() for _ in range(20)))
    answer = await collect(llama, "Still there?", options=Options(max_tokens=5))
    assert answer.error is None


async def test_llama_lists_its_models(llama: str) -> None:
    assert len(await OpenAIProvider(base_url=llama).models()) == 1


def _ask(question: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question}]


# --- aimock

FIXTURES = [
    {"match": {"userMessage": "hello"}, "response": {"content": HELLO}},
    {
        "match": {"userMessage": "add"},
        "response": {"toolCalls": [{"name": "add", "arguments": '{"a":1,"b":2}'}]},
    },
    {"match": {"userMessage": "think"}, "response": {"content": "So.", "reasoning": "Let me think."}},
    {"match": {"userMessage": "busy"}, "response": {"error": {"message": "Slow down"}, "status": 429}},
    {
        "match": {"userMessage": "cut"},
        "response": {"content": "This answer will be cut off."},
        "chunkSize": 5,
        "latency": 20,
        "truncateAfterChunks": 3,
    },
]


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of aimock."""
    answers = tmp_path_factory.mktemp("aimock") / "answers.json"
    answers.write_text(json.dumps({"fixtures": FIXTURES}))
    port = _free_port()
    program = str(ROOT / "tests" / "interop" / "node_modules" / ".bin" / "llmock")
    command = [program, "-p", str(port), "-f", str(answers), "--log-level", "warn", "--strict"]
    yield from _running(command, f"http://127.0.0.1:{port}", "/health")


@pytest.mark.interop
async def test_aimock_streams(aimock: str) -> None:
    answer = await collect(aimock, "hello")
    assert (answer.text, answer.finish_reason) == (HELLO, "stop")
    assert answer.usage is not None


@pytest.mark.interop
async def test_aimock_calls_a_tool(aimock: str) -> None:
    answer = await collect(aimock, "add", tools=[add], run_tools=False)
    assert [(call.name, json.loads(call.arguments)) for call in answer.tool_calls] == [
        ("add", {"a": 1, "b": 2})
    ]
    assert answer.finish_reason == "tool_calls"


@pytest.mark.interop
async def test_aimock_reasons(aimock: str) -> None:
    answer = await collect(aimock, "think")
    assert (answer.reasoning, answer.text) == ("Let me think.", "So.")


@pytest.mark.interop
@pytest.mark.parametrize(
    ("question", "code"), [("busy", "upstream_rate_limited"), ("cut", "upstream_truncated")]
)
async def test_aimock_fails(aimock: str, question: str, code: str) -> None:
    answer = await collect(aimock, question, policy=RetryPolicy(max_attempts=1))
    assert answer.error is not None
    assert answer.error.code == code
    assert bool(answer.text) is (question == "cut")


# --- LiteLLM


@pytest.fixture
def litellm(upstream: Any, tmp_path: Path) -> Iterator[str]:
    """The address of LiteLLM's proxy, which passes everything on to the scripted upstream."""
    program = str(ROOT / ".venv-interop" / "bin" / "litellm")
    model = {"model": "openai/m", "api_base": upstream.url, "api_key": "k"}
    settings = {
        "model_list": [{"model_name": "m", "litellm_params": model}],
        "litellm_settings": {"num_retries": 0},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(settings))  # JSON is YAML
    port = _free_port()
    command = [program, "--config", str(tmp_path / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    os.environ["LITELLM_MASTER_KEY"] = "sk-test"
    yield from _running(command, f"http://127.0.0.1:{port}", "/health/liveliness")
    del os.environ["LITELLM_MASTER_KEY"]


@pytest.mark.interop
@pytest.mark.timeout(300)
async def test_litellm_passes_on(upstream: Any, litellm: str) -> None:
    upstream.say("Hello ", "🙂")
    answer = await collect(litellm, "?", key="sk-test")
    assert (answer.text, answer.finish_reason) == ("Hello 🙂", "stop")
    assert answer.usage is not None  # in a chunk with one choice
    denied = await collect(litellm, "?", key="sk-wrong-0123456789")
    assert denied.error is not None
    assert denied.error.code in {"upstream_auth", "upstream_rejected"}
    assert "sk-wrong-0123456789" not in denied.error.message
    upstream.answers = [
        [upstream.HEAD, upstream.chunk("Hel"), upstream.data({"error": {"message": "broken"}})]
    ]
    failed = await collect(litellm, "?", key="sk-test", policy=RetryPolicy(max_attempts=1))
    assert failed.ending is not None
    assert failed.ending.type is EventType.ERROR


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _running(command: list[str], url: str, health: str) -> Iterator[str]:
    """Run a server until the test is done with it."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_it_answers(process, url + health)
        yield f"{url}/v1"
    finally:
        process.terminate()
        process.wait(SECONDS)


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(url, timeout=5, trust_env=False)
        except httpx.TransportError:
            assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)
        else:
            return
