from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexpass import _challenge
from indexpass._secret import Secret
from indexpass.broker.guarding.check import Checker, Facts, Verdict
from indexpass.broker.guarding.projects import Target
from indexpass.broker.guarding.proxy import ProxyReader
from indexpass.broker.settings.file import parse
from indexpass.broker.state import revocations, sessions
from indexpass.broker.state.revocations import Revocations

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass._model import Operation
    from indexpass.broker.keys import Keys
    from indexpass.broker.state.store import Store

NOW = 1_800_000_000.0
SETTINGS = parse(
    """
issuer = "https://tokens.acme.example"
[[index]]
name = "acme"
url = "https://packages.acme.example/simple/"
upload-url = "https://packages.acme.example/legacy/"
[[index]]
name = "own"
url = "https://tokens.acme.example/simple/"
[[index]]
name = "lab"
url = "http://127.0.0.1:9000/simple/"
""",
    file=Path("broker.toml"),
)
PROXIES = ProxyReader(SETTINGS)
ORIGINAL = {"X-Original-URI": "/simple/tools/?a=b", "Host": "packages.acme.example"}


@dataclass
class Gate:
    """A checker with keys, a database and a clock."""

    keys: Keys
    store: Store
    now: float = NOW
    revocations: Revocations = field(init=False)
    checker: Checker = field(init=False)

    def __post_init__(self) -> None:
        self.revocations = Revocations(self.store)
        self.checker = Checker(SETTINGS.origin, self.keys, self.revocations, lambda: self.now)

    def token(self, **claims: object) -> Secret:
        good = {"sub": "alice", "aud": "https://packages.acme.example/simple/", "iat": int(NOW), "exp": int(NOW) + 3600}
        return self.keys.mint({**good, "jti": "token", "sid": "family", "scope": "pypi:read", **claims})

    def check(
        self,
        token: Secret | None,
        *,
        index: str = "acme",
        operation: Operation = "read",
        project: str | None = None,
        is_held_later: bool = False,
    ) -> Verdict:
        authorization = f"Bearer {token.reveal()}" if token else ""
        target = Target(project)
        return self.checker.check(
            Facts(authorization, SETTINGS.index_named(index), operation, target, is_held_later=is_held_later)
        )


@pytest.fixture
def gate(keys: Keys, store: Store) -> Gate:
    return Gate(keys, store)


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_a_token_with_the_scope_passes(gate: Gate) -> None:
    assert gate.check(gate.token()).status == 204


def test_no_token_is_401_without_an_error(gate: Gate) -> None:
    verdict = gate.check(None)
    assert verdict.status == 401
    assert not any("error" in challenge for challenge in verdict.challenges)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [({"aud": "https://lab.acme.example/simple/"}, "another index"), ({"exp": int(NOW)}, "expired")],
    ids=["another index", "expired"],
)
def test_what_a_new_token_would_mend_is_401(gate: Gate, claims: dict[str, object], reason: str) -> None:
    verdict = gate.check(gate.token(**claims))
    assert verdict.status == 401
    assert reason in verdict.reason
    assert 'error="invalid_token"' in verdict.challenges[1]


def test_a_refused_token_is_told_why_after_basic(gate: Gate) -> None:
    basic, bearer = gate.check(gate.token(exp=int(NOW))).challenges
    assert basic.startswith("Basic ")
    assert bearer == 'Bearer error="invalid_token", error_description="the token has expired"'


def test_a_token_for_another_index_is_told_which_url_this_index_has(gate: Gate) -> None:
    challenge = gate.check(gate.token(aud="https://lab.acme.example/simple/")).challenges[1]
    assert _challenge.bearer_parameters(challenge) == {
        "error": "invalid_token",
        "error_description": _challenge.TOKEN_ELSEWHERE,
        "resource": "https://packages.acme.example/simple/",
    }


