"""Requests to the OAuth endpoints that are not as the RFCs want them: each is told so, and nothing comes of it."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert

from indexpass._wire import CLIENT_ID, GRANT_EXCHANGE, GRANT_REFRESH, TYPE_ID_TOKEN
from indexpass.broker.state import devices, schema

if TYPE_CHECKING:
    import requests

    from servers.brokers import RunningBroker, StartBroker

FORM = "application/x-www-form-urlencoded"
ENDPOINTS = ["/oauth/token", "/oauth/device_authorization", "/oauth/revoke", "/oauth/introspect"]
DOCUMENTS = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/jwks.json"]


@pytest.fixture
def broker(start_broker: StartBroker) -> RunningBroker:
    return start_broker()


def send(
    broker: RunningBroker, path: str, body: bytes = b"", *, method: str = "POST", **headers: str
) -> requests.Response:
    """Send a body as it stands."""
    said = {"Content-Type": FORM, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return broker.http.request(method, f"{broker.url}{path}", data=body, headers=said, timeout=30)


def error_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


# Methods


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
def test_a_form_is_sent_by_post_only(broker: RunningBroker, method: str) -> None:
    answers = [send(broker, path, method=method) for path in ENDPOINTS]
    assert {(answer.status_code, answer.headers["Allow"]) for answer in answers} == {(405, "POST")}


def test_documents_are_read_by_get_and_head_only(broker: RunningBroker) -> None:
    for path in DOCUMENTS:
        assert [send(broker, path, method=method).status_code for method in ("GET", "HEAD", "POST")] == [200, 200, 405]


# Bodies


@pytest.mark.parametrize(
    ("body", "content_type", "refusal"),
    [
        pytest.param(b"token=a&token=b", FORM, (400, "invalid_request"), id="twice"),
        pytest.param(b"token=%00", FORM, (400, "invalid_request"), id="NUL"),
        pytest.param(b"token=%ff", FORM, (400, "invalid_request"), id="not-utf-8"),
        pytest.param(b'{"token": "a"}', "application/json", (400, "invalid_request"), id="json"),
        pytest.param(b"token=a", "text/plain", (400, "invalid_request"), id="text"),
        pytest.param(b"token=" + b"a" * 70_000, FORM, (413, "invalid_request"), id="huge"),
    ],
)
def test_a_body_that_is_no_form_is_refused_everywhere(
    broker: RunningBroker, body: bytes, content_type: str, refusal: tuple[int, str]
) -> None:
    answers = [send(broker, path, body, Content_Type=content_type) for path in ENDPOINTS]
    assert {error_of(answer) for answer in answers} == {refusal}
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}


def test_parameters_in_the_url_are_refused_everywhere(broker: RunningBroker) -> None:
    answers = [send(broker, f"{path}?token=a", b"token=a") for path in ENDPOINTS]
    assert {error_of(answer) for answer in answers} == {(400, "invalid_request")}


def test_a_token_in_the_url_is_refused_and_not_revoked(broker: RunningBroker) -> None:
    token = broker.sign_in()["access_token"]
    assert send(broker, f"/oauth/revoke?token={token}").status_code == 400
    assert broker.get("/simple/", token).status_code == 200


def test_a_body_without_end_is_answered_before_it_ends(broker: RunningBroker) -> None:
    def endless() -> object:
        for _ in range(64):
            yield b"a=" + b"x" * 4096

    answer = broker.http.post(f"{broker.url}/oauth/token", data=endless(), headers={"Content-Type": FORM}, timeout=30)
    assert error_of(answer) == (413, "invalid_request")


# Clients


def basic(name: str, secret: str = "") -> str:
    return f"Basic {b64encode(f'{name}:{secret}'.encode()).decode()}"


@pytest.mark.parametrize(
    "authorization",
    [basic("another"), basic(CLIENT_ID, "secret"), "Bearer abc", "Basic !"],
    ids=["another", "with a secret", "Bearer", "garbled"],
)
def test_who_is_not_the_client_is_refused_with_a_challenge(broker: RunningBroker, authorization: str) -> None:
    body = b"token=a&grant_type=refresh_token&refresh_token=a"
    answers = [send(broker, path, body, Authorization=authorization) for path in ENDPOINTS]
    assert {error_of(answer) for answer in answers} == {(401, "invalid_client")}
    assert all(answer.headers["WWW-Authenticate"].startswith("Basic realm=") for answer in answers)


def test_the_client_may_say_its_name_by_basic_with_an_empty_secret(broker: RunningBroker) -> None:
    grant = broker.sign_in()
    body = f"grant_type={GRANT_REFRESH}&refresh_token={grant['refresh_token']}".encode()
    assert send(broker, "/oauth/token", body, Authorization=basic(CLIENT_ID)).status_code == 200


def test_a_device_sign_in_may_begin_by_basic(broker: RunningBroker) -> None:
    assert send(broker, "/oauth/device_authorization", Authorization=basic(CLIENT_ID)).status_code == 200


# What is not offered


@pytest.mark.parametrize(
    "grant", ["password", "client_credentials", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", "x" * 500]
)
def test_other_grants_are_not_supported(broker: RunningBroker, grant: str) -> None:
    assert error_of(broker.post("/oauth/token", grant_type=grant)) == (400, "unsupported_grant_type")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"audience": "acme"}, "invalid_target"),
        ({"actor_token": "a.b.c"}, "invalid_request"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
    ],
    ids=["audience", "actor", "refresh token", "SAML"],
)
def test_parts_of_token_exchange_that_are_not_offered_are_refused(
    broker: RunningBroker, form: dict[str, str], error: str
) -> None:
    asked = {"grant_type": GRANT_EXCHANGE, "subject_token": "a.b.c", "subject_token_type": TYPE_ID_TOKEN, **form}
    assert error_of(broker.post("/oauth/token", **asked)) == (400, error)


def test_two_resources_are_refused_because_a_token_is_for_one_index(broker: RunningBroker) -> None:
    body = f"grant_type={GRANT_REFRESH}&refresh_token=a&resource=a&resource=b".encode()
    assert error_of(send(broker, "/oauth/token", body)) == (400, "invalid_target")


# Device sign-ins that wait


def begin(broker: RunningBroker) -> requests.Response:
    return broker.post("/oauth/device_authorization", client_id=CLIENT_ID)


def fill(broker: RunningBroker, count: int, address: str) -> None:
    """Have so many sign-ins wait that began just now."""
    common = {"client_id": CLIENT_ID, "resource": broker.index, "scope": "pypi:read", "interval": 5, "groups": "[]"}
    times = {"created_at": broker.clock(), "expires_at": broker.clock() + devices.LIFE_SECONDS}
    codes = [{"device_code_sha256": f"{address} {number}", "user_code": f"{number:08}"} for number in range(count)]
    rows = [{**common, **times, **code, "address": address} for code in codes]
    with broker.broker.store.writing() as connection:
        connection.execute(insert(schema.device_codes), rows)


def test_so_many_sign_ins_wait_at_one_address_and_no_more(broker: RunningBroker) -> None:
    fill(broker, devices.MAX_WAITING_AT_ADDRESS - 1, "127.0.0.1")
    answers = [begin(broker) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].json()["error"] == "slow_down"
    assert 500 < int(answers[1].headers["Retry-After"]) <= 600


def test_those_of_other_addresses_do_not_count(broker: RunningBroker) -> None:
    fill(broker, devices.MAX_WAITING_AT_ADDRESS, "192.0.2.1")
    assert begin(broker).status_code == 200


def test_in_all_there_is_a_limit_too(broker: RunningBroker) -> None:
    fill(broker, devices.MAX_WAITING, "192.0.2.1")
    assert begin(broker).status_code == 429


def test_one_that_is_decided_makes_room(broker: RunningBroker) -> None:
    fill(broker, devices.MAX_WAITING_AT_ADDRESS - 1, "127.0.0.1")
    broker.decide(begin(broker).json()["user_code"])
    assert begin(broker).status_code == 200


def test_those_that_are_over_make_room(broker: RunningBroker) -> None:
    fill(broker, devices.MAX_WAITING_AT_ADDRESS, "127.0.0.1")
    broker.clock.advance(601)
    assert begin(broker).status_code == 200
