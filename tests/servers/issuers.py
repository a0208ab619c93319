"""A trusted issuer of identity tokens, as a CI system is one: signs tokens, publishes its keys.

``issuer`` is served on loopback. ``Issuer`` alone also is an ``Http`` that answers without any network, and counts.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from indexpass._model import Answer
from indexpass._secret import Secret
from servers.loopback import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

AUDIENCE = "https://tokens.acme.example"


READING = """
[[trusted-issuer]]
name = "ci"
url = "{issuer}"
audience = "{url}"

[[policy]]
name = "release"
index = "acme"
operations = ["read"]
issuer = "ci"
claims = { project_id = "1234" }
"""


class Issuer:
    """Signs identity tokens with RS256 and publishes the key; a test may change ``documents`` or set ``failure``."""

    def __init__(self, url: str = "https://ci.acme.example") -> None:
        self.url = url
        self.fetched: list[str] = []
        self.failure: Exception | None = None
        self._keys: dict[str, rsa.RSAPrivateKey] = {}
        self.add_key("first")
        self.documents: dict[str, object] = {
            f"{url}/.well-known/openid-configuration": {"issuer": url, "jwks_uri": f"{url}/keys"},
        }

    @property
    def reading_policy(self) -> str:
        """Settings of a broker that lets the workloads of this issuer read ``acme``."""
        return READING.replace("{issuer}", self.url)

    def add_key(self, kid: str) -> None:
        """Publish one more key from now on."""
        self._keys[kid] = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(
        self,
        *,
        kid: str | None = "first",
        headers: Mapping[str, object] | None = None,
        without: tuple[str, ...] = (),
        now: float | None = None,
        **claims: object,
    ) -> Secret:
        """Return a token that is right, except for what is said; ``without`` names claims to leave out."""
        begin = int(time.time() if now is None else now)
        all_claims = {
            "iss": self.url,
            "sub": "repo:acme/tools",
            "aud": AUDIENCE,
            "iat": begin,
            "nbf": begin,
            "exp": begin + 300,
            "project_id": "1234",
            **claims,
        }
        key = self._keys.get(kid or "first", self._keys["first"])
        kept = {name: value for name, value in all_claims.items() if name not in without}
        kid_header = {} if kid is None else {"kid": kid}
        return Secret(jwt.encode(kept, key, "RS256", headers={**kid_header, **(headers or {})}))

    def get_json(self, url: str) -> Answer:
        """Answer as a server would (see ``indexpass._model.Http``)."""
        self.fetched.append(url)
        if self.failure:
            raise self.failure
        if url in self.documents:
            return Answer(200, self.documents[url])
        if url == f"{self.url}/keys":
            return Answer(200, self._jwks())
        return Answer(404, None)

    def post_form(self, url: str, form: Mapping[str, str | Secret]) -> Answer:
        """Refuse: nobody sends a form to an issuer."""
        raise AssertionError((url, tuple(form)))

    def _jwks(self) -> dict[str, object]:
        to_jwk = jwt.algorithms.RSAAlgorithm.to_jwk
        return {
            "keys": [
                {**json.loads(to_jwk(key.public_key())), "kid": kid, "use": "sig"} for kid, key in self._keys.items()
            ]
        }


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """A trusted issuer that is served on loopback."""
    listener = free_port()
    served = Issuer(f"http://127.0.0.1:{listener.getsockname()[1]}")

    async def answer(request: Request) -> Response:
        found = served.get_json(f"{served.url}{request.url.path}")
        return JSONResponse(found.body, status_code=found.status)

    with serving(Starlette(routes=[Route("/{path:path}", answer)]), listener):
        yield served
