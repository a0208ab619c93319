"""The broker protocol's messages: what is built, what is accepted, and what every refusal says."""

from __future__ import annotations

import pytest

from indexpass._metadata import Metadata, ResourceMetadata, well_known_url
from indexpass._model import Answer, Operation
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass._wire import (
    DeviceAuthorization,
    TokenAnswer,
    device_form,
    device_token_form,
    error_json,
    exchange_form,
    refresh_form,
    revoke_form,
)
from indexpass.errors import BrokerMisbehaved, BrokerRefused, BrokerUnreachable

ISSUER = "https://tokens.acme.example"
RESOURCE = IndexUrl.parse("https://packages.acme.example/simple/")
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJyZXBvOmFjbWUvYXBwIn0.c2lnbmF0dXJl"

METADATA: dict[str, object] = {
    "issuer": ISSUER,
    "token_endpoint": f"{ISSUER}/oauth/token",
    "device_authorization_endpoint": f"{ISSUER}/oauth/device_authorization",
    "revocation_endpoint": f"{ISSUER}/oauth/revoke",
    "jwks_uri": f"{ISSUER}/jwks.json",
}
RESOURCE_METADATA: dict[str, object] = {
    "resource": str(RESOURCE),
    "authorization_servers": [ISSUER],
    "resource_name": "Acme",
}
DEVICE: dict[str, object] = {
    "device_code": "device-canary",
    "user_code": "ABCD-EFGH",
    "verification_uri": f"{ISSUER}/device",
    "verification_uri_complete": f"{ISSUER}/device?user_code=ABCD-EFGH",
    "expires_in": 600,
    "interval": 2,
}
TOKEN: dict[str, object] = {
    "access_token": "access-canary",
    "token_type": "Bearer",
    "expires_in": 3600,
    "scope": "pypi:read",
    "refresh_token": "refresh-canary",
    "user": "ada@acme.example",
}


# Metadata (RFC 8414)


def test_metadata_names_the_endpoints() -> None:
    found = Metadata.parse(Answer(200, METADATA), issuer=ISSUER)
    assert found.token_endpoint == f"{ISSUER}/oauth/token"
    assert found.jwks_uri == f"{ISSUER}/jwks.json"


def test_a_trailing_slash_does_not_make_another_issuer() -> None:
    found = Metadata.parse(Answer(200, {**METADATA, "issuer": f"{ISSUER}/"}), issuer=ISSUER)
    assert found.issuer == ISSUER


@pytest.mark.parametrize(
    "issuer",
    [
        pytest.param("https://evil.test", id="other-host"),
        pytest.param("https://tokens.acme.example.evil.test", id="host-that-begins-alike"),
        pytest.param("http://tokens.acme.example", id="http"),
        pytest.param("https://tokens.acme.example:8443", id="other-port"),
        pytest.param("https://tokens.acme.example/other", id="other-path"),
    ],
)
def test_metadata_of_another_issuer_is_refused_with_a_hint(issuer: str) -> None:
    with pytest.raises(BrokerMisbehaved, match="another broker") as caught:
        Metadata.parse(Answer(200, {**METADATA, "issuer": issuer}), issuer=ISSUER)
    assert "check the broker's URL" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://evil.test/oauth/token", id="other-host"),
        pytest.param("https://tokens.acme.example.evil.test/oauth/token", id="host-that-begins-alike"),
        pytest.param("https://tokens.acme.example@evil.test/oauth/token", id="userinfo"),
        pytest.param("https://tokens.acme.example:8443/oauth/token", id="other-port"),
        pytest.param("http://tokens.acme.example/oauth/token", id="http"),
        pytest.param("/oauth/token", id="relative"),
        pytest.param("https://tokens.acme.example/oauth/../token", id="dot-segments"),
        pytest.param("https://tokens.acme.example\\.evil.test/", id="backslash"),
        pytest.param("", id="empty"),
        pytest.param(None, id="null"),
        pytest.param(7, id="number"),
    ],
)
@pytest.mark.parametrize("key", ["token_endpoint", "device_authorization_endpoint", "revocation_endpoint", "jwks_uri"])
def test_an_endpoint_on_another_origin_is_refused(key: str, url: object) -> None:
    with pytest.raises(BrokerMisbehaved):
        Metadata.parse(Answer(200, {**METADATA, key: url}), issuer=ISSUER)


