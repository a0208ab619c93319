"""The broker as whoever runs it meets it: health, limits, metrics, usage, log and stop."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import sys
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest
import requests
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from indexpass._authorization import challenge_of, new_verifier
from indexpass._http import HttpClient
from indexpass._wire import CLIENT_ID, GRANT_CODE, GRANT_EXCHANGE, GRANT_REFRESH, TYPE_ID_TOKEN
from indexpass.broker import upkeep
from indexpass.broker.exposition import registry_of
from indexpass.broker.health import MAX_LIST_AGE_SECONDS
from indexpass.broker.serve import LINGER_SECONDS
from indexpass.broker.service import Broker
from indexpass.broker.settings import starter
from indexpass.broker.state import audit, invitations, users
from indexpass.broker.state.usage import Search, Used
from servers.broker_process import running
from servers.brokers import Clock, RunningBroker
from servers.loopback import free_port
from servers.visitors import PASSWORD, VisitorBrowser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.brokers import StartBroker
    from servers.issuers import Issuer

ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}
LIMITS = """
[limits]
refused-exchanges = "3 in 1h"
wrong-passwords = "2 in 1h"
"""
WHEEL = "/packages/acme_lib-1.10-py3-none-any.whl"


@pytest.fixture
def broker(start_broker: StartBroker) -> RunningBroker:
    return start_broker()


# Health


def test_a_broker_that_can_mint_is_ready(broker: RunningBroker) -> None:
    answer = broker.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "failing": []})


def test_without_its_database_a_broker_is_alive_but_not_ready_and_says_no_more(broker: RunningBroker) -> None:
    broker.broker.store.close()
    database = next(broker.packages.parent.glob("broker-*/*.sqlite3"))
    for file in database.parent.glob("*.sqlite3*"):
        file.rename(f"{file}.away")
    answer = broker.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "failing": ["database"]})
    assert broker.get("/healthz").status_code == 200


def test_a_broker_that_does_not_know_what_was_revoked_is_not_ready(broker: RunningBroker) -> None:
    with broker.broker.store.writing() as connection:
        connection.exec_driver_sql("DROP TABLE revocations")
    broker.clock.advance(MAX_LIST_AGE_SECONDS)
    assert broker.get("/readyz").json()["failing"] == ["revocations"]


def test_a_broker_that_nobody_asks_for_checks_stays_ready(broker: RunningBroker) -> None:
    broker.clock.advance(3600)
    assert broker.get("/readyz").status_code == 200


# Limits


def refuse(broker: RunningBroker, **headers: str) -> requests.Response:
    form = {"grant_type": GRANT_REFRESH, "refresh_token": "unknown"}
    return broker.http.post(f"{broker.url}/oauth/token", data=form, headers=headers, timeout=30)


def test_who_is_refused_again_and_again_has_to_wait_in_the_words_of_oauth(start_broker: StartBroker) -> None:
    broker = start_broker(LIMITS)
    assert [refuse(broker).status_code for _ in range(3)] == [400] * 3
    answer = refuse(broker)
    assert (answer.status_code, answer.json()["error"]) == (429, "temporarily_unavailable")
    assert 0 < int(answer.headers["Retry-After"]) <= 3600


def test_what_has_to_wait_is_not_audited_so_that_nobody_fills_the_disk(start_broker: StartBroker) -> None:
    broker = start_broker(LIMITS)
    for _ in range(10):
        refuse(broker)
    assert len(audit.Search().newest(broker.broker.store, 100)) == 3


def test_other_addresses_are_not_concerned(start_broker: StartBroker) -> None:
    broker = start_broker(LIMITS)
    for _ in range(4):
        refuse(broker)
    assert refuse(broker, **ELSEWHERE).status_code == 400


def test_successes_and_waiting_for_a_person_are_never_counted(start_broker: StartBroker) -> None:
    broker = start_broker(LIMITS)
    token = broker.sign_in()["refresh_token"]
    for _ in range(5):
        token = broker.refresh(token).json()["refresh_token"]
        assert broker.poll(broker.begin_device()["device_code"]).json()["error"] == "authorization_pending"
    assert refuse(broker).status_code == 400


def test_who_guesses_passwords_of_many_people_has_to_wait(start_broker: StartBroker) -> None:
    broker = start_broker(LIMITS)
    with closing(VisitorBrowser(broker)) as browser:
        browser.open("/device")
        statuses = [
            browser.submit("password", user=f"user-{number}", password="a wrong guess").status_code
            for number in range(2)
        ]
        browser.open("/device")
        assert (*statuses, browser.submit("password", user="alice", password=PASSWORD).status_code) == (403, 403, 429)


# Usage


def fetch(broker: RunningBroker, token: str, uri: str = WHEEL, method: str = "GET") -> int:
    proxy = {"X-Original-URI": uri, "X-Original-Method": method}
    return broker.get("/check?index=acme", token, **proxy).status_code


def used(broker: RunningBroker) -> list[Used]:
    asyncio.run(upkeep.write_usage(broker.broker))
    return list(Search().by_person(broker.broker.store))


def test_a_file_that_was_let_through_is_counted_by_project_version_and_person(broker: RunningBroker) -> None:
    token = broker.sign_in()["access_token"]
    assert [fetch(broker, token) for _ in range(3)] == [204] * 3
    found = used(broker)
    assert [(each.index, each.project, each.version, each.who, each.times) for each in found] == [
        ("acme", "acme-lib", "1.10", "alice", 3)
    ]


@pytest.mark.parametrize(
    ("uri", "method"),
    [
        ("/simple/acme-lib/", "GET"),
        (f"{WHEEL}.metadata", "GET"),
        ("/packages/nonsense", "GET"),
        (WHEEL, "POST"),
    ],
    ids=["page", "metadata", "no-distribution", "upload"],
)
def test_what_is_no_fetch_of_a_package_is_not_counted(broker: RunningBroker, uri: str, method: str) -> None:
    fetch(broker, broker.sign_in(scope="pypi:read pypi:write")["access_token"], uri, method)
    assert used(broker) == []


def test_what_was_refused_is_not_counted(broker: RunningBroker) -> None:
    assert fetch(broker, "unknown") == 401
    assert used(broker) == []


def test_fetches_from_the_built_in_index_are_counted_too(broker: RunningBroker) -> None:
    token = broker.sign_in()["access_token"]
    broker.get(WHEEL, token)
    assert [each.version for each in used(broker)] == ["1.10"]


def test_nothing_is_counted_where_the_file_does_not_say_so(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker()
    folder = next(tmp_path.glob("broker-*"))
    file = folder / "broker.toml"
    file.write_text(file.read_text().replace("usage = true", ""))
    with free_port() as found:
        port = found.getsockname()[1]
    token = broker.sign_in()["access_token"]
    with running(folder, "--listen", f"127.0.0.1:{port}") as process:
        headers = {"X-Original-URI": WHEEL, "X-Original-Method": "GET"}
        url = f"http://127.0.0.1:{port}/check?index=acme"
        assert requests.get(url, headers=headers, auth=("", token), timeout=30).status_code == 204
        assert process.stop() == 0
    assert used(broker) == []


def test_what_the_database_does_not_take_is_written_once_it_does(broker: RunningBroker) -> None:
    fetch(broker, broker.sign_in()["access_token"])
    with broker.broker.store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE usage RENAME TO away")
    asyncio.run(upkeep.write_usage(broker.broker))
    with broker.broker.store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO usage")
    assert [each.times for each in used(broker)] == [1]


# Metrics


def metrics(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the samples by name, and by the values of their labels in the order of the labels' names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_the_metrics_count_what_happened_and_name_nobody(broker: RunningBroker) -> None:
    token = broker.sign_in(user="carol")["access_token"]
    fetch(broker, token)
    fetch(broker, "unknown")
    refuse(broker)
    text = generate_latest(registry_of(broker.broker)).decode()
    found = metrics(text)
    assert found["indexpass_decisions_total"]["device-exchange", "acme", "granted"] == 1
    assert found["indexpass_decisions_total"]["exchange", "", "denied"] == 1
    assert found["indexpass_checks_total"] == {("acme", "allowed"): 1, ("acme", "unauthorized"): 1}
    assert found["indexpass_exchange_seconds_count"][()] == 2
    assert found["indexpass_sessions"][()] == 1
    assert "carol" not in text


def test_one_check_in_64_is_timed(broker: RunningBroker) -> None:
    for _ in range(65):
        fetch(broker, "unknown")
    assert metrics(generate_latest(registry_of(broker.broker)).decode())["indexpass_check_seconds_count"][()] == 1


def test_without_the_database_the_metrics_leave_out_what_only_it_knows(broker: RunningBroker) -> None:
    with broker.broker.store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE sessions RENAME TO away")
    found = metrics(generate_latest(registry_of(broker.broker)).decode())
    assert "indexpass_sessions" not in found
    assert found["indexpass_database_errors_total"][()] >= 1


# A process of its own


@pytest.fixture
def port() -> int:
    with free_port() as found:
        return int(found.getsockname()[1])


@pytest.fixture
def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def folder(tmp_path: Path, url: str, issuer: Issuer) -> Path:
    """A broker in a folder, which nobody runs yet."""
    made = tmp_path / "broker"
    Broker.create(made, starter.text(url, "acme") + issuer.reading_policy.replace("{url}", url))
    return made


@pytest.fixture
def beside(folder: Path, url: str) -> Iterator[RunningBroker]:
    """The same broker opened by this process, for a look into its database; its clients ask the other process."""
    with closing(Broker.open(folder, http=HttpClient())) as opened, requests.Session() as http:
        http.trust_env = False
        yield RunningBroker(opened, url, folder.parent / "packages", Clock(), None, http, folder)


def test_metrics_are_answered_on_an_address_of_their_own_only(folder: Path, url: str) -> None:
    with free_port() as found:
        address = f"127.0.0.1:{found.getsockname()[1]}"
    file = folder / "broker.toml"
    file.write_text(f'metrics-listen = "{address}"\n{file.read_text()}')
    with running(folder) as process:
        assert "indexpass_build_info" in requests.get(f"http://{address}/metrics", timeout=30).text
        assert requests.get(f"{url}/metrics", timeout=30).status_code == 404
        assert process.stop() == 0


def test_an_address_for_metrics_that_is_taken_is_named(folder: Path) -> None:
    with free_port() as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        file = folder / "broker.toml"
        file.write_text(f'metrics-listen = "{address}"\n{file.read_text()}')
        with pytest.raises(pytest.fail.Exception, match=f"cannot listen on {address} for metrics"), running(folder):
            pass


def test_what_was_fetched_in_the_last_moment_is_written_at_the_stop(folder: Path, beside: RunningBroker) -> None:
    with running(folder) as process:
        assert fetch(beside, beside.sign_in()["access_token"]) == 204
        assert process.stop() == 0
    assert [each.version for each in Search().by_person(beside.broker.store)] == ["1.10"]


def begin_request(port: int, body: bytes) -> socket.socket:
    """Send the head of a request, and return once the broker has taken it up and asked for the body."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    head = (
        "POST /oauth/token HTTP/1.1\r\nHost: broker\r\nExpect: 100-continue\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode())
    assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
    return connection


