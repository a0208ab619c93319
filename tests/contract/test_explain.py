"""``broker explain`` and ``broker policy check``: what they print of a real broker and its tokens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from indexpass._cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from indexpass._secret import Secret
    from servers.brokers import RunningBroker, StartBroker
    from servers.issuers import Issuer

MORE = """
[[policy]]
name = "tagged"
index = "acme"
operations = ["upload"]
projects = ["acme-tools"]
issuer = "ci"
claims = { project_id = "1234" }
patterns = { ref = "refs/tags/v[0-9.]+" }
"""


def run(*words: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["broker", *words], input=typed)


class Desk:
    """A broker, its issuer, and the command."""

    def __init__(self, broker: RunningBroker, issuer: Issuer, folder: Path) -> None:
        self.broker = broker
        self.issuer = issuer
        self.folder = folder / f"broker-{broker.url.rpartition(':')[2]}"

    def explain(self, token: Secret, *words: str) -> Result:
        result = run("explain", str(self.folder), "--token", "-", *words, typed=f"{token.reveal()}\n")
        assert token.reveal() not in result.output
        assert token.reveal().split(".")[1] not in result.output
        return result

    def document(self, token: Secret, *words: str) -> dict[str, object]:
        return dict(json.loads(self.explain(token, *words, "--json").stdout))


@pytest.fixture
def desk(start_broker: StartBroker, issuer: Issuer, tmp_path: Path) -> Desk:
    return Desk(start_broker(issuer.reading_policy + MORE), issuer, tmp_path)


def outcomes(document: dict[str, object]) -> dict[str, str]:
    findings = document["findings"]
    assert isinstance(findings, list)
    return {finding["what"]: finding["outcome"] for finding in findings}


def test_a_good_token_is_explained_step_by_step(desk: Desk) -> None:
    result = desk.explain(desk.issuer.token(aud=desk.broker.url))
    assert result.exit_code == 0
    assert "identity token of ci:repo:acme/tools" in result.stdout
    assert "GRANTED: read acme for 3600 s by release: all projects" in result.stdout
    assert max(map(len, result.stdout.splitlines()[-1:])) < 80


def test_nothing_is_spent(desk: Desk) -> None:
    token = desk.issuer.token(aud=desk.broker.url)
    assert [desk.explain(token).exit_code for _ in range(2)] == [0, 0]
    assert desk.broker.exchange(token).status_code == 200


def test_a_used_token_is_denied(desk: Desk) -> None:
    token = desk.issuer.token(aud=desk.broker.url)
    desk.broker.exchange(token)
    found = desk.document(token)
    assert (found["result"], outcomes(found)["replay"]) == ("denied", "wrong")


def test_each_policy_says_what_differs(desk: Desk) -> None:
    found = desk.document(desk.issuer.token(aud=desk.broker.url, ref="refs/heads/main"), "--operation", "upload")
    assert found["result"] == "denied"
    assert found["policies"] == [
        {
            "name": "people",
            "grants": False,
            "reasons": [{"what": "who", "expected": "'a person'", "found": "'a workload'"}],
        },
        {
            "name": "release",
            "grants": False,
            "reasons": [{"what": "operation", "expected": "'read'", "found": "'upload'"}],
        },
        {
            "name": "tagged",
            "grants": False,
            "reasons": [
                {"what": "ref", "expected": "the pattern 'refs/tags/v[0-9.]+'", "found": "'refs/heads/main'"},
            ],
        },
    ]


def test_projects_are_named(desk: Desk) -> None:
    token = desk.issuer.token(aud=desk.broker.url, ref="refs/tags/v1")
    found = desk.document(token, "--operation", "upload")
    assert (found["policy"], found["projects"]) == ("tagged", ["acme-tools"])


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"iss": "https://evil.example"}, "issuer"),
        ({"kid": None}, "header"),
        ({"kid": "unknown"}, "signature"),
        ({"exp": 1_700_000_000}, "times"),
        ({"aud": "https://elsewhere.example"}, "audience"),
        ({"sub": "a\x1b[2Jb"}, "subject"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_step_that_failed_is_named(desk: Desk, change: dict[str, object], step: str) -> None:
    token = desk.issuer.token(**{"aud": desk.broker.url, **change})  # type: ignore[arg-type]
    found = desk.document(token)
    steps = outcomes(found)
    assert (found["result"], steps[step]) == ("denied", "wrong")
    assert list(steps.values())[list(steps).index(step) + 1 :] == ["not looked at"] * (6 - list(steps).index(step))
    result = desk.explain(token)
    assert result.exit_code == 1
    assert "\x1b" not in result.output


def test_what_is_no_token_is_denied(desk: Desk) -> None:
    result = run("explain", str(desk.folder), "--token", "-", typed="hunter2")
    assert result.exit_code == 1
    assert "it is not a JWT" in result.stdout
    assert "hunter2" not in result.output


def test_an_old_token_is_judged_as_of_its_time(desk: Desk) -> None:
    token = desk.issuer.token(now=1_700_000_000, aud=desk.broker.url)
    assert "--at TIME" in desk.explain(token).stderr
    assert desk.explain(token, "--at", "2023-11-14T22:14:00Z").exit_code == 0


def test_settings_and_a_key_set_are_enough(desk: Desk, tmp_path: Path) -> None:
    keys, folder = tmp_path / "keys.json", tmp_path / "copy"
    keys.write_text(json.dumps(desk.issuer.get_json(f"{desk.issuer.url}/keys").body))
    folder.mkdir()
    (folder / "broker.toml").write_bytes((desk.folder / "broker.toml").read_bytes())
    token = desk.issuer.token(aud=desk.broker.url)
    desk.issuer.fetched.clear()
    result = run("explain", str(folder), "--token", "-", "--jwks", str(keys), "--json", typed=token.reveal())
    assert result.exit_code == 0
    assert outcomes(json.loads(result.stdout))["replay"] == "not known"
    assert desk.issuer.fetched == []
    assert [path.name for path in folder.iterdir()] == ["broker.toml"]


def test_an_access_token_of_the_broker_is_explained_too(desk: Desk) -> None:
    answer = desk.broker.exchange(desk.issuer.token(aud=desk.broker.url, ref="refs/tags/v1"), scope="pypi:write")
    token = type(desk.issuer.token())(answer.json()["access_token"])
    granted, denied = desk.document(token, "--operation", "upload"), desk.document(token)
    assert (granted["result"], granted["kind"], granted["who"]) == ("granted", "access token", "ci:repo:acme/tools")
    assert (denied["result"], denied["reason"]) == ("denied", "the token lacks the scope pypi:read")
    text = desk.explain(token, "--operation", "upload").stdout
    assert "pypi:write: acme-tools" in text
    assert "tagged" in text


def test_a_revoked_access_token_is_denied(desk: Desk) -> None:
    token = type(desk.issuer.token())(
        desk.broker.exchange(desk.issuer.token(aud=desk.broker.url)).json()["access_token"]
    )
    desk.broker.post("/oauth/revoke", token=token.reveal())
    assert outcomes(desk.document(token))["revoked"] == "wrong"


def test_an_index_has_to_be_named_where_there_are_several(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker('[[index]]\nname = "lab"\nurl = "https://lab.acme.example/simple/"\n')
    folder = tmp_path / f"broker-{broker.url.rpartition(':')[2]}"
    result = run("explain", str(folder), "--token", "-", typed="x")
    assert (result.exit_code, "acme, lab" in result.output) == (2, True)


GOOD = """issuer = "https://tokens.acme.example"
[[index]]
name = "acme"
url = "https://packages.acme.example/simple/"
[[policy]]
name = "people"
index = "acme"
operations = ["read"]
users = ["*"]
"""


def check(folder: Path, text: str, *words: str) -> Result:
    (folder / "broker.toml").write_text(text)
    return run("policy", "check", str(folder), *words)


def test_settings_that_are_right_are_said_to_be(tmp_path: Path) -> None:
    result = check(tmp_path, GOOD)
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / 'broker.toml'} is right: 1 index, 0 trusted issuers, 1 policy.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["broker.toml"]


def test_errors_name_file_line_and_key(tmp_path: Path) -> None:
    result = check(tmp_path, GOOD.replace('["read"]', '["write"]'))
    assert result.exit_code == 1
    assert f"error: {tmp_path / 'broker.toml'}:8: [[policy]] 1: operations: " in result.stdout


def test_warnings_fail_only_where_that_is_asked_for(tmp_path: Path) -> None:
    text = f"{GOOD}{GOOD[GOOD.index('[[policy]]') :].replace('people', 'again')}"
    assert [check(tmp_path, text, *words).exit_code for words in ((), ("--strict",))] == [0, 1]
    assert "warning: " in check(tmp_path, text).stdout


def test_the_findings_are_one_json_document(tmp_path: Path) -> None:
    found = json.loads(check(tmp_path, GOOD.replace('index = "acme"', 'index = "acne"'), "--json").stdout)
    assert [set(item) for item in found["errors"]] == [{"message", "hint"}]
    assert (found["file"], found["warnings"]) == (str(tmp_path / "broker.toml"), [])
