"""The broker's protocol, spoken over HTTP with a real server: what any client of it may rely on."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import jwt
import pytest
import requests

from indexpass._wire import CLIENT_ID, GRANT_DEVICE, GRANT_EXCHANGE, GRANT_REFRESH, TYPE_ID_TOKEN
from servers.issuers import AUDIENCE, Issuer
from servers.postgres import on_both

if TYPE_CHECKING:
    from servers.brokers import RunningBroker, StartBroker

pytestmark = on_both
OTHER = """
[[index]]
name = "other"
url = "https://other.example/simple/"
[[policy]]
name = "other-readers"
index = "other"
operations = ["read"]
users = ["*"]
"""

SECOND = """
[[index]]
name = "second"
url = "{url}/second/simple/"
[[policy]]
name = "second-readers"
index = "second"
operations = ["read"]
users = ["*"]
"""


@pytest.fixture
def broker(start_broker: StartBroker) -> RunningBroker:
    return start_broker()


@pytest.fixture
def ci_broker(start_broker: StartBroker, issuer: Issuer) -> RunningBroker:
    return start_broker(issuer.policy("upload"))


def claims_of(broker: RunningBroker, token: str) -> dict[str, object]:
    """Verify the token as a stranger would: with the published keys."""
    key = jwt.PyJWKSet.from_dict(broker.get("/jwks.json").json())[jwt.get_unverified_header(token)["kid"]]
    return dict(jwt.decode(token, key, algorithms=["ES256"], audience=broker.index, issuer=broker.url))


# Metadata


@pytest.mark.parametrize(
    "path", ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"], ids=["rfc8414", "oidc"]
)
def test_the_metadata_names_the_issuer_and_only_endpoints_below_it(broker: RunningBroker, path: str) -> None:
    document = broker.get(path).json()
    assert document["issuer"] == broker.url
    endpoints = [value for key, value in document.items() if key.endswith(("_endpoint", "_uri"))]
    assert len(endpoints) == 6
    assert all(endpoint.startswith(f"{broker.url}/") for endpoint in endpoints)


@pytest.mark.parametrize("slash", ["", "/"], ids=["rfc9728", "trailing slash"])
def test_the_index_says_who_its_broker_is(broker: RunningBroker, slash: str) -> None:
    document = broker.get(f"/.well-known/oauth-protected-resource/simple{slash}").json()
    assert (document["resource"], document["authorization_servers"]) == (broker.index, [broker.url])
    assert document["indexpass_upload_url"] == f"{broker.url}/legacy/"


def test_the_published_keys_are_public(broker: RunningBroker) -> None:
    (key,) = broker.get("/jwks.json").json()["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_the_broker_says_that_it_is_well(broker: RunningBroker) -> None:
    assert broker.get("/healthz").status_code == 200


# The device flow


def test_a_device_sign_in_waits_until_the_person_has_decided(broker: RunningBroker) -> None:
    device = broker.begin_device()
    answer = broker.poll(device["device_code"])
    assert (answer.status_code, answer.json()["error"]) == (400, "authorization_pending")


def test_who_polls_too_soon_is_told_to_slow_down(broker: RunningBroker) -> None:
    device = broker.begin_device()
    broker.poll(device["device_code"])
    assert broker.poll(device["device_code"]).json()["error"] == "slow_down"


def test_slowing_down_lasts_for_all_later_polls(broker: RunningBroker) -> None:
    device = broker.begin_device()
    broker.poll(device["device_code"])
    broker.poll(device["device_code"])
    broker.clock.advance(6)  # the first interval, but not the one that was made longer
    assert broker.poll(device["device_code"]).json()["error"] == "slow_down"


def test_an_approved_sign_in_yields_a_token_and_a_session(broker: RunningBroker) -> None:
    grant = broker.sign_in()
    assert grant["user"] == "alice"
    assert (grant["token_type"], grant["expires_in"], grant["scope"]) == ("Bearer", 3600, "pypi:read")
    assert grant["refresh_token"]


def test_a_denied_sign_in_is_over(broker: RunningBroker) -> None:
    device = broker.begin_device()
    broker.decide(device["user_code"], approved=False)
    assert broker.poll(device["device_code"]).json()["error"] == "access_denied"


def test_a_sign_in_that_nobody_decides_expires(broker: RunningBroker) -> None:
    device = broker.begin_device()
    broker.clock.advance(601)
    assert broker.poll(device["device_code"]).json()["error"] == "expired_token"


def test_a_device_code_works_once(broker: RunningBroker) -> None:
    device = broker.begin_device()
    broker.decide(device["user_code"])
    broker.poll(device["device_code"])
    assert broker.poll(device["device_code"]).json()["error"] == "invalid_grant"


def test_the_page_to_approve_on_is_the_broker_s_own(broker: RunningBroker) -> None:
    device = broker.begin_device()
    assert device["verification_uri"] == f"{broker.url}/device"
    assert device["verification_uri_complete"].endswith(f"?user_code={device['user_code']}")
    assert broker.get("/device").status_code == 200


def test_a_sign_in_needs_the_name_of_its_client(broker: RunningBroker) -> None:
    assert broker.post("/oauth/device_authorization").json()["error"] == "invalid_request"


# Access tokens


def test_a_token_says_what_rfc_9068_asks_for(broker: RunningBroker) -> None:
    token = broker.sign_in()["access_token"]
    claims = claims_of(broker, token)
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    assert {"iss", "sub", "aud", "client_id", "iat", "exp", "jti", "scope", "sid", "policy"} == set(claims)
    assert (claims["sub"], claims["aud"], claims["policy"]) == ("alice", broker.index, "people")


def test_a_token_answer_is_not_to_be_cached(broker: RunningBroker) -> None:
    device = broker.begin_device()
    broker.decide(device["user_code"])
    assert broker.poll(device["device_code"]).headers["Cache-Control"] == "no-store"


# Sessions


def test_a_session_yields_tokens_for_uploading(broker: RunningBroker) -> None:
    answer = broker.refresh(broker.sign_in()["refresh_token"], resource=broker.index, scope="pypi:write").json()
    assert (answer["scope"], answer["expires_in"]) == ("pypi:write", 900)


def test_both_scopes_at_once_live_as_long_as_the_shorter(broker: RunningBroker) -> None:
    answer = broker.refresh(broker.sign_in()["refresh_token"], scope="pypi:write pypi:read").json()
    assert (answer["scope"], answer["expires_in"]) == ("pypi:read pypi:write", 900)


def test_a_refresh_token_is_replaced_on_each_use(broker: RunningBroker) -> None:
    first = broker.sign_in()["refresh_token"]
    second = broker.refresh(first).json()["refresh_token"]
    third = broker.refresh(second).json()["refresh_token"]
    assert len({first, second, third}) == 3


def test_a_client_that_lost_the_answer_gets_the_same_successor(broker: RunningBroker) -> None:
    first = broker.sign_in()["refresh_token"]
    successors = {broker.refresh(first).json()["refresh_token"] for _ in range(3)}
    assert len(successors) == 1


def test_a_refresh_token_that_is_used_again_later_ends_the_session(broker: RunningBroker) -> None:
    first = broker.sign_in()["refresh_token"]
    second = broker.refresh(first).json()["refresh_token"]
    broker.clock.advance(31)
    assert broker.refresh(first).json()["error"] == "invalid_grant"
    assert broker.refresh(second).json()["error"] == "invalid_grant"


def test_the_end_of_a_session_ends_its_access_tokens(broker: RunningBroker) -> None:
    grant = broker.sign_in()
    broker.refresh(grant["refresh_token"])
    broker.clock.advance(31)
    broker.refresh(grant["refresh_token"])
    assert broker.get("/simple/", grant["access_token"]).status_code == 401


def test_a_session_ends_however_often_it_is_used(broker: RunningBroker) -> None:
    refresh_token = broker.sign_in()["refresh_token"]
    for _ in range(3):
        broker.clock.advance(7 * 3600)
        refresh_token = broker.refresh(refresh_token).json()["refresh_token"]
    broker.clock.advance(3 * 3600 + 1)
    assert broker.refresh(refresh_token).json()["error"] == "invalid_grant"


def test_a_denial_does_not_use_the_refresh_token_up(start_broker: StartBroker) -> None:
    broker = start_broker(OTHER)
    grant = broker.sign_in(resource=broker.index)
    denied = broker.refresh(grant["refresh_token"], resource="https://other.example/simple/", scope="pypi:write")
    broker.clock.advance(60)
    assert denied.json()["error"] == "invalid_target"
    assert broker.refresh(grant["refresh_token"], resource=broker.index).status_code == 200


# Identity tokens


def test_an_identity_token_yields_a_token_without_a_session(ci_broker: RunningBroker, issuer: Issuer) -> None:
    answer = ci_broker.exchange(issuer.token(jti="1"), scope="pypi:write").json()
    assert answer["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert "refresh_token" not in answer
    assert claims_of(ci_broker, answer["access_token"])["sub"] == "ci:repo:acme/tools"


def test_an_identity_token_is_accepted_once(ci_broker: RunningBroker, issuer: Issuer) -> None:
    token = issuer.token()
    ci_broker.exchange(token, scope="pypi:write")
    assert ci_broker.exchange(token, scope="pypi:write").json()["error"] == "invalid_request"


def test_an_issuer_with_one_token_a_job_may_be_believed_until_it_expires(
    start_broker: StartBroker, issuer: Issuer
) -> None:
    reusable = issuer.policy("upload", replay="until-exp")
    broker, token = start_broker(reusable), issuer.token(project_id="1234")
    answers = [broker.exchange(token, scope="pypi:write").status_code for _ in range(2)]
    broker.clock.advance(3600)
    assert [*answers, broker.exchange(token, scope="pypi:write").status_code] == [200, 200, 400]


def test_a_denial_does_not_use_the_identity_token_up(ci_broker: RunningBroker, issuer: Issuer) -> None:
    token = issuer.token()
    assert ci_broker.exchange(token, scope="pypi:read").json()["error"] == "invalid_target"
    assert ci_broker.exchange(token, scope="pypi:write").status_code == 200


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"project_id": "9999"}, "invalid_target"),
        ({"aud": "https://elsewhere.example"}, "invalid_request"),
        ({"aud": [AUDIENCE, "https://elsewhere.example"]}, "invalid_request"),
        ({"iss": "https://evil.example"}, "invalid_request"),
        ({"exp": 1_000_000}, "invalid_request"),
    ],
    ids=["another project", "another audience", "two audiences", "unknown issuer", "expired"],
)
def test_an_identity_token_that_is_not_right_is_refused(
    ci_broker: RunningBroker, issuer: Issuer, claims: dict[str, object], error: str
) -> None:
    answer = ci_broker.exchange(issuer.token(**claims), scope="pypi:write")
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_an_issuer_that_does_not_answer_is_no_refusal(start_broker: StartBroker) -> None:
    silent = Issuer("http://127.0.0.1:1")
    broker = start_broker(silent.policy("upload"))
    answer = broker.exchange(silent.token(), scope="pypi:write")
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")


# Requests that are not right


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": GRANT_DEVICE}, "invalid_request"),
        ({"grant_type": GRANT_DEVICE, "device_code": "ipd_unknown"}, "invalid_grant"),
        ({"grant_type": GRANT_REFRESH, "refresh_token": "ipr_unknown"}, "invalid_grant"),
        ({"grant_type": GRANT_REFRESH, "refresh_token": ""}, "invalid_request"),
        ({"grant_type": GRANT_EXCHANGE, "subject_token": "x"}, "invalid_request"),
        ({"grant_type": GRANT_EXCHANGE, "subject_token": "x", "subject_token_type": TYPE_ID_TOKEN}, "invalid_request"),
    ],
    ids=["nothing", "password", "no code", "unknown code", "unknown token", "empty token", "no type", "no JWT"],
)
def test_a_token_request_that_is_not_right_is_refused(broker: RunningBroker, form: dict[str, str], error: str) -> None:
    answer = broker.post("/oauth/token", **form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_another_client_is_refused_with_401(broker: RunningBroker) -> None:
    answer = broker.post("/oauth/token", grant_type=GRANT_REFRESH, refresh_token="x", client_id="another")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"grant_type=a&grant_type=b", "application/x-www-form-urlencoded", 400),
        (b'{"grant_type": "a"}', "application/json", 400),
        (b"grant_type=%ff", "application/x-www-form-urlencoded", 400),
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded", 413),
    ],
    ids=["twice", "json", "not UTF-8", "too large"],
)
def test_a_body_that_is_no_proper_form_is_an_invalid_request(
    broker: RunningBroker, body: bytes, content_type: str, status: int
) -> None:
    answer = broker.http.post(
        f"{broker.url}/oauth/token", data=body, headers={"Content-Type": content_type}, timeout=30
    )
    assert (answer.status_code, answer.json()["error"]) == (status, "invalid_request")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"resource": "https://elsewhere.example/simple/"}, "invalid_target"),
        ({"resource": "no URL"}, "invalid_target"),
        ({"scope": "pypi:read admin"}, "invalid_scope"),
    ],
    ids=["unknown index", "no URL", "unknown scope"],
)
def test_an_unknown_index_or_scope_is_named_so(broker: RunningBroker, form: dict[str, str], error: str) -> None:
    assert broker.refresh(broker.sign_in()["refresh_token"], **form).json()["error"] == error


def test_with_two_indexes_the_resource_has_to_be_named(start_broker: StartBroker) -> None:
    broker = start_broker(OTHER)
    assert broker.post("/oauth/device_authorization", client_id=CLIENT_ID).json()["error"] == "invalid_target"


# The index behind the guard


def test_an_index_asks_for_basic_first_and_bearer_second_in_one_header_that_every_proxy_passes_on(
    broker: RunningBroker,
) -> None:
    answer = broker.get("/simple/")
    challenges = [value for name, value in answer.raw.headers.iteritems() if name.lower() == "www-authenticate"]
    assert answer.status_code == 401
    bearer = f'Bearer resource_metadata="{broker.url}/.well-known/oauth-protected-resource/simple"'
    assert challenges == [f'Basic realm="indexpass", charset="UTF-8", {bearer}']


@pytest.mark.parametrize("user", ["__token__", "anything", ""])
def test_a_token_opens_the_index_as_basic_password_with_any_user_name(broker: RunningBroker, user: str) -> None:
    token = broker.sign_in()["access_token"]
    assert broker.http.get(broker.index, auth=(user, token), timeout=30).status_code == 200


def test_a_token_opens_the_index_as_bearer(broker: RunningBroker) -> None:
    token = broker.sign_in()["access_token"]
    assert broker.get("/simple/", Authorization=f"Bearer {token}").status_code == 200


def upload(broker: RunningBroker, token: str) -> requests.Response:
    return broker.http.post(
        f"{broker.url}/legacy/",
        auth=("__token__", token),
        data={":action": "file_upload", "name": "acme-tools", "version": "1.0"},
        files={"content": ("acme_tools-1.0.tar.gz", b"not really")},
        timeout=30,
    )


def test_what_was_uploaded_can_be_downloaded(broker: RunningBroker) -> None:
    grant = broker.sign_in()
    write = broker.refresh(grant["refresh_token"], scope="pypi:write").json()["access_token"]
    assert upload(broker, write).status_code == 200
    page = broker.get("/simple/acme-tools/", grant["access_token"]).text
    path = page.partition('href="')[2].partition("#")[0].replace("../../", "/")
    assert broker.get(path, grant["access_token"]).content == b"not really"


def test_an_index_shows_its_own_packages_only(start_broker: StartBroker) -> None:
    broker = start_broker(SECOND)
    write = broker.sign_in(resource=broker.index, scope="pypi:write")["access_token"]
    upload(broker, write)
    reading = broker.sign_in(resource=f"{broker.url}/second/simple/")["access_token"]
    assert "acme" not in broker.get("/second/simple/", reading).text
    assert broker.get("/second/packages/acme_tools-1.0.tar.gz", reading).status_code == 404


def test_a_token_of_one_index_does_not_open_the_other(start_broker: StartBroker) -> None:
    broker = start_broker(SECOND)
    token = broker.sign_in(resource=broker.index)["access_token"]
    assert [broker.get(path, token).status_code for path in ("/simple/", "/second/simple/")] == [200, 401]


def test_a_token_for_reading_cannot_upload(broker: RunningBroker) -> None:
    answer = upload(broker, broker.sign_in()["access_token"])
    assert answer.status_code == 403
    assert 'scope="pypi:write"' in answer.headers["WWW-Authenticate"]
    assert list((broker.packages / "acme").iterdir()) == []


def test_an_expired_token_is_refused_with_401(broker: RunningBroker) -> None:
    token = broker.sign_in()["access_token"]
    broker.clock.advance(3601)
    answer = broker.get("/simple/", token)
    assert answer.status_code == 401
    assert 'error="invalid_token", error_description="the token has expired"' in answer.headers["WWW-Authenticate"]


def test_a_revoked_token_is_refused_with_401(broker: RunningBroker) -> None:
    token = broker.sign_in()["access_token"]
    assert broker.get("/simple/", token).status_code == 200
    assert broker.post("/oauth/revoke", token=token).status_code == 200
    assert broker.get("/simple/", token).status_code == 401


def test_revoking_a_refresh_token_ends_the_session_and_its_access_tokens(broker: RunningBroker) -> None:
    grant = broker.sign_in()
    broker.post("/oauth/revoke", token=grant["refresh_token"], client_id=CLIENT_ID)
    assert broker.refresh(grant["refresh_token"]).json()["error"] == "invalid_grant"
    assert broker.get("/simple/", grant["access_token"]).status_code == 401


def test_revoking_what_is_not_known_succeeds(broker: RunningBroker) -> None:
    assert broker.post("/oauth/revoke", token="unknown").status_code == 200


@pytest.mark.parametrize("path", ["/", "/packages", "/simple", "/legacy/x", "/simple/..%2fetc/", "/simple/%2e%2e/x/"])
def test_other_paths_are_not_there(broker: RunningBroker, path: str) -> None:
    prepared = requests.Request("GET", broker.url).prepare()
    prepared.url = f"{broker.url}{path}"  # as it stands: requests would tidy it
    assert broker.http.send(prepared, timeout=30).status_code == 404


# The check for proxies


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Original-URI": "/simple/tools/?x=1", "X-Original-Method": "GET"},
        {"X-Forwarded-Uri": "/packages/tools.whl", "X-Forwarded-Method": "HEAD", "X-Forwarded-Host": "{host}"},
    ],
    ids=["nginx", "Traefik, Caddy"],
)
def test_a_proxy_is_told_204_for_a_good_token(broker: RunningBroker, headers: dict[str, str]) -> None:
    host = broker.url.partition("://")[2]
    said = {name: value.replace("{host}", host) for name, value in headers.items()}
    assert broker.get("/check", broker.sign_in()["access_token"], **said).status_code == 204


def test_a_proxy_that_does_not_say_the_method_is_asked_for_the_right_to_upload(broker: RunningBroker) -> None:
    assert broker.get("/check?index=acme", broker.sign_in()["access_token"]).status_code == 403


def test_a_token_of_another_index_is_refused_with_401(start_broker: StartBroker) -> None:
    broker = start_broker(OTHER)
    token = broker.sign_in(resource=broker.index)["access_token"]
    assert broker.get("/check?index=other", token, **{"X-Original-Method": "GET"}).status_code == 401


# TLS and the audit


def test_the_broker_speaks_tls(start_broker: StartBroker) -> None:
    broker = start_broker(tls=True)
    assert broker.get("/simple/", broker.sign_in()["access_token"]).status_code == 200


def test_the_audit_names_the_token_by_its_hash_only(broker: RunningBroker, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="indexpass.audit"):
        grant = broker.sign_in()
    line = next(json.loads(message) for message in caplog.messages if '"device-exchange"' in message)
    assert (line["who"], line["index"], line["operation"], line["policy"]) == ("alice", "acme", "read", "people")
    assert len(line["token_sha256"]) == 64
    assert not any(secret in caplog.text for secret in (grant["access_token"], grant["refresh_token"]))
