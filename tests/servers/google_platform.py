"""A double of what Google asks and answers when a token for Artifact Registry is issued; no Google is behind it.

Built from the documentation: the reference of the Security Token Service (``v1/token``), of the IAM Service Account
Credentials API (``generateAccessToken``), of OAuth 2.0 at Google (refreshing, service accounts), of the metadata
server, and AIP-193 for errors. google-auth itself talks to it.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from servers.any_host import AnyHost, Reply, Request, being_every_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

HOSTS = (
    "sts.googleapis.com",
    "iamcredentials.googleapis.com",
    "oauth2.googleapis.com",
    "cloudresourcemanager.googleapis.com",
)
POOL = "projects/123456789012/locations/global/workloadIdentityPools/ci/providers/forge"
GOOD_REFRESH_TOKEN = "the-refresh-token"
ACCOUNT = "reader@acme-packages.iam.gserviceaccount.com"


class GooglePlatform:
    """Google, with one pool, one service account and one person. What is in ``replies`` by host comes first."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.ahead = timedelta()  # how far Google's clock is ahead of this machine's
        self.has_metadata_server = False
        self.server: AnyHost

    def reply(self, request: Request) -> Reply:
        """Answer as documented."""
        if request.host in self.replies:
            return self.replies[request.host]
        answers: dict[str, Callable[[Request], Reply]] = {
            "sts.googleapis.com": self._exchange,
            "iamcredentials.googleapis.com": self._impersonate,
            "oauth2.googleapis.com": self._refresh,
            "metadata.google.internal": self._describe_machine,
            "169.254.169.254": self._describe_machine,
        }
        return answers[request.host](request)

    def asked_at(self, host: str) -> Request:
        """Return the one request that was sent to this host."""
        (request,) = [request for request in self.server.asked if request.host == host]
        return request

    def _exchange(self, request: Request) -> Reply:
        if request.form["audience"] != f"//iam.googleapis.com/{POOL}":
            words = 'The target service indicated by the "audience" parameters is invalid.'
            return Reply(400, {"error": "invalid_target", "error_description": words})
        return Reply(
            200,
            {
                "access_token": f"federated {request.form['scope']}",
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "token_type": "Bearer",
                "expires_in": 3599,
            },
        )

    def _impersonate(self, request: Request) -> Reply:
        body = request.json
        ends_at = datetime.now(timezone.utc) + self.ahead + timedelta(seconds=int(str(body["lifetime"])[:-1]))
        (scope,) = body["scope"]  # type: ignore[misc]
        return Reply(200, {"accessToken": f"account {scope}", "expireTime": ends_at.strftime("%Y-%m-%dT%H:%M:%SZ")})

    def _refresh(self, request: Request) -> Reply:
        if request.form["refresh_token"] != GOOD_REFRESH_TOKEN:
            return Reply(400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
        return Reply(200, {"access_token": "person", "expires_in": 3599, "token_type": "Bearer", "scope": "openid"})

    def _describe_machine(self, request: Request) -> Reply:
        flavor = {"Metadata-Flavor": "Google"}
        if not self.has_metadata_server:
            return Reply(404, b"")
        if request.path.endswith("/token"):
            scope = request.query.get("scopes", "")
            return Reply(200, {"access_token": f"machine {scope}", "expires_in": 1800, "token_type": "Bearer"}, flavor)
        if request.path.endswith("/project-id"):
            return Reply(200, b"acme-packages", {**flavor, "Content-Type": "application/text"})
        if request.query.get("recursive"):
            return Reply(200, {"email": ACCOUNT, "scopes": [], "aliases": ["default"]}, flavor)
        return Reply(200, b"googleapis.com", {**flavor, "Content-Type": "application/text"})


def api_error(status: int, word: str, message: str, reason: str = "") -> Reply:
    """Return an error of Google's APIs (AIP-193)."""
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
    return Reply(status, {"error": {"code": status, "message": message, "status": word, "details": details}})


def write_person(folder: Path, refresh_token: str = GOOD_REFRESH_TOKEN) -> None:
    """Write what ``gcloud auth application-default login`` writes."""
    folder.mkdir(exist_ok=True)
    person = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": refresh_token}
    (folder / "application_default_credentials.json").write_text(json.dumps(person))


@contextmanager
def google_platform(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[GooglePlatform]:
    """Be Google meanwhile, for a machine on which nobody has signed in yet."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_HOST", "GCE_METADATA_IP", "NO_GCE_CHECK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(folder / "gcloud"))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "acme-packages")
    platform = GooglePlatform()
    with being_every_host(monkeypatch, folder, platform.reply, hosts=HOSTS) as server:
        platform.server = server
        yield platform