@pytest.mark.parametrize("key", METADATA)
def test_metadata_without_an_endpoint_is_refused(key: str) -> None:
    body = {name: value for name, value in METADATA.items() if name != key}
    with pytest.raises(BrokerMisbehaved, match=key):
        Metadata.parse(Answer(200, body), issuer=ISSUER)


# Resource metadata (RFC 9728)


def test_an_index_names_its_broker() -> None:
    found = ResourceMetadata.parse(Answer(200, RESOURCE_METADATA), resource=RESOURCE)
    assert (found.broker, found.name, found.upload_url, found.files_url) == (ISSUER, "Acme", None, None)


def test_an_index_may_name_its_upload_and_file_urls() -> None:
    body = {
        **RESOURCE_METADATA,
        "indexpass_upload_url": "https://packages.acme.example/legacy",
        "indexpass_files_url": "https://packages.acme.example/files/",
    }
    found = ResourceMetadata.parse(Answer(200, body), resource=RESOURCE)
    assert (str(found.upload_url), str(found.files_url)) == (
        "https://packages.acme.example/legacy/",
        "https://packages.acme.example/files/",
    )


def test_the_resource_is_compared_in_its_one_form() -> None:
    body = {**RESOURCE_METADATA, "resource": "https://PACKAGES.acme.example:443/simple"}
    assert ResourceMetadata.parse(Answer(200, body), resource=RESOURCE).resource == RESOURCE


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("resource", "https://packages.acme.example/other/", id="other-index"),
        pytest.param("resource", "https://packages.acme.example/", id="index-above"),
        pytest.param("resource", "https://evil.test/simple/", id="other-host"),
        pytest.param("resource", "http://packages.acme.example/simple/", id="http"),
        pytest.param("resource", None, id="no-resource"),
        pytest.param("authorization_servers", [], id="no-broker"),
        pytest.param("authorization_servers", None, id="null-brokers"),
        pytest.param("authorization_servers", ISSUER, id="text-in-place-of-a-list"),
        pytest.param("authorization_servers", [7], id="broker-that-is-a-number"),
        pytest.param("authorization_servers", ["http://tokens.acme.example"], id="broker-over-http"),
        pytest.param("authorization_servers", ["file:///etc/passwd"], id="broker-that-is-a-file"),
        pytest.param("indexpass_upload_url", "https://evil.test/legacy/", id="upload-to-another-host"),
        pytest.param("indexpass_upload_url", "https://packages.acme.example:8443/", id="upload-to-another-port"),
        pytest.param("indexpass_files_url", "https://files.acme.example/", id="files-on-another-host"),
        pytest.param("indexpass_files_url", 7, id="files-url-that-is-a-number"),
        pytest.param("resource_name", "Acme\x1b[2J", id="name-with-control-characters"),
        pytest.param("resource_name", "a" * 501, id="name-too-long"),
    ],
)
def test_metadata_that_leaves_the_index_is_refused(key: str, value: object) -> None:
    with pytest.raises(BrokerMisbehaved):
        ResourceMetadata.parse(Answer(200, {**RESOURCE_METADATA, key: value}), resource=RESOURCE)


@pytest.mark.parametrize("key", ["indexpass_upload_url", "indexpass_files_url", "resource_name"])
def test_null_means_that_the_index_does_not_say(key: str) -> None:
    ResourceMetadata.parse(Answer(200, {**RESOURCE_METADATA, key: None}), resource=RESOURCE)


# Device authorization (RFC 8628)


def test_an_invitation_wraps_the_device_code() -> None:
    found = DeviceAuthorization.parse(Answer(200, DEVICE))
    assert found.device_code.reveal() == "device-canary"
    assert "device-canary" not in repr(found)


def test_an_invitation_has_defaults_for_what_a_broker_may_leave_out() -> None:
    body = {key: DEVICE[key] for key in ("device_code", "user_code", "verification_uri")}
    found = DeviceAuthorization.parse(Answer(200, body))
    assert (found.verification_uri_complete, found.expires_in, found.interval) == (f"{ISSUER}/device", 600, 5)


