"""The signing keys change while the broker runs: what clients and third parties see, and what a stolen key costs."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import jwt
import pytest
from click.testing import CliRunner, Result

from indexpass._cli import main
from indexpass._http import HttpClient
from indexpass._secret import Secret
from indexpass.broker.keys import SECRET_FILE
from indexpass.broker.service import Broker
from indexpass.broker.settings.file import FILE_NAME
from indexpass.broker.state import schema
from indexpass.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from servers.brokers import RunningBroker, StartBroker

HOUR, DAY = 3600, 24 * 3600
MONTH = 30 * DAY


@pytest.fixture
def broker(start_broker: StartBroker) -> RunningBroker:
    return start_broker()


@pytest.fixture
def folder(broker: RunningBroker, tmp_path: Path) -> Path:
    """The running broker's folder."""
    return tmp_path / f"broker-{broker.url.rpartition(':')[2]}"


def run(*words: str | Path, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["broker", *map(str, words)], input=typed)


def published(broker: RunningBroker) -> list[str]:
    return [key["kid"] for key in broker.get("/jwks.json").json()["keys"]]


def signer_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def look_after(broker: RunningBroker, seconds: int) -> None:
    """Move the clock, and do what a broker does every hour."""
    broker.clock.advance(seconds)
    broker.broker.rotate_keys()


def test_a_key_is_published_a_day_before_it_signs(broker: RunningBroker) -> None:
    look_after(broker, MONTH - DAY + 1)
    old, new = published(broker)
    assert signer_of(broker.sign_in()["access_token"]) == old
    broker.clock.advance(DAY)
    assert signer_of(broker.sign_in()["access_token"]) == new


def test_the_published_keys_may_be_cached_for_less_than_a_new_one_waits(broker: RunningBroker) -> None:
    assert broker.get("/jwks.json").headers["Cache-Control"] == "public, max-age=300"


def test_a_token_of_the_old_key_opens_the_index_until_it_expires(broker: RunningBroker) -> None:
    look_after(broker, MONTH - 30)
    token = broker.sign_in()["access_token"]
    look_after(broker, 3500)
    assert broker.get("/simple/", token).status_code == 200


def test_a_key_is_no_longer_published_when_all_that_it_signed_has_expired(broker: RunningBroker) -> None:
    (old,) = published(broker)
    look_after(broker, MONTH - HOUR)
    look_after(broker, 27 * HOUR)
    assert old not in published(broker)
    assert len(published(broker)) == 1


def test_the_setting_says_how_long_a_key_signs(broker: RunningBroker, folder: Path) -> None:
    file = folder / FILE_NAME
    file.write_text(f'key-lifetime = "2d"\n{file.read_text()}')
    with closing(Broker.open(folder, http=HttpClient(), now=broker.clock)) as other:
        broker.clock.advance(DAY + 1)
        other.rotate_keys()
    broker.clock.advance(10)
    assert len(published(broker)) == 2


# Several brokers on one database


def test_another_broker_on_the_same_database_takes_the_tokens_of_the_first(broker: RunningBroker, folder: Path) -> None:
    token = Secret(broker.sign_in()["access_token"])
    with closing(Broker.open(folder, http=HttpClient(), now=broker.clock)) as other:
        assert other.keys.decode(token)


def test_a_broker_with_another_secret_does_not_start(broker: RunningBroker, folder: Path) -> None:
    assert published(broker)
    (folder / SECRET_FILE).unlink()
    (folder / SECRET_FILE).touch(0o600)
    (folder / SECRET_FILE).write_bytes(b"x" * 32)
    with pytest.raises(StoreError, match="encrypted with another secret") as caught:
        Broker.open(folder, http=HttpClient())
    assert "copy the file secret" in caught.value.hint


def test_a_check_goes_on_with_the_keys_from_an_hour_ago_when_the_database_is_gone(broker: RunningBroker) -> None:
    look_after(broker, MONTH - HOUR - 30)
    with broker.broker.store.writing() as connection:
        schema.signing_keys.drop(connection)
        schema.revocations.drop(connection)
    broker.clock.advance(HOUR + 60)
    minted = broker.broker.keys.mint(
        {
            "sub": "alice",
            "aud": broker.index,
            "iat": int(broker.clock()),
            "exp": int(broker.clock()) + 60,
            "jti": "x",
            "scope": "pypi:read",
        }
    )
    assert signer_of(minted.reveal()) == published(broker)[1]  # the new one, known from an hour ago
    assert broker.get("/simple/", minted.reveal()).status_code == 200


# The commands


def test_the_keys_are_listed_with_what_they_do(folder: Path) -> None:
    run("keys", "rotate", folder)
    lines = run("keys", "list", folder).stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["1", "signs"], ["2", "next"]]
    assert all(len(line) <= 80 for line in lines)


def test_the_list_in_json_has_all_times(folder: Path, broker: RunningBroker) -> None:
    (key,) = json.loads(run("keys", "list", folder, "--json").stdout)
    assert key["kid"] == published(broker)[0]
    assert (key["number"], key["state"], key["signs_until"], key["verifies_until"]) == (1, "signs", None, None)
    assert key["signs_from"].endswith("Z")


