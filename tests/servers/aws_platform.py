"""A double of AWS CodeArtifact's GetAuthorizationToken, and moto's STS, for botocore itself to talk to.

Built from the API references of CodeArtifact and STS: their paths, parameters, error codes and statuses. moto has no
CodeArtifact, and its STS never refuses; what STS refuses is played here, as documented, in place of moto.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from servers.any_host import AnyHost, Reply, Request, being_every_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

REGION = "eu-west-1"
ACCOUNT = "111122223333"
ROLE = "arn:aws:iam::123456789012:role/reader"
HOSTS = (
    f"codeartifact.{REGION}.amazonaws.com",
    f"codeartifact.{REGION}.api.aws",
    f"sts.{REGION}.amazonaws.com",
    "portal.sso.eu-west-1.amazonaws.com",
)


class AwsPlatform:
    """AWS with one CodeArtifact domain, ``acme``. What is in ``replies`` by the first word of a host comes first."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.server: AnyHost
        self.sts = ""

    def reply(self, request: Request) -> Reply:
        """Answer as documented."""
        service = request.host.partition(".")[0]
        if service in self.replies:
            return self.replies[service]
        if service != "codeartifact" or (request.method, request.path) != ("POST", "/v1/authorization-token"):
            return Reply(404, {})
        if not re.fullmatch("0|[0-9]{3,5}", request.query["duration"]) or int(request.query["duration"]) < 900:
            return refusal(400, "ValidationException", "durationSeconds")
        if (request.query["domain"], request.query["domain-owner"]) != ("acme", ACCOUNT):
            return refusal(404, "ResourceNotFoundException", "Domain not found.")
        token = f"token signed by {self.signer(request)}"
        return Reply(200, {"authorizationToken": token, "expiration": time.time() + int(request.query["duration"])})

    def signer(self, request: Request) -> str:
        """Return whose key a request is signed with (Signature Version 4)."""
        found = re.search("Credential=([A-Z0-9]+)/", request.headers["authorization"])
        assert found
        return found[1]

    def asked_at(self, service: str) -> list[Request]:
        """Return what was asked at the hosts of one service."""
        return [request for request in self.server.asked if request.host.startswith(f"{service}.")]


def refusal(status: int, code: str, message: str, **headers: str) -> Reply:
    """Return an error of a service that speaks restJson1, such as CodeArtifact."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"message": message}, {"x-amzn-ErrorType": code, **named})


def sts_refusal(status: int, code: str, message: str) -> Reply:
    """Return an error of a service that speaks the query protocol, such as STS."""
    body = (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
        f"<Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    )
    return Reply(status, body.encode(), {"Content-Type": "text/xml"})


@contextmanager
def aws_platform(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[AwsPlatform]:
    """Be AWS meanwhile, for a machine on which nobody has signed in yet."""
    names = ("PROFILE", "DEFAULT_PROFILE", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "REGION")
    for name in (*names, "DEFAULT_REGION", "ROLE_ARN", "WEB_IDENTITY_TOKEN_FILE", "CA_BUNDLE", "ENDPOINT_URL"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    platform = AwsPlatform()
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        with being_every_host(monkeypatch, folder, platform.reply, hosts=HOSTS) as server:
            host, port = moto.get_host_and_port()
            platform.sts = f"http://{host}:{port}"
            platform.server = server
            monkeypatch.setenv("NO_PROXY", host)
            yield platform
    finally:
        moto.stop()
