"""The identity token that someone else put into a variable or a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from indexpass._http import HttpClient
from indexpass._identity_token import MAX_TOKEN_BYTES
from indexpass._model import IdentityToken, Surroundings
from indexpass._secret import Secret
from indexpass.errors import IdentityError
from indexpass.identity.generic import FILE_VARIABLE, VARIABLE, GenericSource

if TYPE_CHECKING:
    from pathlib import Path

AUDIENCE = "https://tokens.acme.example"
TOKEN = "eyJhbGciOiJub25lIn0.canary-c9d2.c2ln"


def prove(environ: dict[str, str]) -> IdentityToken | None:
    source = GenericSource()
    if source.examine(AUDIENCE, environ).source is None:
        return None
    return source.prove(AUDIENCE, Surroundings(environ, HttpClient(), lambda: 0.0))


def refuse(environ: dict[str, str]) -> IdentityError:
    with pytest.raises(IdentityError) as caught:
        prove(environ)
    return caught.value


@pytest.mark.parametrize("environ", [{}, {VARIABLE: ""}, {FILE_VARIABLE: ""}, {VARIABLE: "", FILE_VARIABLE: ""}])
def test_without_a_variable_it_does_not_apply(environ: dict[str, str]) -> None:
    assert prove(environ) is None


def test_a_token_in_the_variable_is_taken() -> None:
    assert prove({VARIABLE: TOKEN}) == IdentityToken(Secret(TOKEN), VARIABLE)


def test_a_token_in_the_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    assert prove({FILE_VARIABLE: str(tmp_path / "token")}) == IdentityToken(Secret(TOKEN), FILE_VARIABLE)


def test_the_variable_wins_over_the_file(tmp_path: Path) -> None:
    assert prove({VARIABLE: TOKEN, FILE_VARIABLE: str(tmp_path / "missing")}) == IdentityToken(Secret(TOKEN), VARIABLE)


def test_white_space_around_the_token_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"\n {TOKEN}\r\n")
    token = prove({FILE_VARIABLE: str(tmp_path / "token")})
    assert token is not None
    assert token.secret == Secret(TOKEN)


def test_the_file_is_read_each_time(tmp_path: Path) -> None:
    environ = {FILE_VARIABLE: str(tmp_path / "token")}
    (tmp_path / "token").write_text("a.b.c")
    prove(environ)
    (tmp_path / "token").write_text("d.e.f")
    assert prove(environ) == IdentityToken(Secret("d.e.f"), FILE_VARIABLE)


def test_a_symbolic_link_is_followed_because_kubernetes_renews_tokens_by_one(tmp_path: Path) -> None:
    (tmp_path / "..data").write_text(TOKEN)
    (tmp_path / "token").symlink_to("..data")
    assert prove({FILE_VARIABLE: str(tmp_path / "token")}) == IdentityToken(Secret(TOKEN), FILE_VARIABLE)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("canary-c9d2", id="one-part"),
        pytest.param("canary-c9d2.b", id="two-parts"),
        pytest.param("canary-c9d2.b.c.d.e", id="an-encrypted-token"),
        pytest.param("canary-c9d2.é.c", id="not-ascii"),
        pytest.param("canary-c9d2.\udcff.c", id="not-utf8"),
        pytest.param(f"canary-c9d2.{'b' * MAX_TOKEN_BYTES}.c", id="too-long"),
        pytest.param("   ", id="white-space"),
    ],
)
def test_what_is_no_token_is_refused_and_not_repeated(text: str) -> None:
    error = refuse({VARIABLE: text})
    assert VARIABLE in error.message
    assert AUDIENCE in error.hint
    assert "canary" not in f"{error!r} {error.hint}"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"canary-c9d2", id="no-token"),
        pytest.param(b"canary-c9d2.\xff.c", id="not-ascii"),
        pytest.param(b"canary-c9d2." + b"b" * 10**6 + b".c", id="too-long"),
    ],
)
def test_a_file_that_holds_no_token_is_refused_and_not_repeated(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "token").write_bytes(data)
    error = refuse({FILE_VARIABLE: str(tmp_path / "token")})
    assert str(tmp_path / "token") in error.message
    assert "canary" not in f"{error!r} {error.hint}"


@pytest.mark.parametrize("name", ["missing", "folder", "loop"])
def test_a_file_that_cannot_be_read_is_an_error_that_names_variable_and_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    error = refuse({FILE_VARIABLE: str(tmp_path / name)})
    assert str(tmp_path / name) in error.message
    assert FILE_VARIABLE in error.hint


@pytest.mark.timeout(30)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are those of POSIX")
def test_a_named_pipe_without_a_writer_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    assert "does not hold" in refuse({FILE_VARIABLE: str(tmp_path / "token")}).message


@pytest.mark.timeout(30)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are those of POSIX")
def test_a_named_pipe_whose_writer_is_silent_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    writer = os.open(tmp_path / "token", os.O_RDWR)
    try:
        assert "does not hold" in refuse({FILE_VARIABLE: str(tmp_path / "token")}).message
    finally:
        os.close(writer)
