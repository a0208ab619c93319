"""Tokens for uploading from any index that trusts a CI job by its identity token, as PyPI does.

The index says itself where and for whom: by discovery (PEP 807), or at the two paths that PyPI has had since 2023
(``/_/oidc/audience`` and ``/_/oidc/mint-token``). Everything is asked at the origin of the index's upload URL, and what
it names elsewhere is not followed. This module issues nothing for reading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote_plus

from indexpass._answer import make_readable, read_skew, read_text, read_url, read_url_text, require_ready
from indexpass._model import Answer, Credential
from indexpass._secret import Secret
from indexpass._wire import TOKEN_USERNAME
from indexpass.errors import BrokerMisbehaved, BrokerRefused, ConfigError, IdentityError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Context, IdentityToken, Index, Operation
    from indexpass._url import IndexUrl

MEDIA_TYPE = "application/vnd.pypi.pytp.v1+json"  # PEP 807
DISCOVERY_PATH = "/.well-known/pytp"
AUDIENCE_PATH = "/_/oidc/audience"
MINT_PATH = "/_/oidc/mint-token"
DEFAULT_SECONDS = 900  # PEP 807: what a client may assume where the answer names no end
_MULTI_USE = "multi-use-token"
_MAX_TOKEN_LENGTH = 16_384
_OK, _NOT_FOUND = 200, 404
_HEADERS = {"Accept": f"{MEDIA_TYPE}, application/json"}
_ADD_PUBLISHER = (
    "add this job as a trusted publisher of the project there, with exactly its repository, workflow and environment"
)
_HINTS = {
    "invalid-token": "check the job's audience ({audience}) and this machine's clock",
    "invalid-reuse-token": "run the job again: its identity token has been used",
    "invalid-publisher": _ADD_PUBLISHER,
    "invalid-pending-publisher": _ADD_PUBLISHER,
    "not-enabled": "ask who runs the index to let this CI publish there",
}


class _Endpoints(NamedTuple):
    """Where to ask, and what has to be asked for; ``is_multi_use`` says that one token is good for several files."""

    audience: str
    mint: str
    features: tuple[str, ...] = ()
    is_multi_use: bool = True


class TrustedPublishingProvider:
    """Trades the job's identity token at the index itself; implements Provider, for uploads only."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        """Return a token for uploading.

        Raises ConfigError for another operation or without an upload URL, IdentityError if nothing here proves who runs
        this, BrokerRefused, BrokerUnreachable or BrokerMisbehaved.
        """
        if operation != "upload":
            raise ConfigError(
                f"trusted publishing is for uploads, and the index {index.name!r} is asked to {operation}",
                hint="configure another [[index]], with the provider that issues for reading",
            )
        if index.upload_url is None:
            raise ConfigError(
                f"the index {index.name!r} has no upload-url, which trusted publishing needs",
                hint='add a line: upload-url = "…"',
            )
        endpoints = _discover(index.upload_url, context)
        audience = index.options.get("audience") or _audience(index.upload_url, endpoints, context)
        identity = context.identify(audience)
        if identity is None:
            raise context.unidentified(audience) or IdentityError(
                f"nothing on this machine proves to {index.upload_url.origin} who runs it",
                hint="upload from a CI job with an identity token, in GitHub Actions: permissions: { id-token: write }",
            )
        return _mint(index.upload_url, endpoints, identity, audience, context)


def _discover(upload: IndexUrl, context: Context) -> _Endpoints:
    """Return what the index says about itself, or PyPI's paths where it says nothing. Raises BrokerError."""
    pypis = _Endpoints(f"{upload.origin}{AUDIENCE_PATH}", f"{upload.origin}{MINT_PATH}")
    path = str(upload).removeprefix(str(upload.origin))
    try:
        answer = context.http.send(
            "GET", f"{upload.origin}{DISCOVERY_PATH}?discover={quote_plus(path)}", headers={"Accept": MEDIA_TYPE}
        )
    except BrokerMisbehaved:  # it leads whoever asks for something unknown to another page
        return pypis
    require_ready(answer, str(upload.origin))
    body = answer.body
    if answer.status != _OK or not isinstance(body, dict) or "token-mint-endpoint" not in body:
        return pypis
    defaults, features = _names(body, "default-features", (_MULTI_USE,)), _names(body, "features", ())
    return _Endpoints(
        audience=_endpoint(body, "audience-endpoint", upload),
        mint=_endpoint(body, "token-mint-endpoint", upload),
        features=(_MULTI_USE,) if _MULTI_USE in features and _MULTI_USE not in defaults else (),
        is_multi_use=_MULTI_USE in (*defaults, *features),
    )


