"""A trusted issuer of identity tokens, as a CI system is one: signs tokens, publishes its keys.

``issuer`` is served on loopback. ``Issuer`` alone also is an ``Http`` that answers without any network, and counts.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
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


POLICY = """
[[trusted-issuer]]
name = "ci"
url = "{issuer}"
audience = "{audience}"
replay = "{replay}"

[[policy]]
name = "release"
index = "acme"
operations = ["{operation}"]
issuer = "ci"
claims = {{ project_id = "1234" }}
"""


class Issuer:
    """Signs identity tokens and publishes the keys.

    A test may change ``documents`` or set ``failure``; where it is served, ``responses`` answer for their paths.
    """

    def __init__(self, url: str = "https://ci.acme.example") -> None:
        self.url = url
        self.fetched: list[str] = []
        self.failure: Exception | None = None
        self.responses: dict[str, Response] = {}
        self._keys: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = {}
        self._algorithms: dict[str, str] = {}
        self.add_key("first")
        self.documents: dict[str, object] = {
            f"{url}/.well-known/openid-configuration": {"issuer": url, "jwks_uri": f"{url}/keys"},
        }

    @property
    def reading_policy(self) -> str:
        """Settings of a broker that lets the workloads of this issuer read ``acme``; ``{url}`` is that broker's."""
        return self.policy("read", audience="{url}")

    def policy(self, operation: str, *, audience: str = AUDIENCE, replay: str = "once", more: str = "") -> str:
        """Settings of a broker that lets the workloads of this issuer do this to ``acme``.

        ``more`` are further lines of the policy.
        """
        return POLICY.format(issuer=self.url, audience=audience, replay=replay, operation=operation) + more

    def add_key(self, kid: str, algorithm: str = "RS256") -> None:
        """Publish one more key from now on: of RS256, ES256 or ES384."""
        curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}
        self._algorithms[kid] = algorithm
        self._keys[kid] = (
            ec.generate_private_key(curves[algorithm])
            if algorithm in curves
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )

    def public_pem(self, kid: str = "first") -> bytes:
        """Return what everybody may have of a key."""
        return self._keys[kid].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, payload: bytes, *, kid: str = "first", headers: Mapping[str, object] | None = None) -> Secret:
        """Sign whatever this is."""
        return Secret(
            jwt.api_jws.encode(payload, self._keys[kid], self._algorithms[kid], headers={"kid": kid, **(headers or {})})
        )

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
        known = kid if kid in self._keys else "first"
        kept = {name: value for name, value in all_claims.items() if name not in without}
        kid_header = {} if kid is None else {"kid": kid}
        algorithm = self._algorithms[known]
        return Secret(jwt.encode(kept, self._keys[known], algorithm, headers={**kid_header, **(headers or {})}))

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
        return {"keys": [{**_to_jwk(key), "kid": kid, "use": "sig"} for kid, key in self._keys.items()]}


def _to_jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> dict[str, object]:
    if isinstance(key, rsa.RSAPrivateKey):
        return dict(json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())))
    return dict(json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())))


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """A trusted issuer that is served on loopback."""
    listener = free_port()
    served = Issuer(f"http://127.0.0.1:{listener.getsockname()[1]}")

    async def answer(request: Request) -> Response:
        if request.url.path in served.responses:
            return served.responses[request.url.path]
        found = served.get_json(f"{served.url}{request.url.path}")
        return JSONResponse(found.body, status_code=found.status)

    with serving(Starlette(routes=[Route("/{path:path}", answer)]), listener):
        yield served
