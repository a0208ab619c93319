"""What a resource server is told of a token (RFC 7662), and who is told nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from indexpass._wire import CLIENT_ID
from indexpass.broker.state import resource_servers

if TYPE_CHECKING:
    import requests

    from servers.brokers import RunningBroker, StartBroker
    from servers.issuers import Issuer


@pytest.fixture
def broker(start_broker: StartBroker) -> RunningBroker:
    return start_broker()


def add_server(broker: RunningBroker, name: str = "artifactory") -> str:
    with broker.broker.store.writing() as connection:
        secret = resource_servers.add(connection, name, broker.clock())
    assert secret is not None
    return secret.reveal()


def ask(broker: RunningBroker, token: str, *, auth: tuple[str, str] | None, **form: str) -> requests.Response:
    return broker.http.post(f"{broker.url}/oauth/introspect", data={"token": token, **form}, auth=auth, timeout=30)


def said_of(broker: RunningBroker, token: str, **form: str) -> dict[str, object]:
    """Ask as a resource server that has just been added."""
    return dict(ask(broker, token, auth=("artifactory", add_server(broker)), **form).json())


def test_a_good_token_is_described(broker: RunningBroker) -> None:
    said = said_of(broker, broker.sign_in(scope="pypi:write pypi:read")["access_token"])
    times = (said.pop("iat"), said.pop("exp"))
    assert said.pop("jti")
    assert said == {
        "active": True,
        "iss": broker.url,
        "sub": "alice",
        "username": "alice",
        "aud": broker.index,
        "client_id": CLIENT_ID,
        "scope": "pypi:read pypi:write",
        "token_type": "Bearer",
    }
    assert times[1] - times[0] == 900  # type: ignore[operator]


def test_the_projects_of_a_bound_token_are_named(start_broker: StartBroker, issuer: Issuer) -> None:
    broker = start_broker(issuer.policy("upload", more='projects = ["acme-tools", "acme-app"]'))
    token = broker.exchange(issuer.token(), scope="pypi:write").json()["access_token"]
    said = said_of(broker, token)
    assert said["projects"] == {"pypi:write": ["acme-app", "acme-tools"]}
    assert "username" not in said


def test_an_answer_is_not_to_be_cached(broker: RunningBroker) -> None:
    answer = ask(broker, "x", auth=("artifactory", add_server(broker)))
    assert answer.headers["Cache-Control"] == "no-store"


def test_an_expired_token_is_not_active(broker: RunningBroker) -> None:
    token = broker.sign_in()["access_token"]
    broker.clock.advance(3600)
    assert said_of(broker, token) == {"active": False}


def test_a_revoked_token_is_not_active_from_that_moment_on(broker: RunningBroker) -> None:
    token = broker.sign_in()["access_token"]
    broker.post("/oauth/revoke", token=token)
    assert said_of(broker, token) == {"active": False}


def test_a_token_whose_session_was_ended_is_not_active(broker: RunningBroker) -> None:
    grant = broker.sign_in()
    broker.post("/oauth/revoke", token=grant["refresh_token"])
    assert said_of(broker, grant["access_token"]) == {"active": False}


@pytest.mark.parametrize("token", ["unknown", "a.b.c", "x" * 5000, "ipd_x", "\N{SNOWMAN}"])
def test_what_is_no_token_of_ours_is_not_active(broker: RunningBroker, token: str) -> None:
    assert said_of(broker, token) == {"active": False}


def test_a_refresh_token_is_nothing_to_who_asks_about_an_access_token(broker: RunningBroker) -> None:
    assert said_of(broker, broker.sign_in()["refresh_token"]) == {"active": False}


def test_of_a_refresh_token_it_is_said_that_it_works_and_no_more(broker: RunningBroker) -> None:
    said = said_of(broker, broker.sign_in()["refresh_token"], token_type_hint="refresh_token")
    assert set(said) == {"active", "iss", "client_id", "exp"}
    assert said["active"] is True


@pytest.mark.parametrize("event", ["used", "revoked", "over", "an access token"])
def test_a_refresh_token_that_does_not_work_is_not_active(broker: RunningBroker, event: str) -> None:
    grant = broker.sign_in()
    if event == "used":
        broker.refresh(grant["refresh_token"])
    if event == "revoked":
        broker.post("/oauth/revoke", token=grant["refresh_token"])
    if event == "over":
        broker.clock.advance(24 * 3600)
    token = grant["access_token" if event == "an access token" else "refresh_token"]
    assert said_of(broker, token, token_type_hint="refresh_token") == {"active": False}


@pytest.mark.parametrize("hint", ["access_token", "something else"])
def test_another_hint_changes_nothing(broker: RunningBroker, hint: str) -> None:
    assert said_of(broker, broker.sign_in()["access_token"], token_type_hint=hint)["active"] is True


@pytest.mark.parametrize(
    "auth",
    [None, ("artifactory", ""), ("artifactory", "guessed"), ("another", "{secret}"), ("", "{secret}")],
    ids=["nobody", "no secret", "wrong secret", "another's secret", "no name"],
)
def test_who_does_not_show_the_secret_is_told_nothing(broker: RunningBroker, auth: tuple[str, str] | None) -> None:
    secret = add_server(broker)
    shown = (auth[0], auth[1].replace("{secret}", secret)) if auth else None
    answer = ask(broker, broker.sign_in()["access_token"], auth=shown)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_the_public_client_may_not_ask(broker: RunningBroker) -> None:
    token = broker.sign_in()["access_token"]
    assert ask(broker, token, auth=(CLIENT_ID, "")).status_code == 401


def test_a_server_that_was_removed_is_told_nothing(broker: RunningBroker) -> None:
    secret = add_server(broker)
    with broker.broker.store.writing() as connection:
        assert resource_servers.remove(connection, "artifactory")
    assert ask(broker, "x", auth=("artifactory", secret)).status_code == 401


def test_a_token_is_required(broker: RunningBroker) -> None:
    answer = ask(broker, "", auth=("artifactory", add_server(broker)))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