def _endpoint(body: Mapping[str, object], key: str, upload: IndexUrl) -> str:
    """Return an endpoint that is at the upload URL's own origin (PEP 807). Raises BrokerMisbehaved."""
    url = read_url_text(body, key)
    if read_url(url).origin != upload.origin:
        raise BrokerMisbehaved(f"{upload.origin} names an {key} on another host, which is not asked")
    return url


def _names(body: Mapping[str, object], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = body.get(key)
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else default


def _audience(upload: IndexUrl, endpoints: _Endpoints, context: Context) -> str:
    """Return the audience that the index wants identity tokens to have. Raises BrokerError."""
    answer = context.http.send("GET", endpoints.audience, headers=_HEADERS)
    if answer.status == _NOT_FOUND:
        raise BrokerRefused(
            f"{upload.origin} offers no trusted publishing",
            reason="not_found",
            hint="correct upload-url, or use another provider for this index",
        )
    return read_text(_success(answer, upload, audience=""), "audience")


def _mint(
    upload: IndexUrl, endpoints: _Endpoints, identity: IdentityToken, audience: str, context: Context
) -> Credential:
    wanted: dict[str, object] = {"token": identity.secret}
    if endpoints.features:
        wanted["features"] = list(endpoints.features)
    asked_at = context.now()
    answer = context.http.send("POST", endpoints.mint, headers=_HEADERS, json=wanted)
    body = _success(answer, upload, audience=audience, source=identity.source)
    expires_at = asked_at + _life(answer, body, now=context.now())
    token = Secret(read_text(body, "token", limit=_MAX_TOKEN_LENGTH))
    # A token for one file is of no use to the next process.
    return Credential(TOKEN_USERNAME, token, asked_at, expires_at, is_kept=endpoints.is_multi_use)


def _life(answer: Answer, body: Mapping[str, object], *, now: float) -> float:
    """Return the seconds that the token has, by the server's own clock. Raises BrokerMisbehaved."""
    expires = body.get("expires")
    if expires is None:
        return DEFAULT_SECONDS
    if isinstance(expires, bool) or not isinstance(expires, int) or not 0 < expires < 10**11:
        raise BrokerMisbehaved("the answer's expires is not in seconds since the epoch")
    life = expires - (now - read_skew(answer, now=now))
    if life <= 0:
        raise BrokerMisbehaved("the answer's token is over already", hint="tell who runs the index: its clock is wrong")
    return life


def _success(answer: Answer, upload: IndexUrl, *, audience: str, source: str = "") -> Mapping[str, object]:
    """Return the body of a 200, or raise what was said in PyPI's shape or in that of RFC 9457."""
    require_ready(answer, str(upload.origin))
    if not isinstance(answer.body, dict):
        raise BrokerMisbehaved(
            f"{upload.origin} answered with status {answer.status} and no JSON object",
            hint="check that upload-url is the index's own",
        )
    if answer.status == _OK:
        return answer.body
    code, said = _refusal(answer.body)
    proof = f" (the identity token came from {source})" if source else ""
    raise BrokerRefused(
        f"{upload.origin} does not let this job publish: {said or code}{proof}",
        reason=code,
        hint=_HINTS.get(code, "compare the job with the trusted publishers there").format(audience=audience),
    )


def _refusal(body: Mapping[str, object]) -> tuple[str, str]:
    """Return the code and the words of a refusal."""
    errors = body.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else body
    said = first.get("description") or first.get("detail") or first.get("title") or body.get("message")
    code = first.get("code")
    return (
        make_readable(code) if isinstance(code, str) and code else "refused",
        make_readable(said) if isinstance(said, str) else "",
    )
