"""Every refusal of an index in words of its own, and none where nothing was refused."""

from __future__ import annotations

from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexpass import _challenge
from indexpass._credential import Credential, Index
from indexpass._diagnose import CODES, explain
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.errors import IndexRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._credential import Operation

PAGE = Path(__file__).resolve().parents[2] / "plugin-docs/explanation/when-things-fail.md"
NOW = 1_800_000_000.0
CANARY = "canary-5d0e"
URL = "https://packages.acme.example/simple/"
LAB = "https://packages.acme.example/lab/simple/"
BROKER = "https://tokens.acme.example"
INDEX = Index("acme", IndexUrl.parse(URL), options={"broker": BROKER})
AWS = Index(
    "aws",
    IndexUrl.parse("https://acme-123456789012.d.codeartifact.eu-west-1.amazonaws.com/pypi/main/simple/"),
    provider="codeartifact",
)
KEPT = Index("acme", IndexUrl.parse(URL), provider="static")
IN_A_FILE = KEPT._replace(options={"key-file": "/run/secrets/acme"})
FRESH = Credential("__token__", Secret(CANARY), NOW - 600, NOW + 3000)
EXPIRED = FRESH._replace(issued_at=NOW - 3700, expires_at=NOW - 100)
BASIC = 'Basic realm="indexpass", charset="UTF-8"'


def challenge(**parameters: str) -> str:
    return f"{BASIC}, {_challenge.bearer_challenge(parameters)}"


def fault(description: str, **more: str) -> dict[str, str]:
    return {"WWW-Authenticate": challenge(error="invalid_token", error_description=description, **more)}


def date(seconds: float) -> dict[str, str]:
    return {"Date": formatdate(seconds, usegmt=True)}


def refused(  # noqa: PLR0913  # as explain
    status: int,
    headers: Mapping[str, str] | None = None,
    *,
    index: Index = INDEX,
    credential: Credential = FRESH,
    operation: Operation = "read",
    is_own_page: bool = False,
) -> IndexRefused:
    """Explain an answer that is a refusal."""
    error = explain(
        index,
        credential,
        status=status,
        headers=headers or {},
        now=NOW,
        operation=operation,
        is_own_page=is_own_page,
    )
    assert error is not None
    return error


EXPLAINED = {
    "expired by both clocks": (
        refused(401, fault(_challenge.TOKEN_EXPIRED), credential=EXPIRED),
        "token-expired",
        f"the credential for {URL} has expired",
        "run the command again: it gets a new one",
    ),
    "expired by the server's clock only": (
        refused(401, {**fault(_challenge.TOKEN_EXPIRED), **date(NOW + 3600)}),
        "clock-skew",
        f"{URL} counts the credential as expired: this machine's clock is 60 minutes behind",
        "set the clock, then run the command again",
    ),
    "expired, but the clocks agree": (
        refused(401, {**fault(_challenge.TOKEN_EXPIRED), **date(NOW + 59)}),
        "token-expired",
        f"{URL} counts the credential as expired before its time",
        f"compare this machine's clock, and ask who runs {BROKER} to compare its own with the index's",
    ),
    "revoked": (
        refused(401, fault(_challenge.TOKEN_REVOKED)),
        "token-revoked",
        f"the credential for {URL} was revoked",
        "indexpass login acme",
    ),
    "of another broker": (
        refused(401, fault(_challenge.TOKEN_UNKNOWN)),
        "token-unknown",
        f"{URL} does not know the credentials of {BROKER}",
        f"find out which broker guards it: indexpass add {URL}",
    ),
    "for another index, on this host": (
        refused(401, fault(_challenge.TOKEN_ELSEWHERE, resource=LAB)),
        "wrong-audience",
        f"{BROKER} issued the credential for {URL}, but the index there expects one for {LAB}",
        f"use the index by that URL: indexpass add {LAB}",
    ),
    "for another index, unnamed": (
        refused(401, fault(_challenge.TOKEN_ELSEWHERE)),
        "wrong-audience",
        f"{BROKER} issued the credential for {URL}, but the index there is another one",
        f"ask who runs {BROKER} by which URL it guards that index",
    ),
    "at a URL without an index": (
        refused(401, fault(_challenge.URL_UNGUARDED)),
        "index-unguarded",
        f"the broker behind {URL} guards no index at that URL",
        f"ask who runs {BROKER} for an index with the url {URL}",
    ),
    "without a reason": (
        refused(401, {"WWW-Authenticate": BASIC}),
        "index-refused",
        f"{URL} refuses the credential from {BROKER}, and does not say why",
        f"ask who runs {INDEX.url.origin} whether it takes them, and see what you hold: indexpass status acme",
    ),
    "without a reason, and the clock is wrong": (
        refused(401, date(NOW - 7 * 60)),
        "clock-skew",
        f"{URL} refuses the credential, does not say why, and this machine's clock is 7 minutes ahead",
        "set the clock, then run the command again",
    ),
    "a key that was typed": (
        refused(401, index=KEPT),
        "key-refused",
        f"{URL} does not take the key that is kept for it",
        "make a new one at the platform, and run indexpass login acme",
    ),
    "a key in a file, and the clock is wrong": (
        refused(401, date(NOW - 7 * 60), index=IN_A_FILE),
        "key-refused",
        f"{URL} does not take the key that is kept for it",
        "make a new one at the platform, and put it into /run/secrets/acme",
    ),
    "a key that may not upload": (
        refused(403, index=KEPT, operation="upload"),
        "not-allowed",
        f"{URL} forbids uploading with the key that is kept for it",
        "at the platform, give the key, or whom it belongs to, the right for that",
    ),
    "reading is not allowed": (
        refused(403),
        "not-allowed",
        f"{URL} forbids reading with the credential from {BROKER}",
        f"ask who runs {BROKER} for a policy that allows read on {URL}",
    ),
    "uploading is not allowed": (
        refused(403, {"WWW-Authenticate": challenge(error="insufficient_scope")}, operation="upload"),
        "not-allowed",
        f"{URL} takes the credential, but it is not one for uploading",
        f"ask who runs {BROKER} for a policy that allows upload on {URL}",
    ),
    "another project": (
        refused(
            403,
            {
                "WWW-Authenticate": challenge(
                    error="insufficient_scope", error_description=_challenge.TOKEN_OTHER_PROJECTS
                )
            },
        ),
        "not-allowed",
        f"{URL} takes the credential, but for other projects only",
        f"ask who runs {BROKER} for a policy that allows read on {URL} for this project",
    ),
    "its own page is missing": (
        refused(404, is_own_page=True),
        "index-not-found",
        f"{URL} answers 404 for its own page",
        "correct the index's url, or ask who runs https://packages.acme.example whether it hides from you",
    ),
    "a proxy": (
        refused(407),
        "proxy-sign-in",
        f"a proxy on the way to {URL} asks for a password of its own",
        "put it into HTTPS_PROXY, or packages.acme.example into NO_PROXY",
    ),
}