@pytest.mark.parametrize(
    "forge",
    [
        lambda _: "made-up",
        lambda token: f"{token[:-4]}AAAA",
        lambda token: f"e30.{token.partition('.')[2]}",
    ],
    ids=["made up", "another signature", "another header"],
)
@pytest.mark.parametrize("claims", [{}, {"exp": 1}, {"aud": "https://lab.acme.example/"}], ids=str)
def test_whoever_holds_no_token_of_ours_learns_that_and_no_more(
    gate: Gate, forge: Callable[[str], str], claims: dict[str, object]
) -> None:
    verdict = gate.check(Secret(forge(gate.token(**claims).reveal())))
    assert verdict.challenges[1] == f'Bearer error="invalid_token", error_description="{_challenge.TOKEN_UNKNOWN}"'


@pytest.mark.parametrize("operation", ["read", "upload"])
@pytest.mark.parametrize("index", ["acme", "own", "none"])
@pytest.mark.parametrize("claims", [{}, {"exp": 1}, {"aud": "https://lab.acme.example/"}], ids=str)
def test_no_refusal_repeats_anything_of_the_token(
    gate: Gate, claims: dict[str, object], index: str, operation: Operation
) -> None:
    token = gate.token(sub="canary-subject", jti="canary-id", sid="canary-session", **claims)
    verdict = gate.check(token, index=index, operation=operation)
    said = f"{verdict.reason} {verdict.challenges}"
    assert "canary" not in said
    assert not any(part in said for part in token.reveal().split("."))


def test_every_challenge_can_be_sent_as_it_is(gate: Gate) -> None:
    verdicts = [
        gate.check(token, index=index, operation=operation)
        for token in (None, Secret("x"), gate.token(), gate.token(exp=1), gate.token(aud="https://lab.acme.example/"))
        for index in ("acme", "own", "none")
        for operation in ("read", "upload")
    ]
    challenges = [challenge for verdict in verdicts for challenge in verdict.challenges]
    assert challenges
    assert all(re.fullmatch(r'[\x20-\x21\x23-\x5b\x5d-\x7e"]+', challenge) for challenge in challenges)


def test_a_missing_scope_is_403_on_the_right_index_only(gate: Gate) -> None:
    assert gate.check(gate.token(), operation="upload").status == 403
    assert gate.check(gate.token(), index="own", operation="upload").status == 401


def test_a_token_for_uploading_does_not_read(gate: Gate) -> None:
    assert gate.check(gate.token(scope="pypi:write")).status == 403


BOUND = {"pypi:read": ["tools", "acme-hello"]}


@pytest.mark.parametrize("project", ["tools", "acme-hello"])
def test_a_token_for_some_projects_passes_for_each_of_them(gate: Gate, project: str) -> None:
    assert gate.check(gate.token(projects=BOUND), project=project).status == 204


@pytest.mark.parametrize("project", ["secret", "tool", "tools2", "acme", None])
def test_a_token_for_some_projects_is_403_for_others_and_for_what_names_none(gate: Gate, project: str | None) -> None:
    verdict = gate.check(gate.token(projects=BOUND), project=project)
    assert verdict.status == 403
    assert _challenge.bearer_parameters(verdict.challenges[0]) == {
        "error": "insufficient_scope",
        "error_description": _challenge.TOKEN_OTHER_PROJECTS,
    }


def test_a_token_for_no_project_at_all_passes_nowhere(gate: Gate) -> None:
    assert gate.check(gate.token(projects={"pypi:read": []}), project="tools").status == 403


def test_projects_bind_the_scope_that_they_are_named_for(gate: Gate) -> None:
    token = gate.token(scope="pypi:read pypi:write", projects={"pypi:write": ["tools"]})
    assert gate.check(token, project="secret").status == 204
    assert gate.check(token, operation="upload", project="secret").status == 403
    assert gate.check(token, operation="upload", project="tools").status == 204


def test_who_holds_an_upload_to_its_projects_later_is_told_which(gate: Gate) -> None:
    token = gate.token(scope="pypi:write", projects={"pypi:write": ["tools", "acme-hello"]})
    verdict = gate.check(token, operation="upload", is_held_later=True)
    assert (verdict.status, verdict.projects) == (204, frozenset({"tools", "acme-hello"}))
    unbound = gate.check(gate.token(scope="pypi:write"), operation="upload", is_held_later=True)
    assert (unbound.status, unbound.projects) == (204, None)


