"""Authlib's client against the broker over TLS, with nothing of ours on the client's side.

What the program does is done by Authlib, from discovery on; joserfc and Authlib's validator play a resource server that
only knows the published keys. The person at the browser fills in the pages' forms.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6750 import InvalidTokenError
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from authlib.oauth2.rfc9207 import AuthorizationServerMetadata as IssuerParameterMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata
from authlib.oidc.discovery import get_well_known_url as get_openid_url
from joserfc import jwt
from joserfc.jwk import KeySet

from indexpass.broker.state import resource_servers
from servers.visitors import VisitorBrowser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.brokers import RunningBroker, StartBroker
    from servers.issuers import Issuer

CALLBACK = "http://127.0.0.1:49152/callback"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"


@dataclass
class Client:
    """Authlib's session, and what it has found out about the server."""

    session: Any
    metadata: dict[str, Any] = field(default_factory=dict)

    def fetch(self, **form: str) -> dict[str, Any]:
        return dict(self.session.fetch_token(self.metadata["token_endpoint"], **form))


class Connect(Protocol):
    """Makes a client that has read the server's metadata; it trusts the test's authority and reads no .netrc."""

    def __call__(self, *, method: str = "none", name: str = "indexpass", secret: str = "") -> Client: ...


@pytest.fixture
def broker(start_broker: StartBroker, issuer: Issuer) -> RunningBroker:
    return start_broker(issuer.policy("upload"), tls=True)


@pytest.fixture
def connect(broker: RunningBroker) -> Iterator[Connect]:
    with ExitStack() as stack:

        def connect(*, method: str = "none", name: str = "indexpass", secret: str = "") -> Client:
            session = OAuth2Session(
                name,
                secret,
                token_endpoint_auth_method=method,
                redirect_uri=CALLBACK,
                scope="pypi:read",
                code_challenge_method="S256",
                default_timeout=30,
            )
            stack.callback(session.close)
            session.verify = broker.http.verify
            session.trust_env = False
            url = get_well_known_url(broker.url, external=True)
            return Client(session, session.get(url, withhold_token=True).json())

        yield connect


def sign_in(broker: RunningBroker, client: Client) -> dict[str, Any]:
    """Sign alice in by the code that her browser brings back."""
    verifier = generate_token(48)
    url, state = client.session.create_authorization_url(
        client.metadata["authorization_endpoint"], code_verifier=verifier, resource=broker.index
    )
    with closing(VisitorBrowser(broker)) as browser:
        browser.open(url)
        browser.sign_in()
        answer = browser.decide().headers["Location"]
    assert parse_qs(urlsplit(answer).query)["iss"] == [client.metadata["issuer"]]  # RFC 9207
    return client.fetch(authorization_response=answer, state=state, code_verifier=verifier)


# Discovery


def test_the_metadata_is_what_rfc_8414_and_rfc_9207_ask_for(connect: Connect) -> None:
    metadata = AuthorizationServerMetadata(connect().metadata)
    metadata.validate(metadata_classes=[IssuerParameterMetadata])
    assert metadata["authorization_response_iss_parameter_supported"] is True
    assert {
        "grants": set(metadata["grant_types_supported"]),
        "challenges": metadata["code_challenge_methods_supported"],
        "client": metadata["token_endpoint_auth_methods_supported"],
        "revoking": metadata["revocation_endpoint_auth_methods_supported"],
        "asking": metadata["introspection_endpoint_auth_methods_supported"],
    } == {
        "grants": {"authorization_code", "refresh_token", DEVICE_GRANT, EXCHANGE_GRANT},
        "challenges": ["S256"],
        "client": ["none"],
        "revoking": ["none"],
        "asking": ["client_secret_basic"],
    }


def test_the_openid_document_says_the_same_and_what_openid_asks_for(broker: RunningBroker, connect: Connect) -> None:
    session = connect().session
    document = session.get(get_openid_url(broker.url, external=True), withhold_token=True).json()
    assert connect().metadata.items() <= document.items()
    provider = OpenIDProviderMetadata(document)
    provider.validate_issuer()
    provider.validate_jwks_uri()
    provider.validate_subject_types_supported()
    provider.validate_request_parameter_supported()
    assert document["id_token_signing_alg_values_supported"] == ["ES256"]


# The four grants


def test_a_person_signs_in_by_a_code_with_pkce(broker: RunningBroker, connect: Connect) -> None:
    client = connect()
    token = sign_in(broker, client)
    assert (token["scope"], token["token_type"]) == ("pypi:read", "Bearer")
    client.session.token = token
    assert client.session.get(broker.index).status_code == 200