@pytest.mark.parametrize("case", EXPLAINED.values(), ids=EXPLAINED)
def test_each_refusal_has_its_code_its_message_and_its_hint(case: tuple[IndexRefused, str, str, str]) -> None:
    error, *expected = case
    assert [error.code, error.message, error.hint] == expected


def test_every_code_is_one_of_the_list_and_every_one_of_the_list_occurs() -> None:
    assert {code for _, code, _, _ in EXPLAINED.values()} == {*CODES, IndexRefused.code}


@pytest.mark.parametrize("case", EXPLAINED.values(), ids=EXPLAINED)
def test_each_line_stands_with_its_code_in_the_page_for_people(case: tuple[IndexRefused, str, str, str]) -> None:
    error = case[0]
    assert f"| `{error.code}` | `{error.message} → {error.hint}` |" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("status", [200, 204, 302, 304, 400, 405, 410, 429, 500, 503])
def test_what_is_no_refusal_has_no_words(status: int) -> None:
    assert explain(INDEX, FRESH, status=status, headers=fault(_challenge.TOKEN_REVOKED), now=NOW) is None


# 404: a missing package is the most ordinary thing there is


@pytest.mark.parametrize("index", [INDEX, AWS], ids=["any index", "one that hides"])
@pytest.mark.parametrize("headers", [{}, date(NOW), date(NOW - 86_400)], ids=["no date", "same time", "ahead"])
def test_a_missing_package_has_no_words(index: Index, headers: Mapping[str, str]) -> None:
    assert explain(index, FRESH, status=404, headers=headers, now=NOW) is None


def test_an_expired_credential_does_not_explain_a_missing_package_where_nothing_hides() -> None:
    assert explain(INDEX, EXPIRED, status=404, headers=date(NOW), now=NOW) is None


def test_an_index_that_hides_answers_404_to_a_credential_that_has_expired_there() -> None:
    assert refused(404, date(NOW), index=AWS, credential=EXPIRED).code == "token-expired"
    assert refused(404, date(NOW + 7200), index=AWS).code == "clock-skew"


def test_an_index_that_lists_nothing_may_answer_404_for_its_own_page() -> None:
    assert "answers 404, as it does to credentials" in refused(404, index=AWS, is_own_page=True).message


@pytest.mark.parametrize(
    "host",
    [
        "codeartifact.example",
        "acme-123456789012.d.codeartifact.eu-west-1.amazonaws.com.evil.example",
        "evilamazonaws.com",
        "a.acme-123456789012.d.codeartifact.eu-west-1.amazonaws.com",
    ],
)
def test_a_host_that_only_looks_like_one_that_hides_is_not(host: str) -> None:
    index = AWS._replace(url=IndexUrl.parse(f"https://{host}/simple/"))
    assert explain(index, EXPIRED, status=404, headers=date(NOW), now=NOW) is None


