"""``[[trusted-issuer]]`` and ``[[policy]]``: what presets demand, and where errors point."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexpass.broker.settings import Settings, Workload
from indexpass.broker.settings.file import examine, parse
from indexpass.broker.settings.lines import find_line
from indexpass.broker.trust.presets import GENERIC, PRESETS
from indexpass.errors import ConfigError

FILE = Path("/etc/broker/broker.toml")
UUID = "a103a2cc-b461-473d-84fe-6c4f6d45af88"
URLS = {
    "github": "https://token.actions.githubusercontent.com",
    "gitlab": "https://gitlab.com",
    "google": "https://accounts.google.com",
    "kubernetes": "https://kubernetes.default.svc.cluster.local",
    "azure": f"https://login.microsoftonline.com/{UUID}/v2.0",
    "azure-devops": f"https://vstoken.dev.azure.com/{UUID}",
    "aws": f"https://{UUID}.tokens.sts.global.api.aws",
    "circleci": f"https://oidc.circleci.com/org/{UUID}",
    "buildkite": "https://agent.buildkite.com",
    "generic": "https://ci.acme.example",
}
HEAD = """issuer = "https://tokens.acme.example"

[[index]]
name = "acme"
url = "https://packages.acme.example/simple/"

"""


def issuer_table(preset: str, /, **keys: object) -> str:
    audience = {"audience": "api://packages"} if preset == "azure" else {}
    known = {"preset": preset, "name": "ci", "url": URLS[preset], **audience, **keys}
    lines = [
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in known.items()
    ]
    return "\n".join(["[[trusted-issuer]]", *lines, "", ""])


def policy_table(*lines: str) -> str:
    return "\n".join(["[[policy]]", 'name = "p"', 'index = "acme"', 'operations = ["read"]', *lines, ""])


def claims_of(preset: str, *without: str) -> str:
    ids = PRESETS[preset].ids or ("project_id",)
    bound = ", ".join(f"'{key}' = '1'" for key in ids if key not in without)
    return f"claims = {{ {bound} }}"


def read(*tables: str) -> Settings:
    return parse(HEAD + "".join(tables), file=FILE)


def refusal(*tables: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(*tables)
    return f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_takes_the_issuer_it_is_for(preset: str) -> None:
    settings = read(issuer_table(preset), policy_table('issuer = "ci"', claims_of(preset)))
    trusted = settings.trusted_issuers[0]
    assert (trusted.url, trusted.preset) == (URLS[preset], preset)
    assert (trusted.replay, trusted.algorithms) == (PRESETS[preset].replay, PRESETS[preset].algorithms)


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != GENERIC])
def test_each_preset_demands_its_ids(preset: str) -> None:
    for key in PRESETS[preset].ids:
        claims = claims_of(preset, key) if len(PRESETS[preset].ids) > 1 else 'claims = { a = "b" }'
        said = refusal(issuer_table(preset), policy_table('issuer = "ci"', claims))
        assert f"as exact texts: {key}" in said
        assert PRESETS[preset].ids_are in said


@pytest.mark.parametrize(
    "lines",
    [
        ("claims = { repository_id = 1, repository_owner_id = '2' }",),
        ("claims = { repository_owner_id = '2' }", "patterns = { repository_id = '1' }"),
    ],
    ids=["as a number", "as a pattern"],
)
def test_an_id_is_bound_as_an_exact_text(lines: tuple[str, ...]) -> None:
    assert "as exact texts: repository_id" in refusal(issuer_table("github"), policy_table("issuer = 'ci'", *lines))


@pytest.mark.parametrize(
    ("preset", "url"),
    [
        ("github", "https://token.actions.githubusercontent.com.evil.example"),
        ("github", "https://token.actions.githubusercontent.com/"),
        ("github", "https://evil.example/x/_services/token"),
        ("google", "https://accounts.google.com/"),
        ("azure", "https://login.microsoftonline.com/common/v2.0"),
        ("azure", f"https://sts.windows.net/{UUID}"),
        ("azure-devops", "https://vstoken.dev.azure.com/acme"),
        ("aws", "https://sts.amazonaws.com"),
        ("circleci", "https://oidc.circleci.com"),
        ("circleci", f"https://oidc.circleci.com/org/{UUID}/x"),
        ("buildkite", "https://agent.buildkite.com.evil.example"),
    ],
)
def test_an_issuer_that_everybody_shares_or_owns_is_refused(preset: str, url: str) -> None:
    said = refusal(issuer_table(preset, url=url))
    assert f"url: not an issuer of {preset}" in said
    assert PRESETS[preset].example in said


@pytest.mark.parametrize(
    "url",
    [
        "https://token.actions.githubusercontent.com/acme",
        "https://token.actions.acme.ghe.com",
        "https://github.acme.example/_services/token",
    ],
)
def test_github_has_other_issuers_for_enterprises(url: str) -> None:
    assert read(issuer_table("github", url=url)).trusted_issuers[0].url == url


def test_a_preset_alone_is_enough_where_there_is_one_issuer() -> None:
    trusted = read("[[trusted-issuer]]\npreset = 'github'\n").trusted_issuers[0]
    assert (trusted.name, trusted.url, trusted.audience) == ("github", URLS["github"], "https://tokens.acme.example")


@pytest.mark.parametrize(
    ("preset", "audience"),
    [
        ("azure-devops", "api://AzureADTokenExchange"),
        ("circleci", "https://tokens.acme.example"),
        ("gitlab", "https://tokens.acme.example"),
    ],
)
def test_the_audience_is_what_the_platform_can_say(preset: str, audience: str) -> None:
    assert read(issuer_table(preset)).trusted_issuers[0].audience == audience


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        (issuer_table("azure-devops", audience="https://x.example"), "remove this line"),
        (f"[[trusted-issuer]]\npreset = 'azure'\nurl = '{URLS['azure']}'\n", 'audience = "api://CLIENT-ID"'),
        ("[[trusted-issuer]]\npreset = 'kubernetes'\n", 'url = "https://kubernetes.default.svc.cluster.local"'),
        (issuer_table("github", preset="gihub"), "did you mean github?"),
        (issuer_table("gitlab", **{"private-network": "yes"}), "neither true nor false"),
        (policy_table("users = ['a']", "projects = ['-a']"), "name is invalid"),
        (policy_table("users = ['a']", "projects = []"), "not a list of texts"),
        (policy_table("users = ['a']", f"projects = {[f'acme-library-{n}' for n in range(30)]}"), "300 characters"),
        (policy_table("users = ['a']", "patterns = { a = 'b' }"), "people have no claims"),
        (policy_table("groups = ['a']", "issuer = 'ci'"), "exactly one of users and issuer"),
        (policy_table("issuer = 'ci'", "patterns = { a = '(' }"), "not a regular expression"),
        (policy_table("issuer = 'ci'", "patterns = { a = '(?u)a' }"), "not a regular expression"),
        (policy_table("issuer = 'ci'", "patterns = { a = 1 }"), "not a text"),
        (policy_table("issuer = 'ci'", "claims = { '/a~2b' = '1' }"), "JSON pointer"),
        (policy_table("issuer = 'ci'", "claims = { aud = 'x' }"), "claims.aud: it says nothing about who this is"),
        (policy_table("issuer = 'ci'", "claims = 'x'"), "not a table"),
    ],
)
def test_what_is_not_right_is_refused_with_the_fix(tables: str, says: str) -> None:
    assert says in refusal(issuer_table("generic").replace("'ci'", "'other'"), tables)


def test_a_policy_for_github_refuses_pull_request_target_unless_it_says_otherwise() -> None:
    ids = "repository_id = '1', repository_owner_id = '2'"
    silent = policy_table("issuer = 'ci'", f"claims = {{ {ids} }}")
    outspoken = policy_table("issuer = 'ci'", f"claims = {{ {ids}, event_name = 'pull_request_target' }}")
    refused = [
        policy.who.refused
        for policy in read(issuer_table("github"), silent, outspoken.replace('"p"', '"q"')).policies
        if isinstance(policy.who, Workload)
    ]
    assert refused == [{"event_name": "pull_request_target"}, {}]


def test_every_error_is_found_at_once_with_its_line() -> None:
    text = (
        HEAD
        + "[[policy]]\nname = 'one'\nindex = 'acme'\noperations = ['write']\nusers = ['a']\n\n"
        + "[[policy]]\nname = 'two'\nindex = 'acme'\n# operations\noperations = ['read']\nuser = ['a']\n"
    )
    problems = examine(text, file=FILE)
    assert isinstance(problems, list)
    assert [problem.message for problem in problems] == [
        f'{FILE}:10: [[policy]] 1: operations: "write" is not an operation',
        f"{FILE}:18: [[policy]] 2: user: this key is not known",
    ]


def test_names_that_lead_nowhere_are_all_found() -> None:
    tables = [policy_table("users = ['a']").replace("acme", name).replace('"p"', f'"{name}"') for name in ("x", "y")]
    problems = examine(HEAD + "".join(tables), file=FILE)
    assert isinstance(problems, list)
    assert [problem.message.partition(": ")[0] for problem in problems] == [f"{FILE}:9", f"{FILE}:14"]


TEXT = """\
issuer = "x"
[limits]
rate = 1
[[policy]]
name = "a"
"claims" = { a = 1 }
[[ policy ]]
name = "b"
# claims = 1
users = [
  "name = x",
]
[policy.claims]
ref = "x"
[[policy]]
claims.ref = "x"
"""


@pytest.mark.parametrize(
    ("where", "key", "line"),
    [
        ("", "issuer", 1),
        ("", "missing", 1),
        ("[limits]", "rate", 3),
        ("[limits]", "other", 2),
        ("[[policy]] 1", "claims.a", 6),
        ("[[policy]] 2", "name", 8),
        ("[[policy]] 2", "claims.ref", 13),
        ("[[policy]] 2", "missing", 7),
        ("[[policy]] 3", "claims.ref", 16),
    ],
)
def test_the_line_of_a_key(where: str, key: str, line: int) -> None:
    assert find_line(TEXT, where, key) == line