def test_a_token_for_some_projects_is_401_elsewhere(gate: Gate) -> None:
    assert gate.check(gate.token(projects=BOUND), index="own", project="tools").status == 401


def test_a_verdict_says_whose_token_passed(gate: Gate) -> None:
    assert gate.check(gate.token()).subject == "alice"


def test_a_token_that_passed_does_not_pass_after_its_end(gate: Gate) -> None:
    token = gate.token()
    gate.check(token)
    gate.now += 3600
    assert gate.check(token).status == 401


def test_a_url_of_no_index_is_401(gate: Gate) -> None:
    verdict = gate.check(gate.token(), index="none")
    assert verdict.status == 401
    assert _challenge.URL_UNGUARDED in verdict.challenges[1]


def test_a_revoked_token_is_401_once_the_list_is_read(gate: Gate) -> None:
    token = gate.token()
    decoded = gate.keys.decode(token)
    assert decoded is not None
    assert gate.check(token).status == 204
    with gate.store.writing() as connection:
        revocations.revoke_token(connection, decoded)
    gate.revocations.refresh(NOW)
    verdict = gate.check(token)
    assert verdict.status == 401
    assert _challenge.TOKEN_REVOKED in verdict.challenges[1]


def test_all_tokens_of_a_revoked_session_are_401(gate: Gate) -> None:
    with gate.store.writing() as connection:
        sessions.revoke(connection, "family", NOW)
    gate.revocations.refresh(NOW)
    assert gate.check(gate.token(jti="another")).status == 401


def test_a_token_without_a_session_is_not_that_of_any_revoked_session(gate: Gate) -> None:
    with gate.store.writing() as connection:
        sessions.revoke(connection, "family", NOW)
    gate.revocations.refresh(NOW)
    assert gate.check(gate.token(sid="")).status == 204


def test_the_list_of_revocations_is_due_every_five_seconds(gate: Gate) -> None:
    assert gate.revocations.is_due(NOW)
    gate.revocations.refresh(NOW)
    assert not gate.revocations.is_due(NOW + 4.9)
    assert gate.revocations.is_due(NOW + 5)


def test_a_clock_that_was_set_back_makes_the_list_due(gate: Gate) -> None:
    gate.revocations.refresh(NOW)
    assert gate.revocations.is_due(NOW - 3600)


def test_only_an_index_on_our_own_host_is_said_to_have_metadata_here(gate: Gate) -> None:
    url = "https://tokens.acme.example/.well-known/oauth-protected-resource/simple"
    assert gate.check(None, index="own").challenges[1] == f'Bearer resource_metadata="{url}"'
    assert gate.check(None, index="acme").challenges[1] == 'Bearer realm="indexpass"'


@pytest.mark.parametrize("user", ["__token__", "", "alice", "ü"])
def test_any_user_name_goes_with_a_token(gate: Gate, user: str) -> None:
    facts = Facts(basic(f"{user}:{gate.token().reveal()}"), SETTINGS.index_named("acme"), "read")
    assert gate.checker.check(facts).status == 204


@pytest.mark.parametrize(
    "authorization",
    ["Basic", "Basic !", "Basic YWJj", basic(":"), "Bearer", "Bearer  ", "Digest x", "?", "Basic /w==", "\udcff x"],
)
def test_credentials_that_cannot_be_read_are_401(gate: Gate, authorization: str) -> None:
    assert gate.checker.check(Facts(authorization, SETTINGS.index_named("acme"), "read")).status == 401


# What proxies say


