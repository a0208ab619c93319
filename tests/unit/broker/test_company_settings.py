from __future__ import annotations

from pathlib import Path

import pytest

from indexpass.broker.settings import Company
from indexpass.broker.settings.file import parse
from indexpass.errors import ConfigError

FILE = Path("/etc/broker/broker.toml")
TOP = 'issuer = "https://tokens.acme.example"\n'
LEAST = """
[company]
name = "ACME"
issuer = "https://login.acme.example/"
client-id = "indexpass"
"""


def read(text: str) -> Company:
    company = parse(TOP + text, file=FILE).company
    assert company
    return company


def test_three_keys_are_enough() -> None:
    assert read(LEAST) == Company(
        name="ACME",
        issuer="https://login.acme.example/",  # letter by letter: the provider's tokens are compared with it
        client_id="indexpass",
        client_secret_file=None,
        scopes=("openid", "profile", "email"),
        name_claims=("preferred_username", "email"),
        groups_claim="groups",
        required_groups=frozenset(),
        max_age_seconds=None,
        is_private=False,
    )


def test_the_secret_s_file_is_beside_the_settings() -> None:
    company = read(f'{LEAST}client-secret-file = "company-secret"\n')
    assert company.client_secret_file == FILE.parent / "company-secret"


def test_without_the_table_there_is_no_company() -> None:
    assert parse(TOP, file=FILE).company is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LEAST.replace('name = "ACME"\n', ""), "name: this key is missing"),
        (LEAST.replace("ACME", "A" * 41), "at most 40 characters"),
        (LEAST.replace("https://", "http://"), "not encrypted"),
        (LEAST.replace("https://", "https://me:pw@"), "user name or password"),
        (f'{LEAST}client-secret = "s3cret"\n', "this key is not known"),
        (f'{LEAST}scopes = ["profile"]\n', '"openid" is missing'),
        (f'{LEAST}scopes = ["openid profile"]\n', '"openid" is missing'),
        (f'{LEAST}scopes = ["openid", "a b"]\n', "is not a scope"),
        (f'{LEAST}scopes = "openid"\n', "not a list of texts"),
        (f"{LEAST}required-groups = []\n", "not a list of texts"),
        (f'{LEAST}groups-claim = "/a~2"\n', "JSON pointer"),
        (f'{LEAST}name-claim = ""\n', "not a text"),
        (f'{LEAST}max-age = "91d"\n', "at most"),
        (f'{LEAST}private-network = "yes"\n', "neither true nor false"),
        ('company = "ACME"\n', "not a table"),
        (LEAST.replace("[company]", "[[company]]"), "not a table"),
    ],
)
def test_what_is_wrong_is_said_with_file_table_and_key(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).startswith(str(FILE))
    assert says in str(caught.value)
    assert caught.value.hint
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"
