"""PostgreSQL is gone or stands still: checks go on, nothing is minted, and all is well again without help."""

from __future__ import annotations

import logging
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from indexpass._credential import Credential
from indexpass._secret import Secret
from indexpass._wire import CLIENT_ID
from servers.lines import line_to
from servers.visitors import VisitorBrowser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import SignedIn
    from servers.brokers import RunningBroker, StartBroker
    from servers.issuers import Issuer
    from servers.lines import Line
    from servers.postgres import Postgres

RECOVERY_SECONDS = 60
ASKED = {
    "refresh": {"grant_type": "refresh_token", "refresh_token": "ipr_anything"},
    "device-code": {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "client_id": CLIENT_ID,
        "device_code": "ipd_anything",
    },
    "code": {
        "grant_type": "authorization_code",
        "client_id": CLIENT_ID,
        "code": "ipc_anything",
        "redirect_uri": "http://127.0.0.1:1/callback",
        "code_verifier": "v" * 43,
    },
}


@pytest.fixture
def server(stoppable_postgres: Postgres) -> Postgres:
    return stoppable_postgres


@pytest.fixture
def line(server: Postgres) -> Iterator[Line]:
    """The way from the broker to its database, in tests that ask for it."""
    with tempfile.TemporaryDirectory() as folder, line_to(server.socket, Path(folder)) as line:
        yield line


@pytest.fixture
def new_database(server: Postgres, request: pytest.FixtureRequest) -> Callable[[Path], str]:
    if "line" not in request.fixturenames:
        return lambda _folder: server.prepared()
    line: Line = request.getfixturevalue("line")
    return lambda _folder: server.prepared().replace(str(server.folder), str(line.folder))


@pytest.fixture
def broker(start_broker: StartBroker, issuer: Issuer) -> RunningBroker:
    return start_broker(issuer.policy("read", audience="{url}", replay="until-exp"))


def assert_later(answer: requests.Response) -> None:
    """The broker says that it can do nothing now, and when to come back."""
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable"), answer.text
    assert int(answer.headers["Retry-After"]) > 0


def ask(broker: RunningBroker, refresh_token: str) -> requests.Response:
    """Refresh on a connection of its own: a session of requests is for one thread."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return requests.post(f"{broker.url}/oauth/token", data=form, timeout=30)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + RECOVERY_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.2)


# Gone


@pytest.mark.parametrize("old", [0, 60, 3000], ids=["fresh-list", "old-list", "very-old-list"])
def test_checks_go_on(broker: RunningBroker, server: Postgres, old: int) -> None:
    token = broker.sign_in()["access_token"]
    server.stop()
    broker.clock.advance(old)
    assert broker.get("/simple/", token).status_code == 200
    assert broker.get("/check?index=acme", token, **{"X-Original-Method": "GET"}).status_code == 204


def test_what_was_revoked_stays_so(broker: RunningBroker, server: Postgres) -> None:
    answer = broker.sign_in()
    broker.post("/oauth/revoke", token=answer["refresh_token"])
    assert broker.get("/simple/", answer["access_token"]).status_code == 401
    server.stop()
    broker.clock.advance(60)
    assert broker.get("/simple/", answer["access_token"]).status_code == 401


@pytest.mark.parametrize(
    "path", ["/jwks.json", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/healthz"]
)
def test_what_needs_no_database_is_answered(broker: RunningBroker, server: Postgres, path: str) -> None:
    before = broker.get(path).text
    server.stop()
    broker.clock.advance(60)
    assert (broker.get(path).status_code, broker.get(path).text) == (200, before)


@pytest.mark.parametrize("form", ASKED.values(), ids=ASKED)
def test_nothing_is_minted(broker: RunningBroker, server: Postgres, form: dict[str, str]) -> None:
    server.stop()
    assert_later(broker.post("/oauth/token", **form))


def test_nothing_is_minted_for_an_identity_token(broker: RunningBroker, server: Postgres, issuer: Issuer) -> None:
    token = issuer.token(aud=broker.url)
    assert broker.exchange(token).status_code == 200
    server.stop()
    assert_later(broker.exchange(token))


@pytest.mark.parametrize("path", ["/oauth/device_authorization", "/oauth/revoke"])
def test_nothing_is_begun_or_ended(broker: RunningBroker, server: Postgres, path: str) -> None:
    token = broker.sign_in()["refresh_token"]
    server.stop()
    assert_later(broker.post(path, client_id=CLIENT_ID, token=token))


def test_a_refresh_token_is_as_good_as_before_when_it_is_back(broker: RunningBroker, server: Postgres) -> None:
    token = broker.sign_in()["refresh_token"]
    server.stop()
    assert_later(broker.refresh(token))
    server.start()
    wait_until(lambda: broker.refresh(token).status_code == 200)


def test_a_person_who_signs_in_sees_a_page_that_says_so(broker: RunningBroker, server: Postgres) -> None:
    browser = VisitorBrowser(broker)
    browser.open("/device")
    server.stop()
    page = browser.sign_in()
    assert page.status_code == 503
    assert int(page.headers["Retry-After"]) > 0
    assert "does not answer" in page.text


def test_a_refusal_that_cannot_be_shown_to_anybody_is_such_a_page_too(broker: RunningBroker, server: Postgres) -> None:
    browser = VisitorBrowser(broker)
    browser.open("/device")
    browser.sign_in()
    server.stop()
    assert browser.send("/device", user_code="x" * 10_000).status_code == 503


def test_what_was_going_on_is_said_in_the_log_once(
    broker: RunningBroker, server: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    for _ in range(5):
        broker.refresh("ipr_the-secret")
    said = [record.message for record in caplog.records if "does not answer:" in record.message]
    assert len(said) == 1
    assert "the-secret" not in caplog.text


# Standing still: connections stay open, new ones are taken, and nobody answers


def test_checks_go_on_while_the_database_stands_still(
    broker: RunningBroker, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="indexpass.broker")
    token = broker.sign_in()["access_token"]
    line.stop_flow()
    broker.clock.advance(60)
    assert broker.get("/simple/", token).status_code == 200
    assert "cannot be read" not in caplog.text  # whoever reads the list still waits for it
    assert [broker.get("/simple/", token).status_code for _ in range(20)] == [200] * 20


def test_all_who_ask_for_tokens_are_told_and_checks_go_on_meanwhile(broker: RunningBroker, line: Line) -> None:
    """More ask than the broker has threads: nobody may wait behind those who wait for the database."""
    answer = broker.sign_in()
    line.stop_flow()
    with ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(ask, broker, answer["refresh_token"]) for _ in range(60)]
        assert broker.get("/simple/", answer["access_token"]).status_code == 200
        for each in asked:
            assert_later(each.result())
    line.resume_flow()
    wait_until(lambda: broker.refresh(answer["refresh_token"]).status_code == 200)


def test_a_client_hears_of_it_before_it_gives_up(signed_in: SignedIn, line: Line) -> None:
    line.stop_flow()
    signed_in.machine.keyring().assert_explained("not ready", "503")


# Clients


def test_a_client_without_a_credential_says_so_and_goes_on(signed_in: SignedIn, server: Postgres) -> None:
    server.stop()
    signed_in.machine.keyring().assert_explained("not ready", "503")


def test_a_client_goes_on_with_a_credential_that_is_still_usable(signed_in: SignedIn, server: Postgres) -> None:
    now = time.time()
    signed_in.machine.hold(Credential("__token__", Secret("usable"), now - 3000, now + 600))
    server.stop()
    assert signed_in.machine.keyring().secret == "usable"
