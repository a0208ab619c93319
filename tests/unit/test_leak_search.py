"""Which texts leak a secret, which only look as if they did, and what is put in its place."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
import yaml

from indexpass import _changes
from indexpass._leaks.forms import name_form
from indexpass._leaks.kinds import name_kind
from indexpass._leaks.report import make_redactor
from indexpass._leaks.search import clean, find_in_variable, find_leaks

if TYPE_CHECKING:
    from indexpass._leaks.forms import Form
    from indexpass._leaks.leak import Leak

ROOT = Path(__file__).resolve().parents[2]

HOST = "packages.acme.example"
TOKEN = "glpat-0123456789abcdefghij"
PYPI = "pypi-AgEIcHlwaS5vcmcCJDEyMzQ1"
SECRET = "canary-51c7"


def told(text: str, form: Form = "text", hosts: frozenset[str] = frozenset()) -> list[Leak]:
    return [leak for leak in find_leaks(text, form, hosts=hosts) if not leak.is_silent]


def secrets(text: str, form: Form = "text", hosts: frozenset[str] = frozenset()) -> list[str]:
    return [text[leak.sighting.start : leak.sighting.end] for leak in told(text, form, hosts=hosts)]


@pytest.mark.parametrize(
    ("userinfo", "secret"),
    [
        (TOKEN, TOKEN),
        (f"{TOKEN}:", f"{TOKEN}:"),
        ("ghp_0123456789abcdefghij:x-oauth-basic", "ghp_0123456789abcdefghij:x-oauth-basic"),
        (f"me:{SECRET}", SECRET),
        (f":{SECRET}", SECRET),
        (f"__token__:{PYPI}", PYPI),
        ("me:x", "x"),
        ("me:pa$$word1", "pa$$word1"),
        ("me:p@ss@word", "p@ss@word"),
        ("me:p%40ss%21", "p%40ss%21"),
        (f"%6De%3A{SECRET}", SECRET),
        ("3f2504e0-4f89-41d3-9a0c-0305e82c3301", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"),
        ("0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
        ("qKdjWmzPtRsLvBnXcHgFyQaE", "qKdjWmzPtRsLvBnXcHgFyQaE"),
        ("me:can\\\n    ary-51c7", "can\\\n    ary-51c7"),
        (f"me:{SECRET}${{MORE}}", f"{SECRET}${{MORE}}"),
    ],
)
def test_what_is_a_secret_in_a_url(userinfo: str, secret: str) -> None:
    assert secrets(f"--index-url https://{userinfo}@{HOST}/simple/\n") == [secret]


@pytest.mark.parametrize(
    "userinfo",
    [
        "git",
        "user",
        "__token__",
        "oauth2accesstoken",
        "VssSessionToken",
        "aws",
        "gitlab+deploy-token-123456",
        "first.last%40company.example",
        "a1b2c3d4e5f6g7h8%40company.example",
        "continuous-integration-robot-2",
        "oauth2accesstokenreadonly",
        "${VARIABLE}",
        "$USER:$PASS",
        "$user:$password",
        "%USER%:%ACME_TOKEN%",
        "oauth2:$(token)",
        "me:${{ secrets.X }}",
        "me:{{ secrets.X }}",
        "me:{env:TOKEN}",
        "me:%(token)s",
        "me:<your token>",
        "user:password",
        "me:****",
        "__token__:YOUR_TOKEN",
        "me:",
        "",
    ],
)
def test_what_is_none(userinfo: str) -> None:
    assert secrets(f"--index-url https://{userinfo}@{HOST}/simple/\n") == []


@pytest.mark.parametrize("scheme", ["https://", "http://", "HTTPS://", "git+https://", r"https:\/\/"])
def test_the_scheme_may_be_written_in_many_ways(scheme: str) -> None:
    assert secrets(f'"{scheme}me:{SECRET}@{HOST}/simple/"') == [SECRET]


@pytest.mark.parametrize(
    ("text", "form", "secret"),
    [
        (f"TWINE_PASSWORD={SECRET}\n", "script", SECRET),
        (f"  UV_INDEX_ACME_PASSWORD: '{SECRET}'\n", "script", SECRET),
        (f"ENV POETRY_HTTP_BASIC_ACME_PASSWORD {SECRET}\n", "script", SECRET),
        (f"- name: TWINE_PASSWORD\n  value: {SECRET}\n", "script", SECRET),
        (f'env["TWINE_PASSWORD"] = "{SECRET}"\n', "code", SECRET),
        (f"export MY_OWN={TOKEN}\n", "script", TOKEN),
        (f"[acme]\nusername = me\npassword = {SECRET}\n", "pypirc", SECRET),
        (f"[acme]\nPassword: {SECRET} with blanks\n", "pypirc", f"{SECRET} with blanks"),
        (f'[http-basic.acme]\nusername = "me"\npassword = "{SECRET}"\n', "settings", SECRET),
        (f'[http-basic]\nacme = {{username = "me", password = "{SECRET}"}}\n', "settings", SECRET),
        (f'[pypi-token]\nacme = "{SECRET}"\n', "settings", SECRET),
        (f'[publish.index]\nauth = """{SECRET}"""\n', "settings", SECRET),
        (f'[[tool.pdm.source]]\npassword = "{SECRET}"\n', "pyproject", SECRET),
    ],
    ids=[
        *(
            "dotenv",
            "YAML",
            "Dockerfile",
            "Azure Pipelines",
            "Python",
            "token by itself",
            ".pypirc",
            ".pypirc by colon",
        ),
        *("Poetry", "Poetry in one line", "Poetry's tokens", "hatch", "PDM"),
    ],
)
def test_what_is_a_secret_in_a_setting(text: str, form: Form, secret: str) -> None:
    assert secrets(text, form) == [secret]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("TWINE_PASSWORD: ${{ secrets.TWINE_PASSWORD }}\n", "script"),
        ("TWINE_PASSWORD=$(cat /run/secrets/twine)\n", "script"),
        ("TWINE_PASSWORD:\n  required: true\n", "script"),
        ("RUN --mount=type=secret,id=netrc,target=/root/.netrc pip install acme\n", "script"),
        ('session.run("twine", env={"TWINE_PASSWORD": token})\n', "code"),
        ('[tool.database]\npassword = "hunter2"\n', "pyproject"),
        ("[acme]\npassword = %(token)s\n", "pypirc"),
    ],
    ids=["GitHub", "command", "declaration", "mount", "name in code", "another tool's", "interpolation"],
)
def test_what_is_no_secret_in_a_setting(text: str, form: Form) -> None:
    assert secrets(text, form) == []


NETRC = f"""\
# machine commented.example password {SECRET}0
machine {HOST} login me password {SECRET}
machine ftp.example
  login a
  password {SECRET}2
