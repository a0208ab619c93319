"""One line an index and run about what we signed and an index refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from indexpass import _challenge
from indexpass._credential import Credential, Index
from indexpass._match import match
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.errors import ConfigError
from indexpass.poetry_plugin.refusals import Refusals

NOW = 1_800_000_000.0
CANARY = "canary-08bd"
CREDENTIAL = Credential("__token__", Secret(CANARY), NOW - 60, NOW + 3600)
INDEXES = tuple(
    Index(
        name,
        IndexUrl.parse(f"https://{name}.example/simple/"),
        upload_url=IndexUrl.parse(f"https://{name}.example/legacy/"),
        options={"broker": "https://tokens.example"},
    )
    for name in ("acme", "lab")
)


class Screen:
    """Remembers the lines that it was told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, message: str, hint: str) -> None:
        self.lines.append((message, hint))


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def refusals(screen: Screen) -> Refusals:
    return Refusals(lambda url: match(url, INDEXES), screen, lambda: NOW)


def response(status: int, url: str = "https://acme.example/simple/demo/", said: str = "") -> requests.Response:
    answer = requests.Response()
    answer.status_code = status
    answer.request = requests.Request("GET", url).prepare()
    if said:
        challenge = _challenge.bearer_challenge({"error": "invalid_token", "error_description": said})
        answer.headers["WWW-Authenticate"] = challenge
    return answer


def test_a_refusal_is_told_with_what_it_means_and_what_to_run(refusals: Refusals, screen: Screen) -> None:
    refusals.tell(response(401, said=_challenge.TOKEN_REVOKED), CREDENTIAL)
    assert screen.lines == [("the credential for https://acme.example/simple/ was revoked", "indexpass login acme")]


def test_an_index_is_told_of_once(refusals: Refusals, screen: Screen) -> None:
    refusals.tell(response(401), CREDENTIAL)
    refusals.tell(response(403), CREDENTIAL)
    assert len(screen.lines) == 1


def test_another_index_is_told_of_too(refusals: Refusals, screen: Screen) -> None:
    for name in ("acme", "lab"):
        refusals.tell(response(403, f"https://{name}.example/simple/"), CREDENTIAL)
    assert len(screen.lines) == 2


def test_many_threads_tell_of_an_index_once(refusals: Refusals, screen: Screen) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: refusals.tell(response(403), CREDENTIAL), range(100)))
    assert len(screen.lines) == 1


def test_what_is_uploaded_is_named_by_the_upload_url(refusals: Refusals, screen: Screen) -> None:
    refusals.tell(response(403, "https://acme.example/legacy/"), CREDENTIAL)
    assert "forbids uploading" in screen.lines[0][0]


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_an_answer_that_is_no_refusal_is_not_told_and_uses_up_nothing(
    refusals: Refusals, screen: Screen, status: int
) -> None:
    refusals.tell(response(status), CREDENTIAL)
    assert screen.lines == []
    refusals.tell(response(403), CREDENTIAL)
    assert len(screen.lines) == 1


def test_where_another_credential_is_ready_the_hint_is_to_run_it_again(refusals: Refusals, screen: Screen) -> None:
    refusals.tell(response(401, said=_challenge.TOKEN_EXPIRED), CREDENTIAL, has_another=True)
    assert screen.lines[0][1] == "run the command again: a new one is ready"


@pytest.mark.parametrize(
    ("said", "is_final"),
    [
        (_challenge.TOKEN_ELSEWHERE, True),
        (_challenge.URL_UNGUARDED, True),
        (_challenge.TOKEN_EXPIRED, False),
        (_challenge.TOKEN_REVOKED, False),
        (_challenge.TOKEN_UNKNOWN, False),
        ("", False),
    ],
    ids=["wrong audience", "no index", "expired", "revoked", "unknown", "no reason"],
)
def test_only_what_a_new_credential_would_not_mend_is_final(refusals: Refusals, said: str, *, is_final: bool) -> None:
    assert refusals.is_final(response(401, said=said), CREDENTIAL) is is_final


def test_a_url_of_no_index_has_no_words(refusals: Refusals, screen: Screen) -> None:
    refusals.tell(response(401, "https://elsewhere.example/"), CREDENTIAL)
    assert screen.lines == []


@pytest.mark.parametrize("error", [ConfigError("the file is wrong"), RuntimeError(CANARY)], ids=["ours", "unforeseen"])
def test_nothing_that_goes_wrong_here_reaches_poetry(
    screen: Screen, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def find(_: str) -> None:
        raise error

    caplog.set_level("DEBUG")
    Refusals(find, screen, lambda: NOW).tell(response(401), CREDENTIAL)
    assert screen.lines == []
    assert CANARY not in caplog.text
