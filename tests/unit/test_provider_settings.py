"""Several providers as one setting."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ragstream.bootstrap.models import require_model
from ragstream.bootstrap.wiring import desk, named_provider
from ragstream.errors import ConfigError, ProviderError
from ragstream.events import ImagePart, ImageURL, Message
from ragstream.llm import ChatRequest
from ragstream.settings import load

ONE = {"base_url": "http://127.0.0.1:9/v1/", "model": "a"}
PRICED = ONE | {"input_price": 1, "output_price": 2.5}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().startswith(("RAGSTREAM_", "OPENAI_")):
            monkeypatch.delenv(name)


def give(monkeypatch: pytest.MonkeyPatch, *entries: Any, **variables: str) -> None:
    monkeypatch.setenv("RAGSTREAM_PROVIDERS", json.dumps(entries))
    for name, value in variables.items():
        monkeypatch.setenv(f"RAGSTREAM_{name}", value)


def test_providers_are_read_in_order_and_keys_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    second = PRICED | {"name": "spare", "api_key": "canary", "cached_price": 0.5}
    give(monkeypatch, ONE, second, BUDGET="0.25", AFTER_DELTA="Replace")
    settings = load()
    first, spare = settings.providers
    assert (first.title, first.base_url, first.model) == ("127.0.0.1:9", "http://127.0.0.1:9/v1", "a")
    assert (spare.title, spare.input_price, spare.output_price, spare.cached_price) == ("spare", 1, 2.5, 0.5)
    assert spare.api_key
    assert spare.api_key.get_secret_value() == "canary"
    assert (settings.budget, settings.after_delta, settings.has_model) == (0.25, "replace", True)
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(
    ("entries", "fix"),
    [
        ([{"model": "a", "api_key": "canary"}], "entry 1, base_url: Field required; give a JSON list"),
        ([ONE, {"base_url": "http://h"}], "entry 2, model: Field required"),
        ([ONE | {"model": ""}], "entry 1, model: "),
        ([ONE | {"base_url": "localhost"}], "entry 1, base_url: 'localhost' is not a URL"),
        ([ONE | {"base_url": ""}], "entry 1, base_url: it is empty"),
        ([ONE | {"api_key": "canary\n"}], "entry 1, api_key: the key has characters"),
        ([ONE | {"api_key": ["canary"]}], "entry 1, api_key: "),
        ([ONE | {"api_key": "canary", "api_key_env": "K"}], "entry 1: it has both api_key and api_key_env"),
        ([ONE | {"takes": ["sounds"]}], "entry 1, takes: "),
        ([ONE | {"input_price": 1}], "entry 1: of input_price and output_price, it has only one"),
        ([ONE | {"cached_price": 1}], "entry 1: it has a cached_price without an input_price"),
        ([PRICED | {"input_price": -1}], "entry 1, input_price: "),
        ([ONE | {"modle": "canary"}], "entry 1, modle: Extra inputs are not permitted"),
        ([ONE | {"name": "a name"}], "entry 1, name: "),
        ([ONE, ONE], "2 of them are called 127.0.0.1:9: give each a name"),
        (["canary"], "entry 1 is not an object"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_entry_is_one_line_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, entries: list[Any], fix: str
) -> None:
    give(monkeypatch, *entries)
    with pytest.raises(ConfigError) as caught:
        load()
    line = str(caught.value)
    assert line.startswith("RAGSTREAM_PROVIDERS (environment): ")
    assert fix in line
    assert line.splitlines() == [line]
    assert "canary" not in line


@pytest.mark.parametrize("text", ["[", '{"api_key": "canary"}', '["canary'])
def test_what_is_no_list_is_not_repeated(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("RAGSTREAM_PROVIDERS", text)
    with pytest.raises(ConfigError, match="the JSON ") as caught:
        load()
    assert "canary" not in str(caught.value)


def test_nothing_is_no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("", " ", "[]"):
        monkeypatch.setenv("RAGSTREAM_PROVIDERS", text)
        assert not load().has_model


@pytest.mark.parametrize(
    ("variables", "fix"),
    [
        ({"MODEL": "b"}, "Of RAGSTREAM_MODEL and RAGSTREAM_PROVIDERS, set only one"),
        ({"BUDGET": "1"}, "RAGSTREAM_BUDGET needs prices"),
        ({"BUDGET": "0"}, "give a number above 0"),
        ({"AFTER_DELTA": "retry"}, "give fail, continue or replace"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], fix: str
) -> None:
    give(monkeypatch, ONE, **variables)
    with pytest.raises(ConfigError, match=fix):
        load()


def test_a_key_may_stand_in_another_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, ONE | {"api_key_env": "SOMEBODYS_KEY"})
    with pytest.raises(ConfigError, match=r"127.0.0.1:9 takes its key from SOMEBODYS_KEY: set that"):
        desk(load())
    Path(".env").write_text("SOMEBODYS_KEY=canary\n")
    desk(load())


def test_a_key_of_openai_without_a_model_is_no_fault_where_providers_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give(monkeypatch, ONE)
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    require_model(load())


async def test_what_a_provider_takes_is_known_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, ONE | {"takes": ["tools"]})
    [one] = load().providers
    asked = Message(role="user", content=(ImagePart(ImageURL("https://example.org/a.png")),))
    with pytest.raises(ProviderError, match="cannot take images"):
        await anext(named_provider(one, 1.0).attempt(ChatRequest(messages=(asked,))))
