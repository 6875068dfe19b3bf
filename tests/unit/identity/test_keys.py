"""Who asks: by key, or on a loopback address."""

from __future__ import annotations

import contextlib
import hmac

import pytest

from ragstream.errors import BadRequest, Unauthorized
from ragstream.identity import ApiKeys, Authenticator, Credentials, LocalMode

KEYS = ApiKeys([("ann", "ann-key"), ("ann", "ann-new-key"), ("bob", "bob:key=")])
LOCAL = LocalMode()


def credentials(*headers: str) -> Credentials:
    return Credentials(authorization=headers)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Bearer ann-key", "ann"),
        ("Bearer ann-new-key", "ann"),
        ("bearer bob:key=", "bob"),
        ("BEARER   bob:key= ", "bob"),
    ],
)
def test_a_key_says_who_asks(header: str, name: str) -> None:
    assert KEYS.authenticate(credentials(header)).name == name


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("",),
        ("Bearer",),
        ("Bearer ",),
        ("Bearer  \t ",),
        ("Bearer wrong",),
        ("Bearer ann-ke",),
        ("Bearer ann-keyy",),
        ("Bearer ANN-KEY",),
        ("Bearer ann-key bob:key=",),
        ("Bearer, ann-key",),
        ("Bearer\tann-key",),
        ("Basic YW5uOmFubi1rZXk=",),
        ("ann-key",),
        ("Bearer ann-key", "Bearer ann-key"),
        ("Bearer ann-key", "Bearer bob:key="),
        ("Bearer " + "x" * 100_000,),
        ("Bearer \udcff\0",),
    ],
    ids=lambda headers: repr(headers)[:40],
)
def test_everything_else_is_refused_in_the_same_words(
    headers: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Unauthorized) as caught:
        KEYS.authenticate(credentials(*headers))
    assert str(caught.value) == "This needs a valid key: send it as Authorization: Bearer <key>."
    assert caught.value.__cause__ is None
    assert "ann-key" not in caplog.text


@pytest.mark.parametrize("who", [KEYS, LOCAL], ids=["keys", "local"])
@pytest.mark.parametrize("name", ["access_token", "api_key", "API_KEY", "token", "key"])
def test_a_key_in_the_address_is_refused_even_if_it_is_valid(who: Authenticator, name: str) -> None:
    with pytest.raises(BadRequest, match="A key in the URL"):
        who.authenticate(Credentials(authorization=("Bearer ann-key",), query_keys=("after", name)))


def test_other_parameters_are_nobodys_business() -> None:
    given = Credentials(authorization=("Bearer ann-key",), query_keys=("after", "session_id"))
    assert KEYS.authenticate(given).name == "ann"


def test_every_key_is_compared_in_constant_time_whichever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    same = hmac.compare_digest

    def watch(given: bytes, known: bytes) -> bool:
        compared.append(known)
        return same(given, known)

    monkeypatch.setattr(hmac, "compare_digest", watch)
    for header in ("Bearer ann-key", "Bearer bob:key=", "Bearer none"):
        with contextlib.suppress(Unauthorized):
            KEYS.authenticate(credentials(header))
        assert len(compared) == 3
        compared.clear()


def test_no_key_is_kept() -> None:
    assert "ann-key" not in repr(vars(KEYS))


@pytest.mark.parametrize("headers", [(), ("Bearer whatever",), ("Basic x", "Bearer y")])
def test_local_mode_asks_for_nothing(headers: tuple[str, ...]) -> None:
    assert LOCAL.authenticate(credentials(*headers)).name == "local"


def test_each_says_whether_it_asks_for_a_key() -> None:
    assert KEYS.required
    assert not LOCAL.required