# The clock


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (60, "1 minute behind"),
        (-60, "1 minute ahead"),
        (7 * 60 + 20, "7 minutes behind"),
        (119 * 60, "119 minutes behind"),
        (120 * 60, "2 hours behind"),
        (47 * 3600, "47 hours behind"),
        (48 * 3600, "2 days behind"),
        (-400 * 86_400, "400 days ahead"),
    ],
)
def test_how_wrong_the_clock_is_is_said_in_words(seconds: float, words: str) -> None:
    assert refused(401, date(NOW + seconds)).message.endswith(f"this machine's clock is {words}")


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "Wed, 99 Foo 2026 25:61:61 GMT", "9" * 400],
    ids=["empty", "a word", "no such day", "digits"],
)
def test_a_date_that_cannot_be_read_says_nothing_about_the_clock(text: str) -> None:
    assert refused(401, {"Date": text}).code == "index-refused"


# What a server writes


@pytest.mark.parametrize(
    "resource",
    [
        "https://evil.example/simple/",
        "https://packages.acme.example:8443/simple/",
        "http://packages.acme.example/simple/",
        URL,
        "no URL",
        "",
    ],
    ids=["another host", "another port", "another scheme", "the same", "no URL", "nothing"],
)
def test_a_server_cannot_send_people_elsewhere(resource: str) -> None:
    error = refused(401, fault(_challenge.TOKEN_ELSEWHERE, resource=resource))
    assert error.message.endswith("but the index there is another one")
    assert "evil" not in error.hint


def test_the_broker_s_own_host_may_be_named() -> None:
    assert f"{BROKER}/simple/" in refused(401, fault(_challenge.TOKEN_ELSEWHERE, resource=f"{BROKER}/simple/")).hint


def test_a_reason_that_we_do_not_know_is_no_reason() -> None:
    assert refused(401, fault("the token has expired.")).code == "index-refused"


def test_header_names_are_read_in_any_case() -> None:
    headers = {name.lower(): value for name, value in fault(_challenge.TOKEN_REVOKED).items()}
    assert refused(401, headers).code == "token-revoked"


@given(
    status=st.sampled_from([401, 403, 404, 407]),
    header=st.text() | st.text().map(lambda text: f"Bearer {text}"),
    day=st.text(),
    description=st.text(),
)
def test_nothing_that_a_server_writes_reaches_the_words_or_breaks_them(
    status: int, header: str, day: str, description: str
) -> None:
    plain = refused(status, is_own_page=True)
    for written in (header, challenge(error="invalid_token", error_description=f"{CANARY}{description}")):
        error = refused(status, {"WWW-Authenticate": written, "Date": day}, is_own_page=True)
        assert error.message == plain.message or "clock is" in error.message or error.code == "not-allowed"
        assert error.message.isprintable()
        assert CANARY not in f"{error} {error.hint}"


# Reading the challenge


@pytest.mark.parametrize(
    ("header", "parameters"),
    [
        ('Bearer error="invalid_token"', {"error": "invalid_token"}),
        ('Basic realm="a", Bearer error="b", scope="c d"', {"error": "b", "scope": "c d"}),
        ('Bearer error="b", Basic realm="a"', {"error": "b"}),
        ("bearer error=b", {"error": "b"}),
        ('Bearer Error = "b"', {"error": "b"}),
        (r'Bearer error="b\"c", d="e"', {"error": r"b\"c", "d": "e"}),
        ('Bearer error="b", error="c"', {"error": "b"}),
        ('Basic realm="Bearer error=b"', {}),
        ("Negotiate YWJj==, Bearer error=b", {"error": "b"}),
        ('Bearer error="b', {"error": ""}),
        ("", {}),
        ("Bearer error=b" + " " * 5000, {}),
    ],
    ids=[
        "alone",
        "after Basic",
        "before Basic",
        "without quotes",
        "with spaces",
        "an escaped quote",
        "twice",
        "inside another's value",
        "after a token68",
        "not closed",
        "empty",
        "too long",
    ],
)
def test_the_bearer_challenge_is_found_among_others(header: str, parameters: dict[str, str]) -> None:
    assert _challenge.bearer_parameters(header) == parameters


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,20}", fullmatch=True), st.text(" !#[]^~azAZ09,=/:").map(str.strip)))
def test_what_the_broker_builds_the_client_reads(parameters: dict[str, str]) -> None:
    assert _challenge.bearer_parameters(f"{BASIC}, {_challenge.bearer_challenge(parameters)}") == parameters
