"""A double of Cloudsmith's token exchange; nothing here is Cloudsmith's.

It behaves as Cloudsmith documents "OpenID Connect": ``POST /openid/ORGANIZATION/`` with an identity token and the slug
of a service account brings a JWT. Errors say nothing on purpose, as documented; that a created token has status 201 as
well as 200 is what Cloudsmith's own command line expects.
"""

from __future__ import annotations

import jwt

from indexpass.testing import FakePlatform, Reply, Request


class CloudsmithPlatform(FakePlatform):
    """The organization ``acme`` with two service accounts; ``claims`` are those of the tokens that it gives."""

    def __init__(self) -> None:
        super().__init__(self._exchange)
        self.proof = "header.of-the-ci.signature"
        self.services = ("ci-read", "ci-publish")
        self.claims: dict[str, object] = {}
        self.status = 200

    def _exchange(self, request: Request) -> Reply:
        """Trade an identity token for a token of a service account."""
        service = request.json.get("service_slug")
        is_ours = (request.method, request.path) == ("POST", "/openid/acme/") and service in self.services
        if not is_ours or request.json.get("oidc_token") != self.proof:
            return Reply(401, {"detail": "Invalid credentials."})
        token = jwt.encode({"sub": service, **self.claims}, "a" * 32, "HS256")
        return Reply(self.status, {"token": token})