def takes_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionError:
        return False
    return True


def receive(connection: socket.socket, until: bytes | None = None) -> bytes:
    """Return what the broker says, up to these bytes, or all until it hangs up."""
    received = b""
    while not (until and received.endswith(until)) and (part := connection.recv(65536)):
        received += part
    return received


@pytest.mark.parametrize(
    "options",
    [
        (),
        pytest.param(
            ("--workers", "2"), marks=pytest.mark.skipif(sys.platform != "linux", reason="workers are Linux only")
        ),
    ],
    ids=["one process", "two workers"],
)
def test_every_request_that_was_taken_up_is_answered_after_the_word_to_stop(
    folder: Path, port: int, beside: RunningBroker, options: tuple[str, ...]
) -> None:
    over = threading.Event()
    statuses: list[int] = []

    def press() -> None:
        while not over.is_set():
            with suppress(requests.ConnectionError):  # not taken up: the socket is closed, as it should be
                statuses.append(requests.get(f"{beside.url}/healthz", timeout=30).status_code)
            over.wait(0.01)

    with running(folder, *options) as process:
        token = beside.sign_in()["refresh_token"]
        body = f"grant_type={GRANT_REFRESH}&refresh_token={token}".encode()
        presses = [threading.Thread(target=press) for _ in range(4)]
        for thread in presses:
            thread.start()
        connections = [begin_request(port, body) for _ in range(8)]
        process.process.terminate()
        while takes_connections(port):
            over.wait(0.05)
        over.wait(2 * LINGER_SECONDS)
        for connection in connections:
            connection.sendall(body)
        answers = [receive(connection) for connection in connections]
        for connection in connections:
            connection.close()
        assert process.process.wait(30) == 0
        over.set()
        for thread in presses:
            thread.join(60)
    assert [answer.partition(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * 8
    assert all(json.loads(answer.partition(b"\r\n\r\n")[2])["access_token"] for answer in answers)
    assert set(statuses) == {200}


def test_a_connection_that_is_kept_open_is_told_that_its_answer_was_the_last(folder: Path, port: int) -> None:
    ask = b"GET /healthz HTTP/1.1\r\nHost: broker\r\n\r\n"
    with running(folder) as process, socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        process.process.terminate()
        answer = b""
        while b"connection: close" not in answer:
            connection.sendall(ask)
            answer = receive(connection, until=b"ok\n")
            assert answer.startswith(b"HTTP/1.1 200 OK")
        assert process.process.wait(30) == 0


@pytest.mark.parametrize("form", ["plain", "json"])
def test_no_secret_is_ever_in_the_log(folder: Path, beside: RunningBroker, issuer: Issuer, form: str) -> None:
    with running(folder, "--access-log", "--log-level", "debug", "--log-format", form) as process:
        secrets = use_every_secret(beside, issuer)
        for file in folder.glob("broker.sqlite3*"):  # what fails says more than what does not
            file.rename(file.with_name(f"{file.name}.away"))
        assert beside.refresh(secrets[0]).status_code == 503
        assert process.stop() == 0
        log = process.log
    assert "session-exchange" in log
    assert "/oauth/token" in log
    assert "does not answer" in log
    forms = [shape for secret in secrets for shape in (secret, base64.b64encode(f":{secret}".encode()).decode()[4:-4])]
    assert len(secrets) > 15
    assert [found for found in forms if found in log] == []
    kept = b"".join(path.read_bytes() for path in folder.glob("broker.sqlite3*"))
    assert [secret for secret in secrets if secret.encode() in kept] == []


def use_every_secret(broker: RunningBroker, issuer: Issuer) -> list[str]:
    """Do all that a secret is for, rightly and wrongly, and return the secrets; a refresh token that works is first."""
    known = [PASSWORD, wrong := "a wrong password for alice"]
    with closing(VisitorBrowser(broker)) as browser:
        # By a code on the terminal.
        device = broker.begin_device()
        known.append(device["device_code"])
        browser.open(device["verification_uri_complete"])
        browser.sign_in(wrong)
        browser.sign_in()
        browser.decide()
        answer = broker.poll(device["device_code"]).json()
        # In the browser of the same machine.
        verifier, callback = new_verifier(), "http://127.0.0.1:49152/callback"
        asked = requests.Request(
            "GET",
            f"{broker.url}/oauth/authorize",
            params={
                "response_type": "code",
                "client_id": CLIENT_ID,
                "redirect_uri": callback,
                "state": "state",
                "resource": broker.index,
                "scope": "pypi:read",
                "code_challenge_method": "S256",
                "code_challenge": challenge_of(verifier),
            },
        ).prepare()
        browser.open(str(asked.url))
        code = browser.decide().headers["Location"].partition("code=")[2].partition("&")[0]
        form = {"code": code, "client_id": CLIENT_ID, "redirect_uri": callback, "code_verifier": verifier.reveal()}
        second = broker.post("/oauth/token", grant_type=GRANT_CODE, **form).json()
        known += [code, verifier.reveal(), *tokens(answer), *tokens(second)]
        known += browser.cookies
    # An invitation, and an identity token.
    with broker.broker.store.writing() as connection:
        users.add(connection, "bob", None, broker.clock())
        invitation = invitations.begin(connection, "bob", seconds=3600, now=broker.clock()).reveal()
    with closing(VisitorBrowser(broker)) as browser:
        browser.open("/invitation")
        browser.submit("code", code=invitation, password="the next password", again="the next password")
    identity = issuer.token(aud=broker.url)
    third = broker.exchange(identity, resource=broker.index).json()
    known += [invitation, "the next password", identity.reveal(), *tokens(third)]
    # Wrongly: twice, in the wrong place, in the wrong form.
    broker.exchange(identity, resource=broker.index)
    for secret in known[2:]:
        broker.get(f"/healthz?token={secret}")
        broker.get("/check?index=acme", secret)
        broker.post(f"/oauth/token?refresh_token={secret}", grant_type=GRANT_EXCHANGE, subject_token_type=TYPE_ID_TOKEN)
        broker.http.post(f"{broker.url}/oauth/token", data=secret, timeout=30)
        broker.http.post(f"{broker.url}/_/oidc/mint-token", data=secret, timeout=30)
        broker.post("/oauth/token", grant_type=secret)
        broker.post("/oauth/revoke", token=f"{secret}x")
        broker.http.get(f"{broker.url}/simple/", headers={"Authorization": f"Negotiate {secret}"}, timeout=30)
    last = broker.refresh(second["refresh_token"]).json()
    return [last["refresh_token"], last["access_token"], *known]


def tokens(answer: dict[str, str]) -> list[str]:
    return [answer[name] for name in ("access_token", "refresh_token") if name in answer]