def test_a_new_key_is_published_and_signs_ten_minutes_later(broker: RunningBroker, folder: Path) -> None:
    assert "Key 2 signs from 20" in run("keys", "rotate", folder).stdout
    broker.clock.advance(6)
    old, new = published(broker)
    assert signer_of(broker.sign_in()["access_token"]) == old
    broker.clock.advance(600)
    assert signer_of(broker.sign_in()["access_token"]) == new


def test_a_stolen_key_and_all_that_it_signed_is_worth_nothing_within_ten_seconds(
    broker: RunningBroker, folder: Path
) -> None:
    grant = broker.sign_in()
    assert broker.get("/simple/", grant["access_token"]).status_code == 200  # verified, and remembered
    old = published(broker)
    assert run("keys", "rotate", folder, "--at-once", "--yes").stdout == "Key 2 signs now.\n"
    broker.clock.advance(6)
    assert broker.get("/simple/", grant["access_token"]).status_code == 401
    assert set(published(broker)).isdisjoint(old)
    new = broker.refresh(grant["refresh_token"]).json()["access_token"]  # sessions go on
    assert broker.get("/simple/", new).status_code == 200


@pytest.mark.parametrize("words", [["rotate", "--at-once"], ["revoke", "1"]], ids=["at once", "revoke"])
@pytest.mark.parametrize("typed", ["n\n", ""], ids=["no", "nothing"])
def test_what_ends_tokens_is_asked_first(broker: RunningBroker, folder: Path, words: list[str], typed: str) -> None:
    before = published(broker)
    result = run("keys", *words, folder, typed=typed)
    assert (result.exit_code, "tokens" in result.stderr) == (1, True)
    broker.clock.advance(6)
    assert published(broker) == before


def test_one_key_is_revoked_by_its_number(broker: RunningBroker, folder: Path) -> None:
    token = broker.sign_in()["access_token"]
    assert run("keys", "revoke", "1", folder, typed="y\n").stdout == "Revoked key 1.\n"
    broker.clock.advance(6)
    assert broker.get("/simple/", token).status_code == 401


def test_a_key_that_is_not_there_is_named(folder: Path) -> None:
    result = run("keys", "revoke", "9", folder, "--yes")
    assert (result.exit_code, "there is no key 9" in result.stderr) == (1, True)


def test_a_stolen_secret_is_replaced_by_a_file_and_a_command(broker: RunningBroker, folder: Path) -> None:
    assert published(broker)
    (folder / SECRET_FILE).write_bytes(b"n" * 32)
    assert run("keys", "rotate", folder, "--at-once", "--yes").exit_code == 0
    with closing(Broker.open(folder, http=HttpClient())) as opened:
        assert len(opened.keys.jwks()["keys"]) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("command", ["rotate", "revoke 1", "rotate --at-once"])
def test_changes_are_audited_with_the_key_s_name(broker: RunningBroker, folder: Path, command: str) -> None:
    assert run("keys", *command.split(), folder, "--yes").exit_code == 0
    with broker.broker.store.reading() as connection:
        rows = connection.execute(schema.audit.select()).all()
    assert rows[-1].event in {"key-rotated", "keys-replaced", "key-revoked"}
    assert len(rows[-1].about) == 43


@pytest.mark.parametrize(
    "words",
    [
        *("keys", "keys list", "keys rotate", "keys revoke"),
        *("resource-server", "resource-server add", "resource-server list", "resource-server remove"),
    ],
)
def test_help_shows_an_example(words: str) -> None:
    assert "Example:" in run(*words.split(), "--help").output


# Resource servers


def test_a_resource_server_s_secret_is_printed_once_and_kept_as_a_hash(broker: RunningBroker, folder: Path) -> None:
    result = run("resource-server", "add", "artifactory", folder)
    secret = result.stdout.strip()
    assert secret.startswith("ips_")
    assert secret not in result.stderr
    answer = broker.http.post(
        f"{broker.url}/oauth/introspect", data={"token": "x"}, auth=("artifactory", secret), timeout=30
    )
    assert answer.json() == {"active": False}
    with broker.broker.store.reading() as connection:
        assert secret not in str(connection.execute(schema.resource_servers.select()).all())
    assert secret not in run("resource-server", "list", folder).output


def test_resource_servers_are_added_listed_and_removed(folder: Path) -> None:
    assert run("resource-server", "list", folder, "--json").stdout == "[]\n"
    assert json.loads(run("resource-server", "add", "artifactory", folder, "--json").stdout)["name"] == "artifactory"
    assert [each["name"] for each in json.loads(run("resource-server", "list", folder, "--json").stdout)] == [
        "artifactory"
    ]
    assert run("resource-server", "remove", "artifactory", folder).stdout == "Removed artifactory.\n"
    assert run("resource-server", "list", folder).stdout == "NAME  SINCE\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["add", "artifactory"], "already"),
        (["add", "With Capitals"], "cannot be a name"),
        (["remove", "artifactoy"], "did you mean artifactory?"),
    ],
    ids=["twice", "no name", "unknown"],
)
def test_a_resource_server_that_cannot_be_is_refused(folder: Path, words: list[str], says: str) -> None:
    run("resource-server", "add", "artifactory", folder)
    result = run("resource-server", *words, folder)
    assert (result.exit_code, says in result.stderr) == (1, True)
