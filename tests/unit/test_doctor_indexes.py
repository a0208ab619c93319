"""What the doctor says of the configuration, the servers, the clock and each index, from facts alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from indexpass._credential import Credential, Index
from indexpass._doctor.holdings import Held, Holding
from indexpass._doctor.indexes import judge_configuration, judge_holding, judge_servers, judge_trial
from indexpass._doctor.servers import Certificate, Server, Trial
from indexpass._model import Answer
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.errors import BrokerUnreachable, ConfigError, IndexpassError, SessionError

if TYPE_CHECKING:
    from indexpass._doctor.findings import Finding

NOW = 1_800_000_000.0
DAY = 24 * 60 * 60
ACME = Index("acme", IndexUrl.parse("https://packages.acme.example/simple/"))
ORIGIN = IndexUrl.parse("https://tokens.acme.example").origin
BROKER = Server(ORIGIN, is_broker=True, certificate=Certificate(NOW + 90 * DAY), skew=0.4)
CREDENTIAL = Credential("__token__", Secret("canary"), NOW - 60, NOW + 3000)
AWAY = BrokerUnreachable("https://tokens.acme.example cannot be reached", hint="check your network")


def verdicts(findings: list[Finding]) -> dict[str, str]:
    return {finding.part: finding.verdict for finding in findings}


def test_a_configuration_that_can_be_read_names_its_indexes_and_files() -> None:
    found = judge_configuration([Path("/etc/config.toml")], [ACME], [], None)
    assert (found.verdict, found.message) == ("ok", "acme, from /etc/config.toml")


@pytest.mark.parametrize(
    ("error", "hint"),
    [(None, "indexpass add https://packages.example.com/simple/"), (ConfigError("no TOML", hint="fix"), "fix")],
    ids=["none", "broken"],
)
def test_no_configuration_is_a_fault(error: IndexpassError | None, hint: str) -> None:
    found = judge_configuration([], [], [], error)
    assert (found.verdict, found.hint) == ("fault", hint)


def test_an_index_of_a_known_platform_needs_no_configuration() -> None:
    assert judge_configuration([], [], [ACME], None).verdict == "ok"


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (BROKER, {"broker": "ok", "clock": "ok"}),
        (BROKER._replace(certificate=Certificate(NOW + 3 * DAY)), {"broker": "note", "clock": "ok"}),
        (BROKER._replace(skew=None, error=AWAY, certificate=None), {"broker": "fault"}),
        (BROKER._replace(skew=-1800.0), {"broker": "ok", "clock": "fault"}),
        (Server(ORIGIN, is_broker=False, certificate=Certificate(NOW + 90 * DAY)), {}),
        (
            Server(ORIGIN, is_broker=False, certificate=Certificate(problem="Hostname mismatch")),
            {"host": "fault"},
        ),
    ],
    ids=["well", "expires soon", "away", "clock", "host", "wrong name"],
)
def test_what_is_said_of_a_server(server: Server, expected: dict[str, str]) -> None:
    assert verdicts(list(judge_servers([server], NOW))) == expected


def test_an_untrusted_certificate_is_said_once_and_not_again_as_unreachable() -> None:
    problem = "unable to get local issuer certificate"
    server = BROKER._replace(certificate=Certificate(problem=problem), error=AWAY, skew=None)
    (found,) = judge_servers([server], NOW)
    assert problem in found.message
    assert found.hint.startswith("export REQUESTS_CA_BUNDLE=")


def test_the_clock_is_judged_by_the_server_that_differs_most() -> None:
    servers = [BROKER, BROKER._replace(skew=-600.0)]
    (clock,) = (found for found in judge_servers(servers, NOW) if found.part == "clock")
    assert clock.message == "this machine's clock is 10 minutes behind"


@pytest.mark.parametrize(
    ("holding", "verdict", "hint"),
    [
        (Holding(ACME, "alice at https://tokens.acme.example"), "ok", ""),
        (Holding(ACME, None), "sign-in", "indexpass login acme"),
        (Holding(ACME, None, SessionError("the keyring is locked", hint="unlock it")), "sign-in", "unlock it"),
        (Holding(ACME, None, ConfigError("no such provider", hint="fix")), "fault", "fix"),
    ],
    ids=["signed in", "nobody", "locked", "broken"],
)
def test_who_one_is_at_an_index(holding: Holding, verdict: str, hint: str) -> None:
    (found,) = judge_holding(holding)
    assert (found.part, found.verdict, found.hint) == ("acme", verdict, hint)


@pytest.mark.parametrize(
    ("held", "verdict", "message"),
    [
        (Held("read", "fresh", 2520.0, "pypi:read"), "ok", "read: fresh, 42 min left, scope pypi:read"),
        (Held("read", "expired", 0.0), "ok", "read: expired"),
        (Held("upload", "usable", 50.0, "pypi:write"), "ok", "upload: usable, 50 s left, scope pypi:write"),
        (Held("upload", "fresh", None), "ok", "upload: fresh"),
        (
            Held("read", "fresh", 10_800.0, "pypi:read pypi:write"),
            "note",
            "read: fresh, 3 h left, scope pypi:read pypi:write: more than reading needs",
        ),
    ],
    ids=["fresh", "expired", "upload", "endless", "too wide"],
)
def test_what_is_held_is_shown_with_age_and_scope(held: Held, verdict: str, message: str) -> None:
    _, found = judge_holding(Holding(ACME, "alice", held=(held,)))
    assert (found.verdict, found.message) == (verdict, message)


def test_a_failure_a_moment_ago_is_shown_but_not_that_nobody_was_signed_in_twice() -> None:
    remembered = IndexpassError("nobody is signed in at T", hint="indexpass login acme", code=SessionError.code)
    failures = (AWAY, remembered)
    findings = list(judge_holding(Holding(ACME, None, failures=failures)))
    assert [finding.verdict for finding in findings] == ["sign-in", "fault"]


def test_what_a_provider_foresees_is_a_note() -> None:
    _, found = judge_holding(Holding(ACME, "alice", outlook="the key ends tomorrow"))
    assert (found.verdict, found.message) == ("note", "the key ends tomorrow")


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(200, None), "ok"),
        (Answer(503, None), "note"),
        (Answer(401, None), "fault"),
        (Answer(403, None), "fault"),
        (Answer(404, None), "fault"),
        (AWAY, "fault"),
    ],
    ids=["taken", "server error", "refused", "forbidden", "hidden", "away"],
)
def test_what_the_index_says_to_the_held_credential(answer: Answer | IndexpassError, verdict: str) -> None:
    found = judge_trial(Trial(ACME, CREDENTIAL, answer), NOW)
    assert found.verdict == verdict
    assert "canary" not in str(found)
