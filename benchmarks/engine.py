"""What one step costs: the engine beside a bare loop of awaits, and beside LangGraph where it is installed.

Twenty steps that do nothing, microseconds per step, the best of several rounds. "The log call" is the line of
one step, logged twenty times with nothing around it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from ragstream.blueprint import Lane, State, bind, read_diagram, run, step
from ragstream.telemetry import Metrics, configure_logging, log_line

STEPS = 20
WALKS = 1000
ROUNDS = 5


def drawing() -> str:
    names = ["Begin", *(f"Step{n}" for n in range(1, STEPS - 1)), "Finish"]
    ends = {"Begin", "Finish"}
    shapes = [
        f'(["S{n:03} · {name}"])' if name in ends else f'["S{n:03} · {name}"]' for n, name in enumerate(names)
    ]
    first = [f"{a}{shape} --> {b}" for a, b, shape in zip(names, names[1:], shapes, strict=False)]
    nodes = [*first, f"{names[-1]}{shapes[-1]}", "end", f"class {','.join(names)} bench"]
    return "\n".join(["flowchart TD", 'subgraph lane["lane"]', *nodes])


def nothing(name: str) -> Callable[..., Awaitable[None]]:
    @step(name)
    async def do_nothing(state: State, kit: object) -> None:
        pass

    return do_nothing


def lane(metrics: Metrics | None = None) -> Lane:
    diagram = read_diagram(drawing())
    module = ModuleType("steps")
    for node in diagram.nodes:
        setattr(module, node.id, nothing(node.id))
    return bind(diagram, [module], metrics=metrics).lane("lane")


async def measure(walk: Callable[[], Awaitable[Any]]) -> float:
    """Return microseconds per step."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(WALKS):
            await walk()
        best = min(best, time.perf_counter() - began)
    return best / WALKS / STEPS * 1e6


async def bare() -> None:
    state = State(request_id="bench")
    functions = [nothing(f"Step{n}") for n in range(STEPS)]

    async def walk() -> None:
        for function in functions:
            await function(state, None)

    report("a bare loop of awaits", await measure(walk))


async def engine(words: str, lane: Lane) -> None:
    report(words, await measure(lambda: run(lane, State(request_id="bench"), None)))


async def log_call() -> None:
    logger = logging.getLogger("ragstream.steps")
    title = "RAG STEP 106 (RAG.platform.create.async.generator): Create async generator"

    async def walk() -> None:
        for _ in range(STEPS):
            attributes = {
                "step": 106,
                "request_id": "bench",
                "next_step": 107,
                "processing_stage": "completed",
            }
            log_line(logger, logging.INFO, title, attributes)

    report("the log call", await measure(walk))


async def langgraph() -> None:
    from typing import TypedDict

    from langgraph.graph import END, START, StateGraph

    class Nothing(TypedDict):
        value: int

    async def do_nothing(state: Nothing) -> dict[str, int]:  # noqa: ARG001
        return {}

    builder = StateGraph(Nothing)
    names = [f"step{n}" for n in range(STEPS)]
    for name in names:
        builder.add_node(name, do_nothing)
    for source, target in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(source, target)
    graph = builder.compile()
    report("LangGraph", await measure(lambda: graph.ainvoke({"value": 0}, {"recursion_limit": 100})))


def report(words: str, microseconds: float) -> None:
    print(f"{words:<42}{microseconds:8.2f} µs a step")


async def main() -> None:
    await bare()
    with open(os.devnull, "w") as sink:  # noqa: ASYNC230, PTH123
        configure_logging(level="warning", stream=sink)
        await engine("engine, logging off", lane())
        await engine("engine, logging off, with metrics", lane(Metrics()))
        for form in ("console", "json"):
            configure_logging(level="info", form=form, stream=sink)
            await engine(f"engine, logging {form}", lane())
            await log_call()
    if find_spec("langgraph"):
        await langgraph()


if __name__ == "__main__":
    asyncio.run(main())