def test_a_person_signs_in_by_a_device_code(broker: RunningBroker, connect: Connect) -> None:
    client = connect()
    url = client.metadata["device_authorization_endpoint"]
    form = {"client_id": "indexpass", "scope": "pypi:read"}
    device = client.session.post(url, data=form, withhold_token=True).json()
    with pytest.raises(OAuthError, match="authorization_pending"):
        client.fetch(grant_type=DEVICE_GRANT, device_code=device["device_code"])
    with closing(VisitorBrowser(broker)) as browser:
        browser.open(device["verification_uri_complete"])
        browser.sign_in()
        browser.decide()
    token = client.fetch(grant_type=DEVICE_GRANT, device_code=device["device_code"])
    assert token["refresh_token"]


def test_a_session_is_refreshed_when_its_token_is_about_to_expire(broker: RunningBroker, connect: Connect) -> None:
    client = connect()
    old = sign_in(broker, client)
    client.session.token = {**old, "expires_at": 1}
    client.session.metadata["token_endpoint"] = client.metadata["token_endpoint"]
    assert client.session.get(broker.index).status_code == 200
    new = client.session.token
    assert old["access_token"] != new["access_token"]
    assert old["refresh_token"] != new["refresh_token"]


def test_an_identity_token_is_exchanged(broker: RunningBroker, connect: Connect, issuer: Issuer) -> None:
    token = connect().fetch(
        grant_type=EXCHANGE_GRANT,
        subject_token=issuer.token().reveal(),
        subject_token_type="urn:ietf:params:oauth:token-type:id_token",
        resource=broker.index,
        scope="pypi:write",
    )
    assert token["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert (token["scope"], "refresh_token" in token) == ("pypi:write", False)


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
def test_a_client_without_a_secret_says_its_name_in_any_way(
    broker: RunningBroker, connect: Connect, method: str
) -> None:
    assert sign_in(broker, connect(method=method))["access_token"]


def test_a_refusal_is_an_error_of_authlib_s_with_our_words(connect: Connect) -> None:
    with pytest.raises(OAuthError, match="invalid_grant: the session is not known"):
        connect().fetch(grant_type="refresh_token", refresh_token="unknown")


# Revocation and introspection


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_a_token_is_revoked(broker: RunningBroker, connect: Connect, kind: str) -> None:
    client = connect()
    token = sign_in(broker, client)
    url = client.metadata["revocation_endpoint"]
    answer = client.session.revoke_token(url, token[kind], token_type_hint=kind)
    assert answer.status_code == 200
    assert broker.get("/simple/", token["access_token"]).status_code == 401


def test_a_resource_server_asks_what_a_token_says(broker: RunningBroker, connect: Connect) -> None:
    token = sign_in(broker, connect())
    with broker.broker.store.writing() as connection:
        secret = resource_servers.add(connection, "artifactory", broker.clock())
    assert secret is not None
    server = connect(method="client_secret_basic", name="artifactory", secret=secret.reveal())
    url = server.metadata["introspection_endpoint"]
    said = server.session.introspect_token(url, token["access_token"]).json()
    assert (said["active"], said["username"], said["aud"]) == (True, "alice", broker.index)
    connect().session.revoke_token(server.metadata["revocation_endpoint"], token["access_token"])
    assert server.session.introspect_token(url, token["access_token"]).json() == {"active": False}


# A resource server that only knows the published keys


class Validator(JWTBearerTokenValidator):  # type: ignore[misc]  # Authlib has no types
    """Authlib's resource server (RFC 9068 section 4)."""

    def __init__(self, issuer: str, index: str, keys: KeySet) -> None:
        super().__init__(issuer=issuer, resource_server=index)
        self._keys = keys

    def get_jwks(self) -> KeySet:
        return self._keys


def published_keys(client: Client) -> KeySet:
    return KeySet.import_key_set(client.session.get(client.metadata["jwks_uri"], withhold_token=True).json())


def test_a_stranger_verifies_the_token_with_the_published_keys(broker: RunningBroker, connect: Connect) -> None:
    client = connect()
    token = sign_in(broker, client)["access_token"]
    found = jwt.decode(token, published_keys(client), algorithms=["ES256"])
    assert (found.header["typ"], found.claims["sub"]) == ("at+jwt", "alice")
    validator = Validator(broker.url, broker.index, published_keys(client))
    claims = validator.authenticate_token(token)
    validator.validate_token(claims, ["pypi:read"], None)
    assert claims["client_id"] == "indexpass"


@pytest.mark.parametrize("other", ["issuer", "index"])
def test_a_stranger_who_expects_another_issuer_or_index_refuses_it(
    broker: RunningBroker, connect: Connect, other: str
) -> None:
    client = connect()
    token = sign_in(broker, client)["access_token"]
    issuer = "https://elsewhere.example" if other == "issuer" else broker.url
    index = "https://elsewhere.example/simple/" if other == "index" else broker.index
    validator = Validator(issuer, index, published_keys(client))
    with pytest.raises(InvalidTokenError):
        validator.validate_token(validator.authenticate_token(token), ["pypi:read"], None)
