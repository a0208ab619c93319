from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexpass._url import IndexUrl
from indexpass.broker.settings import People, Settings, Workload, starter
from indexpass.broker.settings.file import load, parse
from indexpass.errors import ConfigError, IndexpassError

FILE = Path("/etc/broker/broker.toml")
GOOD = """
issuer = "https://tokens.acme.example"

[[index]]
name = "acme"
url = "https://packages.acme.example/simple/"
upload-url = "https://packages.acme.example/legacy/"

[[trusted-issuer]]
name = "ci"
url = "https://ci.acme.example"

[[policy]]
name = "readers"
index = "acme"
operations = ["read"]
users = ["alice"]

[[policy]]
name = "release"
index = "acme"
operations = ["read", "upload"]
issuer = "ci"
claims = { project_id = "1234", protected = true }
lifetime = "5m"
"""


def read(text: str) -> Settings:
    return parse(text, file=FILE)


def owner(settings: Settings, url: str) -> str | None:
    index = settings.index_owning(IndexUrl.parse(url))
    return index.name if index else None


def test_what_is_not_said_has_a_default() -> None:
    settings = read(GOOD)
    assert settings.listen == ("127.0.0.1", 8443)
    assert settings.database.url == "sqlite:////etc/broker/broker.sqlite3"
    assert settings.session_seconds == 24 * 3600
    assert (settings.indexes[0].read_seconds, settings.indexes[0].upload_seconds) == (3600, 900)


def test_the_audience_of_a_trusted_issuer_is_the_broker_unless_said_otherwise() -> None:
    assert read(GOOD).trusted_issuers[0].audience == "https://tokens.acme.example"


def test_a_policy_is_for_people_or_for_workloads() -> None:
    people, workload = (policy.who for policy in read(GOOD).policies)
    assert people == People(frozenset({"alice"}))
    assert workload == Workload("ci", {"project_id": "1234", "protected": True})


@pytest.mark.parametrize(
    "issuer",
    ["https://packages.acme.example", "http://127.0.0.1:8765", "http://[::1]:8765", "https://localhost:9000/"],
)
def test_the_first_settings_are_good_settings(issuer: str) -> None:
    settings = read(starter.text(issuer, "acme"))
    assert settings.issuer == issuer.rstrip("/")
    assert settings.index_for(IndexUrl.parse(f"{issuer.rstrip('/')}/simple/")) is settings.indexes[0]


def test_the_examples_in_the_first_settings_are_good_settings_too() -> None:
    lines = starter.text("https://packages.acme.example", "acme").splitlines()
    first = next(number for number, line in enumerate(lines) if line == "# [[trusted-issuer]]")
    is_toml = [line for line in lines[first:] if line.startswith(("# [", "# ")) and ("=" in line or line.endswith("]"))]
    text = "\n".join([*lines[:first], *(line.removeprefix("# ") for line in is_toml)])
    assert [policy.name for policy in read(text).policies] == ["people", "release"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("issuer = ", "isuer = ", "did you mean issuer?"),
        ("upload-url", "upload_url", "did you mean upload-url?"),
        ("[[index]]", "[index]", "[[index]] with two brackets"),
        ('"https://tokens.acme.example"', '"https://tokens.acme.example/broker"', "has no path"),
        ('"https://tokens.acme.example"', '"http://tokens.acme.example"', "use https"),
        ('"https://tokens.acme.example"', "7", "not a text"),
        ("https://packages.acme.example/simple/", "https://me:pw@packages.acme.example/", "password"),
        ("https://packages.acme.example/simple/", "https://packages.acme.example/" + "x" * 150, "at most 150"),
        ('name = "acme"', 'name = "Ac me"', "lower-case letters"),
        ('lifetime = "5m"', 'lifetime = "5"', '"15m"'),
        ('lifetime = "5m"', 'lifetime = "25h"', "at most 24h"),
        ('lifetime = "5m"', 'lifetime = "0s"', '"15m"'),
        ('operations = ["read"]', 'operations = ["write"]', '"write" is not an operation'),
        ('operations = ["read"]', "operations = []", "not a list of texts"),
        ('users = ["alice"]', "", "exactly one of users and issuer"),
        ('users = ["alice"]', 'users = ["alice"]\nissuer = "ci"', "exactly one of users and issuer"),
        ('users = ["alice"]', 'users = ["alice"]\nclaims = { a = "b" }', "people have no claims"),
        ('claims = { project_id = "1234", protected = true }', "", "at least one claim"),
        ("protected = true", "protected = 1.5", "claims.protected"),
        ('issuer = "ci"', 'issuer = "c"', "did you mean ci?"),
        ('index = "acme"', 'index = "acne"', "did you mean acme?"),
        ('name = "release"', 'name = "readers"', "stands twice"),
        ('issuer = "https', 'listen = "8443"\nissuer = "https', "an address and a port"),
        ('issuer = "https', 'database = "mysql://x"\nissuer = "https', "sqlite:///PATH or postgresql://"),
        ('issuer = "https', 'tls-key = "key.pem"\nissuer = "https', "go together"),
        ("issuer = ", "issuer = = ", "not valid TOML"),
    ],
)
def test_settings_that_are_not_right_are_refused_with_the_file_and_the_fix(old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        read(GOOD.replace(old, new))
    assert str(FILE) in caught.value.message
    assert says in f"{caught.value.message} {caught.value.hint}"


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        read(GOOD.replace("https://packages", "https://me:hunter2@packages"))
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


def test_a_folder_without_settings_is_no_broker(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no broker"):
        load(tmp_path)


@given(st.text())
def test_any_text_is_settings_or_an_error_of_ours(text: str) -> None:
    with pytest.raises(IndexpassError):
        read(text)


TWO = GOOD.replace(
    "[[trusted-issuer]]",
    '[[index]]\nname = "team"\nurl = "https://packages.acme.example/team/simple/"\n\n[[trusted-issuer]]',
)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://packages.acme.example/simple/tools/", "acme"),
        ("https://packages.acme.example/packages/tools.whl", "acme"),
        ("https://packages.acme.example/legacy/", "acme"),
        ("https://packages.acme.example/team/simple/tools/", "team"),
        ("https://packages.acme.example/team/packages/tools.whl", "team"),
        ("https://packages.acme.example/teamwork/", "acme"),
        ("https://packages.acme.example:444/simple/", None),
        ("https://packages.acme.example.evil.example/simple/", None),
    ],
)
def test_a_url_belongs_to_the_most_specific_index(url: str, name: str | None) -> None:
    assert owner(read(TWO), url) == name


def test_a_url_that_two_indexes_own_alike_belongs_to_neither() -> None:
    text = TWO.replace("/team/simple/", "/+simple/")
    assert owner(read(text), "https://packages.acme.example/packages/tools.whl") is None
