"""A double of JFrog's Access service; nothing here is JFrog's.

It behaves as JFrog's REST API documents "OIDC Token Exchange": JSON in, an access token with its user name out, and
errors as ``{"errors": [{"code", "message"}]}``. How the error of a mapping that does not match is worded is not
documented; the tests rely on its status and form only.
"""

from __future__ import annotations

import secrets

from indexpass.testing import FakePlatform, Reply, Request


class JFrogPlatform(FakePlatform):
    """A platform with one OIDC integration ``ci``, whose mappings match the identity token ``proof``.

    ``mappings`` are names of mappings and the user that each stands for; the first is chosen where none is asked for.
    """

    def __init__(self) -> None:
        super().__init__(self._exchange)
        self.proof = "header.of-the-ci.signature"
        self.mappings = {"readers": "ci-reader", "publishers": "ci-publisher"}
        self.expires_in: int | None = 3600
        self.username_is_said = True
        self.issued: list[str] = []

    def _exchange(self, request: Request) -> Reply:
        """Trade an identity token for an access token."""
        if (request.method, request.path) != ("POST", "/access/api/v1/oidc/token"):
            return _error(404, "NOT_FOUND", "there is nothing")
        asked = request.json
        if asked["grant_type"] != "urn:ietf:params:oauth:grant-type:token-exchange":
            return _error(400, "BAD_REQUEST", "unsupported grant type")
        if asked["subject_token_type"] != "urn:ietf:params:oauth:token-type:id_token":
            return _error(400, "BAD_REQUEST", "unsupported subject token type")
        if asked["provider_name"] != "ci":
            return _error(404, "NOT_FOUND", "the provider was not found")
        mapping = str(asked.get("identity_mapping_name", next(iter(self.mappings))))
        if asked["subject_token"] != self.proof or mapping not in self.mappings:
            return _error(401, "UNAUTHORIZED", f"no mapping matches {asked['subject_token']}{'x' * 40}")
        token = secrets.token_urlsafe(32)
        self.issued.append(token)
        answer: dict[str, object] = {
            "access_token": token,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "scope": "applied-permissions/groups:readers",
        }
        if self.username_is_said:
            answer["username"] = self.mappings[mapping]
        if self.expires_in is not None:
            answer["expires_in"] = self.expires_in
        return Reply(200, answer)


def _error(status: int, code: str, message: str) -> Reply:
    return Reply(status, {"errors": [{"code": code, "message": message}]})
