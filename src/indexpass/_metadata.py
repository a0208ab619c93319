"""What a broker and an index say about themselves: published by one side and parsed by the other, both here.

RFC 8414 for the broker, RFC 9728 for the index. Nothing is believed before a ``parse`` function here has narrowed it.
This module does no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexpass._answer import read_success, read_text, read_url
from indexpass._url import MAX_URL_LENGTH, IndexUrl
from indexpass._wire import GRANT_CODE, GRANT_DEVICE, GRANT_EXCHANGE, GRANT_REFRESH, SCOPES
from indexpass.errors import BrokerMisbehaved

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Answer

METADATA_PATH = "/.well-known/oauth-authorization-server"
RESOURCE_METADATA_PATH = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True, slots=True)
class Metadata:
    """Where the broker's endpoints are (RFC 8414). All stand on the issuer's own origin.

    ``authorization_endpoint`` is None where people cannot sign in there as safely as we want it: with PKCE by S256,
    and with the issuer's name in the answer. ``introspection_endpoint`` is for resource servers: no client reads it.
    """

    issuer: str
    token_endpoint: str
    device_authorization_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    authorization_endpoint: str | None = None
    introspection_endpoint: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return the document that the broker publishes."""
        by_browser: dict[str, object] = {
            "authorization_endpoint": self.authorization_endpoint,
            "response_modes_supported": ["query"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        for_servers: dict[str, object] = {
            "introspection_endpoint": self.introspection_endpoint,
            "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
        }
        return {
            "issuer": self.issuer,
            "token_endpoint": self.token_endpoint,
            "device_authorization_endpoint": self.device_authorization_endpoint,
            "revocation_endpoint": self.revocation_endpoint,
            "jwks_uri": self.jwks_uri,
            "grant_types_supported": [
                *([GRANT_CODE] if self.authorization_endpoint else []),
                *(GRANT_DEVICE, GRANT_REFRESH, GRANT_EXCHANGE),
            ],
            "response_types_supported": ["code"] if self.authorization_endpoint else [],
            "scopes_supported": list(SCOPES.values()),
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            **(by_browser if self.authorization_endpoint else {}),
            **(for_servers if self.introspection_endpoint else {}),
        }

    @classmethod
    def parse(cls, answer: Answer, *, issuer: str) -> Metadata:
        """Return what ``issuer`` publishes about itself.

        Raises BrokerMisbehaved if the document names another issuer (RFC 8414 section 3.3) or an endpoint on another
        origin: a token must not go to a host that nobody was shown.
        """
        body = read_success(answer, "the broker's metadata")
        if read_text(body, "issuer").rstrip("/") != issuer.rstrip("/"):
            raise BrokerMisbehaved(
                f"{issuer} says that it is another broker",
                hint="check the broker's URL; it must be the same as the issuer in the broker's own settings",
            )
        home = IndexUrl.parse(issuer).origin
        endpoints = {}
        keys = ["token_endpoint", "device_authorization_endpoint", "revocation_endpoint", "jwks_uri"]
        if _has_safe_codes(body):
            keys.append("authorization_endpoint")
        for key in keys:
            endpoints[key] = read_text(body, key, limit=MAX_URL_LENGTH)
            if read_url(endpoints[key]).origin != home:
                raise BrokerMisbehaved(f"{issuer} places its {key} on another host")
        return cls(issuer=issuer, **endpoints)


@dataclass(frozen=True, slots=True)
class ResourceMetadata:
    """What an index says about itself (RFC 9728), and two members of our own: where uploads and files go."""

    resource: IndexUrl
    broker: str
    upload_url: IndexUrl | None
    files_url: IndexUrl | None
    name: str

    def to_json(self) -> dict[str, object]:
        """Return the document that is published for the index."""
        document: dict[str, object] = {
            "resource": str(self.resource),
            "authorization_servers": [self.broker],
            "scopes_supported": list(SCOPES.values()),
            "bearer_methods_supported": ["header"],
            "resource_name": self.name,
        }
        if self.upload_url:
            document["indexpass_upload_url"] = str(self.upload_url)
        if self.files_url:
            document["indexpass_files_url"] = str(self.files_url)
        return document

    @classmethod
    def parse(cls, answer: Answer, *, resource: IndexUrl) -> ResourceMetadata:
        """Return what the index says. Raises BrokerMisbehaved if it speaks of another index or leaves its origin."""
        body = read_success(answer, "the index's metadata")
        if read_url(read_text(body, "resource", limit=MAX_URL_LENGTH)) != resource:
            raise BrokerMisbehaved(f"the metadata of {resource} describes another index")
        servers = body.get("authorization_servers")
        if not isinstance(servers, list) or not servers or not isinstance(servers[0], str):
            raise BrokerMisbehaved(f"the metadata of {resource} names no broker")
        urls: list[IndexUrl | None] = []
        for key in ("indexpass_upload_url", "indexpass_files_url"):
            url = read_url(read_text(body, key, limit=MAX_URL_LENGTH)) if body.get(key) is not None else None
            if url and url.origin != resource.origin:
                raise BrokerMisbehaved(f"the metadata of {resource} points to another host")
            urls.append(url)
        return cls(
            resource=resource,
            broker=str(read_url(servers[0])).rstrip("/"),
            upload_url=urls[0],
            files_url=urls[1],
            name=read_text(body, "resource_name", default=""),
        )


def well_known_url(path: str, subject: IndexUrl) -> str:
    """Return where the document about ``subject`` stands: the well-known path goes before the subject's own path.

    RFC 8414 section 3.1 and RFC 9728 section 3.1; the trailing slash of the subject is dropped.
    """
    own_path = str(subject).removeprefix(str(subject.origin)).rstrip("/")
    return f"{subject.origin}{path}{own_path}"


def _has_safe_codes(body: Mapping[str, object]) -> bool:
    """Does the broker take codes by S256 (RFC 7636 section 4.2), and name itself beside them (RFC 9207 section 3)?"""
    methods = body.get("code_challenge_methods_supported")
    return (
        body.get("authorization_endpoint") is not None
        and isinstance(methods, list)
        and "S256" in methods
        and body.get("authorization_response_iss_parameter_supported") is True
    )