macdef init
machine in.macro.example password {SECRET}3

machine git.example login oauth2 password {TOKEN}
"""


def test_of_a_netrc_only_what_concerns_indexes_is_told() -> None:
    leaks = told(NETRC, "netrc", hosts=frozenset({HOST}))
    assert [(leak.sighting.host, leak.sighting.user, leak.kind) for leak in leaks] == [
        (HOST, "me", ""),
        ("git.example", "oauth2", "GitLab access token"),
    ]


def test_what_a_netrc_has_for_others_is_known_so_that_it_can_be_masked() -> None:
    silent = [leak for leak in find_leaks(NETRC, "netrc") if leak.is_silent]
    assert [leak.sighting.host for leak in silent] == [HOST, "ftp.example"]


def test_an_entry_leaves_a_netrc_whole() -> None:
    leaks = find_leaks(NETRC, "netrc", hosts=frozenset({HOST}))
    kept = [line for line in NETRC.splitlines(keepends=True) if HOST not in line and TOKEN not in line]
    assert clean(NETRC, leaks) == "".join(kept)


DIRTY = f"https://me:{SECRET}@{HOST}/simple/"


@pytest.mark.parametrize(
    ("text", "form", "mended"),
    [
        (f"-i {DIRTY}\n", "requirements", f"-i https://__token__@{HOST}/simple/\n"),
        (f"a @ git+https://{TOKEN}@git.example/a.git\n", "requirements", "a @ git+https://git.example/a.git\n"),
        (f"RUN git clone https://{TOKEN}@git.example/a\n", "script", "RUN git clone https://git.example/a\n"),
        (
            f'[tool.uv.sources]\na = {{ git = "https://{TOKEN}@git.example/a" }}\n',
            "pyproject",
            '[tool.uv.sources]\na = { git = "https://git.example/a" }\n',
        ),
        (
            f"https://me:{SECRET}@eu-python.pkg.dev/acme-prod/repo/simple/\n",
            "pip",
            "https://oauth2accesstoken@eu-python.pkg.dev/acme-prod/repo/simple/\n",
        ),
        (
            f"https://gitlab-ci-token:{SECRET}@git.example/simple\n",
            "pip",
            "https://gitlab-ci-token@git.example/simple\n",
        ),
        (
            f'[[tool.uv.index]]\nurl = "{DIRTY}"\n[[tool.poetry.source]]\nurl = "{DIRTY}"\n',
            "pyproject",
            (
                f'[[tool.uv.index]]\nurl = "https://__token__@{HOST}/simple/"\n'
                f'[[tool.poetry.source]]\nurl = "https://{HOST}/simple/"\n'
            ),
        ),
        (f'url = "{DIRTY}"\r\n', "lock", f'url = "https://{HOST}/simple/"\r\n'),
        (f"\turl = https://{TOKEN}@git.example/a\n", "git", "\turl = https://git.example/a\n"),
        (f"[a]\nusername = u\npassword = {SECRET}\n[b]\n", "pypirc", "[a]\nusername = u\n[b]\n"),
        (
            f'# mine\n[http-basic.a]\nusername = "u"\npassword = "{SECRET}"\n\n[repositories]\n',
            "settings",
            "# mine\n[repositories]\n",
        ),
        (f'[pypi-token]\na = "{SECRET}"\nb = ""', "settings", '[pypi-token]\nb = ""'),
    ],
    ids=[
        "pip",
        "git",
        "clone",
        "uv by git",
        "Google",
        "known user",
        "pyproject",
        "lock",
        "remote",
        ".pypirc",
        "Poetry",
        "Poetry's token",
    ],
)
def test_what_is_put_in_its_place(text: str, form: Form, mended: str) -> None:
    assert clean(text, find_leaks(text, form)) == mended


def test_a_table_with_more_in_it_is_left_to_people() -> None:
    text = f'[http-basic.a]\npassword = "{SECRET}"\nother = 1\n'
    assert clean(text, find_leaks(text, "settings")) == text


def test_a_line_that_allows_it_is_silent_and_stays() -> None:
    text = f"-i {DIRTY}  # indexpass: allow\n-i {DIRTY}\n"
    assert [leak.line for leak in told(text, "requirements")] == [2]
    assert clean(text, find_leaks(text, "requirements")).startswith(f"-i {DIRTY}  #")


def test_line_and_column_are_those_of_the_secret() -> None:
    (leak,) = told(f"# übung\r\n--index-url {DIRTY}\r\n")
    assert (leak.line, leak.column) == (2, len("--index-url https://me:") + 1)


def test_equal_secrets_have_equal_fingerprints_however_they_are_encoded() -> None:
    one, same, other = told("https://a:p-ss@h.example/ https://b:p%2Dss@h.example/ https://c:q-ss@h.example/")
    assert one.fingerprint == same.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("name", "value", "is_one"),
    [
        ("PIP_EXTRA_INDEX_URL", f"https://a.example/simple {DIRTY}", True),
        ("TWINE_PASSWORD", SECRET, True),
        ("TWINE_PASSWORD", "'#;&", True),
        ("UV_INDEX_ACME_PASSWORD", "", False),
        ("PIP_INDEX_URL", f"https://__token__@{HOST}/simple/", False),
        ("GITHUB_TOKEN", "ghs_0123456789abcdefghij", False),
    ],
    ids=["URL", "secret", "odd secret", "empty", "clean", "no client's"],
)
def test_variables_of_clients_are_searched(name: str, value: str, *, is_one: bool) -> None:
    assert [leak.sighting.setting for leak in find_in_variable(name, value)] == [name] * is_one


@pytest.mark.parametrize(
    ("token", "kind"),
    [(TOKEN, "GitLab access token"), (PYPI, "PyPI API token"), ("ghp_short", None), ("me", None)],
)
def test_tokens_tell_by_their_beginning_what_they_are(token: str, kind: str | None) -> None:
    found = name_kind(token)
    assert (found.name if found else None) == kind


NAMES: dict[str, Form | None] = {
    "pip.conf": "pip",
    "requirements.txt": "requirements",
    "dev-requirements.in": "requirements",
    "requirements/dev.txt": "requirements",
    "constraints.txt": "requirements",
    "sub/pyproject.toml": "pyproject",
    "poetry.toml": "settings",
    "auth.toml": "settings",
    "pypoetry/config.toml": "settings",
    "Pipfile": "pipfile",
    "Pipfile.lock": "lock",
    "pylock.dev.toml": "lock",
    "uv.toml": "uv",
    ".pypirc": "pypirc",
    "_netrc": "netrc",
    "Dockerfile": "script",
    "deploy/Dockerfile.prod": "script",
    "web.dockerfile": "script",
    ".github/workflows/ci.yml": "script",
    ".gitlab-ci.yml": "script",
    "azure-pipelines.yml": "script",
    ".circleci/config.yml": "script",
    "bitbucket-pipelines.yml": "script",
    "docker-compose.override.yaml": "script",
    ".env": "script",
    ".env.production": "script",
    "prod.env": "script",
    "tox.ini": "script",
    "run.sh": "script",
    "noxfile.py": "code",
    "README.md": None,
    "notes.txt": None,
    "src/config.toml": None,
    "test_urls.py": None,
    "chart/values.yaml": None,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_known_by_its_name(name: str) -> None:
    assert name_form(PurePosixPath(name)) == NAMES[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_hook_for_pre_commit_is_given_the_same_files(name: str) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert bool(re.search(hook["files"], name)) is (NAMES[name] is not None)


@pytest.mark.timeout(20)  # a search whose time grows with the square of a line's length takes minutes
@pytest.mark.parametrize(
    ("form", "text"),
    [
        pytest.param("pyproject", f"[{' ' * 20_000}", id="heading-without-an-end"),
        pytest.param("pypirc", f"password = a{' ' * 200_000}b", id="password-with-a-gap"),
        pytest.param("settings", "[http-basic.a]\n" + f'password = "{SECRET}"\n' * 40_000, id="table-without-an-end"),
    ],
)
def test_a_hostile_file_is_searched_in_time_that_grows_with_its_length(form: Form, text: str) -> None:
    assert not any(leak.kind for leak in find_leaks(text, form))


@pytest.mark.timeout(20)  # as above
def test_a_hostile_line_is_redacted_in_time_that_grows_with_its_length() -> None:
    assert make_redactor("", (), is_public=True)("token" * 100_000).startswith("token")


@pytest.mark.parametrize("end", ["\u2028", "\x0c", "\x85"], ids=["line-separator", "form-feed", "next-line"])
def test_a_secret_with_a_line_s_end_of_any_kind_in_it_is_masked_in_a_diff(end: str) -> None:
    text = f"[acme]\npassword = canary{end}51c7\n"
    leaks = find_leaks(text, "pypirc")
    change = _changes.Change(Path("pypirc"), text, clean(text, leaks), "")
    shown = "\n".join(_changes.show([change], redact=make_redactor(text, leaks, is_public=True)))
    assert "canary" not in shown
    assert "51c7" not in shown