@pytest.mark.parametrize(
    ("headers", "query", "index", "operation"),
    [
        (
            {"X-Original-URI": "/simple/a/", "X-Original-Method": "GET", "Host": "packages.acme.example"},
            "",
            "acme",
            "read",
        ),
        (
            {"X-Original-URI": "/legacy/", "X-Original-Method": "POST", "Host": "packages.acme.example"},
            "",
            "acme",
            "upload",
        ),
        ({"X-Original-URI": "/simple/", "X-Original-Method": "GET", "Host": "127.0.0.1:9000"}, "", "lab", "read"),
        (
            {
                "X-Forwarded-Uri": "/simple/a/?b=c",
                "X-Forwarded-Method": "HEAD",
                "X-Forwarded-Host": "packages.acme.example",
                "X-Forwarded-Proto": "https",
                "Host": "broker:8443",
            },
            "",
            "acme",
            "read",
        ),
        ({"X-Original-Method": "GET"}, "index=acme", "acme", "read"),
        ({"X-Forwarded-Method": "PUT"}, "index=acme", "acme", "upload"),
    ],
    ids=["nginx", "nginx upload", "loopback", "Traefik, Caddy", "by name", "by name, upload"],
)
def test_a_proxy_says_which_index_and_what_for(headers: dict[str, str], query: str, index: str, operation: str) -> None:
    facts = asked(headers, query)
    assert facts.index is SETTINGS.index_named(index)
    assert facts.operation == operation


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"X-Original-URI": "/simple/", "X-Forwarded-Uri": "/simple/", "Host": "packages.acme.example"}, ""),
        ({"X-Original-URI": "/simple/", "Host": "evil.example", "X-Forwarded-Host": "packages.acme.example"}, ""),
        ({"X-Original-URI": "@packages.acme.example/simple/", "Host": "evil.example"}, ""),
        ({"X-Original-URI": "/simple/../legacy/", "Host": "packages.acme.example"}, ""),
        ({"X-Original-URI": "/simple/", "Host": "packages.acme.example@evil.example"}, ""),
        ({"X-Original-URI": "/simple/", "Host": "packages.acme.example/x"}, ""),
        ({"X-Original-URI": "/simple/"}, ""),
        ({"X-Forwarded-Uri": "/simple/", "Host": "packages.acme.example"}, ""),
        ({"Host": "packages.acme.example"}, ""),
        ({}, "index=acme&index=own"),
        ({}, "index=none"),
        ({"X-Original-URI": "/simple/", "Host": "packages.acme.example"}, "index=none"),
    ],
    ids=[
        "both kinds of proxy",
        "the other kind's host",
        "a host in the path",
        "dot segments",
        "a user name in the host",
        "a path in the host",
        "no host",
        "no forwarded host",
        "no path",
        "two names",
        "no such name",
        "the name has the last word",
    ],
)
def test_what_is_not_said_plainly_is_no_index(headers: dict[str, str], query: str) -> None:
    assert asked(headers, query).index is None


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Original-Method": "GET", "X-Forwarded-Method": "POST"}, {"X-Original-Method": "get"}],
    ids=["not said", "contradiction", "lower case"],
)
def test_a_method_that_is_not_said_plainly_is_an_upload(headers: dict[str, str]) -> None:
    assert asked(headers, "index=acme").operation == "upload"


def test_a_header_that_stands_twice_with_two_values_is_not_believed() -> None:
    headers = [(b"host", b"packages.acme.example"), (b"x-original-uri", b"/simple/"), (b"x-original-uri", b"/legacy/")]
    assert PROXIES.facts(headers, b"").index is None


def test_two_credentials_are_none() -> None:
    headers = [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")]
    assert PROXIES.facts(headers, b"").authorization == "?"


@given(uri=st.binary(), host=st.binary(), query=st.binary())
def test_any_headers_can_be_read(uri: bytes, host: bytes, query: bytes) -> None:
    for name in (b"x-original-uri", b"x-forwarded-uri"):
        PROXIES.facts([(name, uri), (b"host", host), (b"x-forwarded-host", host)], query)


def asked(headers: dict[str, str], query: str) -> Facts:
    return PROXIES.facts([(k.lower().encode(), v.encode()) for k, v in headers.items()], query.encode())


def test_the_facts_of_a_request_do_not_print_its_token() -> None:
    assert "a.b.c" not in repr(Facts("Bearer a.b.c", None, "read"))