@pytest.mark.parametrize("key", ["device_code", "user_code", "verification_uri"])
@pytest.mark.parametrize("value", [None, "", 7, [], "a\nb", "a\x1b[31m"])
def test_an_invitation_without_a_needed_text_is_refused(key: str, value: object) -> None:
    with pytest.raises(BrokerMisbehaved, match=f"{key}|URL"):
        DeviceAuthorization.parse(Answer(200, {**DEVICE, key: value}))


@pytest.mark.parametrize("key", ["verification_uri", "verification_uri_complete"])
@pytest.mark.parametrize(
    "uri",
    [
        "file:///usr/bin/true",
        "javascript:alert(1)",
        "http://tokens.acme.example/device",
        "ms-settings:privacy",
        "--version",
        "/device",
    ],
)
def test_a_page_that_is_not_on_the_web_is_never_opened(key: str, uri: str) -> None:
    with pytest.raises(BrokerMisbehaved):
        DeviceAuthorization.parse(Answer(200, {**DEVICE, key: uri}))


@pytest.mark.parametrize("key", ["expires_in", "interval"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "600", True, 10**9, []])
def test_an_invitation_with_a_strange_time_is_refused(key: str, value: object) -> None:
    with pytest.raises(BrokerMisbehaved, match=key):
        DeviceAuthorization.parse(Answer(200, {**DEVICE, key: value}))


# Tokens (RFC 6749)


def test_a_grant_wraps_its_tokens() -> None:
    found = TokenAnswer.parse(Answer(200, TOKEN))
    assert found.access_token.reveal() == "access-canary"
    assert found.refresh_token is not None
    assert found.refresh_token.reveal() == "refresh-canary"
    assert "canary" not in repr(found)


@pytest.mark.parametrize("value", [None, ""])
def test_a_grant_without_a_refresh_token_has_none(value: object) -> None:
    assert TokenAnswer.parse(Answer(200, {**TOKEN, "refresh_token": value})).refresh_token is None


def test_a_grant_has_defaults_for_what_a_broker_may_leave_out() -> None:
    found = TokenAnswer.parse(Answer(200, {"access_token": "access-canary"}))
    assert (found.expires_in, found.scope, found.user, found.issued_token_type) == (300, "", "", None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("access_token", None),
        ("access_token", ""),
        ("access_token", 7),
        ("access_token", "a\r\nX: y"),
        ("access_token", "a" * 16_385),
        ("refresh_token", ["a"]),
        ("refresh_token", "a\0"),
        ("expires_in", "3600"),
        ("expires_in", -1),
        ("expires_in", True),
        ("expires_in", float("nan")),
        ("scope", ["pypi:read"]),
        ("user", "ada\x1b[2J"),
        ("user", "a" * 501),
    ],
)
def test_a_grant_that_is_not_what_the_protocol_says_is_refused(key: str, value: object) -> None:
    with pytest.raises(BrokerMisbehaved, match=key):
        TokenAnswer.parse(Answer(200, {**TOKEN, key: value}))


def test_the_longest_token_is_accepted() -> None:
    found = TokenAnswer.parse(Answer(200, {**TOKEN, "access_token": "a" * 16_384}))
    assert len(found.access_token.reveal()) == 16_384


# What any answer means


@pytest.mark.parametrize("status", [429, 500, 502, 503, 599])
def test_a_broker_that_is_not_ready_is_unreachable_for_as_long_as_it_says(status: int) -> None:
    with pytest.raises(BrokerUnreachable, match=str(status)) as caught:
        TokenAnswer.parse(Answer(status, None, retry_after=7.0))
    assert caught.value.retry_after == 7.0
    assert caught.value.hint


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_an_error_answer_is_a_refusal_with_the_oauth_reason(status: int) -> None:
    with pytest.raises(BrokerRefused, match="no policy matches") as caught:
        TokenAnswer.parse(Answer(status, error_json("invalid_target", "no policy matches")))
    assert caught.value.reason == "invalid_target"


