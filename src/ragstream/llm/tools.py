"""Python functions as tools: their schema from their type hints, their calls bounded in time and size."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_type_hints

import pydantic
import pydantic_core

from ragstream.errors import ConfigError
from ragstream.events import ToolCall, ToolResult
from ragstream.llm.base import ToolSpec

__all__ = ["Tool", "ToolLike", "Toolbox"]

_CUT = "… (cut)"


class Tool:
    """A function that the model may call; plain functions run in a thread.

    Its name and docstring are what the model reads; ``Annotated[str, Field(description=…)]`` describes an
    argument.

    Raises:
        ConfigError: an argument has no type hint, or one that JSON cannot fill.
    """

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        self.function = function
        self.name = name or str(getattr(function, "__name__", "tool"))
        self._arguments = _arguments(function, self.name)
        schema = self._arguments.model_json_schema()
        schema.pop("title", None)
        self.spec = ToolSpec(name=self.name, description=inspect.getdoc(function) or "", parameters=schema)

    async def call(self, arguments: str) -> Any:
        """Call the function with the JSON that the model wrote.

        Raises:
            pydantic.ValidationError: it is not JSON, or not what the function takes.
        """
        given = self._arguments.model_validate_json(arguments or "{}")
        names = inspect.signature(self.function).parameters
        values = dict(zip(names, (value for _, value in given), strict=True))
        if inspect.iscoroutinefunction(self.function):
            return await self.function(**values)
        value = await asyncio.to_thread(self.function, **values)
        return await value if inspect.isawaitable(value) else value


ToolLike = Tool | ToolSpec | Callable[..., Any]


class Toolbox:
    """The tools of one call. A ``ToolSpec`` has no function: calls of it are always handed over."""

    def __init__(self, tools: Iterable[ToolLike], *, timeout: float = 30.0, result_cap: int = 32_768) -> None:
        made = [tool if isinstance(tool, Tool | ToolSpec) else Tool(tool) for tool in tools]
        self.specs = tuple(tool.spec if isinstance(tool, Tool) else tool for tool in made)
        self._tools: Mapping[str, Tool] = {tool.name: tool for tool in made if isinstance(tool, Tool)}
        self._timeout = timeout
        self._cap = result_cap
        if len({spec.name for spec in self.specs}) < len(self.specs):
            raise ConfigError("Two tools have the same name: rename one")

    def runs(self, calls: Sequence[ToolCall]) -> bool:
        """Whether none of the calls is of a tool that only the caller can run."""
        handed_over = {spec.name for spec in self.specs} - self._tools.keys()
        return not any(call.name in handed_over for call in calls)

    async def run(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """Run the calls side by side and return their results in order; a failure is a result, too."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._run(call)) for call in calls]
        return [task.result() for task in tasks]

    async def _run(self, call: ToolCall) -> ToolResult:
        tool = self._tools.get(call.name)
        if tool is None:
            return self._result(call, f"There is no tool {call.name!r}.", is_error=True)
        try:
            async with asyncio.timeout(self._timeout):
                value = await tool.call(call.arguments)
            return self._result(call, value if isinstance(value, str) else _as_json(value))
        except TimeoutError:
            return self._result(call, f"{call.name} took longer than {self._timeout:g} s.", is_error=True)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._result(call, f"{call.name} was cancelled.", is_error=True)  # by its own doing
        except pydantic.ValidationError as error:
            problems = "; ".join(f"{_path(problem)}{problem['msg']}" for problem in error.errors())
            return self._result(call, f"Wrong arguments: {problems}", is_error=True)
        except Exception as error:  # noqa: BLE001 - somebody else's code: the model is told, and may try again
            return self._result(call, f"{type(error).__name__}: {error}", is_error=True)

    def _result(self, call: ToolCall, text: str, *, is_error: bool = False) -> ToolResult:
        if len(text) > self._cap:
            text = text[: self._cap - len(_CUT)] + _CUT
        return ToolResult(id=call.id, name=call.name, result=text, is_error=is_error)


def _arguments(function: Callable[..., Any], name: str) -> type[pydantic.BaseModel]:
    """Make the model of a function's arguments."""
    try:
        hints = get_type_hints(function, include_extras=True)
        fields: dict[
            str, Any
        ] = {}  # not by the arguments' own names, which may be those of a model's methods
        parameters = inspect.signature(function).parameters
        names = {f"argument_{place}": parameter for place, parameter in enumerate(parameters)}
        for field, parameter in zip(names, parameters.values(), strict=True):
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise ConfigError(f"Tool {name}: {parameter} cannot be filled by name")
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[field] = (hints[parameter.name], default)
        config = pydantic.ConfigDict(extra="forbid", alias_generator=names.__getitem__)
        return pydantic.create_model(name, __config__=config, **fields)
    except KeyError as error:
        raise ConfigError(f"Tool {name}: argument {error} needs a type hint") from error
    except (pydantic.errors.PydanticUserError, pydantic_core.SchemaError, NameError, TypeError) as error:
        raise ConfigError(f"Tool {name}: {error}") from error


def _as_json(value: object) -> str:
    return pydantic_core.to_json(value, fallback=str).decode()


def _path(problem: Any) -> str:
    return "".join(f"{part}: " for part in problem["loc"][:1])