@pytest.mark.parametrize(
    ("body", "reason", "text"),
    [
        pytest.param({"error": "slow_down"}, "slow_down", "slow_down", id="no-description"),
        pytest.param({"error": "slow_down", "error_description": None}, "slow_down", "slow_down", id="null"),
        pytest.param({"error": "slow_down", "error_description": 7}, "slow_down", "slow_down", id="number"),
        pytest.param({"error": "slow_down", "error_description": "a\nb"}, "slow_down", "slow_down", id="two-lines"),
        pytest.param({"error": "slow_down", "error_description": "a" * 501}, "slow_down", "slow_down", id="essay"),
        pytest.param({}, "unknown_error", "unknown_error", id="nothing"),
        pytest.param({"error": 7}, "unknown_error", "unknown_error", id="reason-that-is-a-number"),
    ],
)
def test_a_refusal_stays_a_refusal_however_it_is_worded(body: dict[str, object], reason: str, text: str) -> None:
    with pytest.raises(BrokerRefused, match=f"^the broker refused: {text}$") as caught:
        TokenAnswer.parse(Answer(400, body))
    assert caught.value.reason == reason


def test_a_refusal_that_echoes_the_token_does_not_show_it() -> None:
    with pytest.raises(BrokerRefused, match=r"the token \*+ is not valid") as caught:
        TokenAnswer.parse(Answer(400, error_json("invalid_request", f"the token {JWT} is not valid")))
    assert JWT not in str(caught.value)


def test_a_refusal_still_names_urls_and_request_ids() -> None:
    text = "no policy lets 3f0c8f52-9c55-4c8e-bb0b-3b2a7c6f1d11 read https://packages.acme.example/team/simple/"
    with pytest.raises(BrokerRefused) as caught:
        TokenAnswer.parse(Answer(400, error_json("invalid_target", text)))
    assert text in str(caught.value)


@pytest.mark.parametrize("status", [200, 204, 302, 400, 404])
@pytest.mark.parametrize("body", [None, [], "text", 7, True])
def test_an_answer_without_a_json_object_is_misbehaviour(status: int, body: object) -> None:
    with pytest.raises(BrokerMisbehaved, match=str(status)) as caught:
        TokenAnswer.parse(Answer(status, body))
    assert "sign-in page" in caught.value.hint


@pytest.mark.parametrize("status", [100, 201, 204, 301, 302])
def test_only_200_is_a_grant(status: int) -> None:
    with pytest.raises(BrokerRefused):
        TokenAnswer.parse(Answer(status, TOKEN))


# Requests


@pytest.mark.parametrize(("operation", "scope"), [("read", "pypi:read"), ("upload", "pypi:write")])
def test_an_exchange_asks_for_one_index_and_one_operation(operation: Operation, scope: str) -> None:
    form = exchange_form(Secret("identity-canary"), resource=RESOURCE, operation=operation)
    assert {key: value for key, value in form.items() if key != "subject_token"} == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "client_id": "indexpass",
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "resource": "https://packages.acme.example/simple/",
        "scope": scope,
    }
    assert form["subject_token"] == Secret("identity-canary")


@pytest.mark.parametrize(("operation", "scope"), [("read", "pypi:read"), ("upload", "pypi:write")])
def test_a_refresh_asks_for_one_index_and_one_operation(operation: Operation, scope: str) -> None:
    form = refresh_form(Secret("refresh-canary"), resource=RESOURCE, operation=operation)
    assert (form["grant_type"], form["resource"], form["scope"]) == ("refresh_token", str(RESOURCE), scope)
    assert form["refresh_token"] == Secret("refresh-canary")


def test_a_device_sign_in_asks_to_read() -> None:
    assert device_form(RESOURCE) == {"client_id": "indexpass", "scope": "pypi:read", "resource": str(RESOURCE)}


def test_polling_sends_the_device_code() -> None:
    assert device_token_form(Secret("device-canary")) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "client_id": "indexpass",
        "device_code": Secret("device-canary"),
    }


def test_signing_out_revokes_the_refresh_token() -> None:
    assert revoke_form(Secret("refresh-canary")) == {
        "client_id": "indexpass",
        "token": Secret("refresh-canary"),
        "token_type_hint": "refresh_token",
    }


@pytest.mark.parametrize(
    ("subject", "url"),
    [
        ("https://tokens.acme.example/", "https://tokens.acme.example/.well-known/x"),
        ("https://packages.acme.example/simple/", "https://packages.acme.example/.well-known/x/simple"),
        ("https://a.example:8443/team/simple/", "https://a.example:8443/.well-known/x/team/simple"),
    ],
)
def test_the_well_known_path_goes_before_the_subject_s_own(subject: str, url: str) -> None:
    assert well_known_url("/.well-known/x", IndexUrl.parse(subject)) == url
