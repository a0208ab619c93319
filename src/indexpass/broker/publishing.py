"""Trusted publishing: an identity token of CI comes in, a token for uploading goes out, as PyPI and PEP 807 have it.

Clients of PyPI know only the host that they upload to, those of PEP 807 also the path, and so the index. Both come to
the one :func:`~indexpass.broker.exchange.exchange`. This module knows the two dialects and which index is meant; it
never decides who may publish, and never parses HTTP.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from indexpass._secret import Secret
from indexpass._url import IndexUrl, parse_netloc
from indexpass._wire import GRANT_EXCHANGE, SCOPES, TYPE_ID_TOKEN
from indexpass.broker.exchange import exchange
from indexpass.broker.oauth import OAuthError
from indexpass.broker.policy import Grant, decide, describe
from indexpass.broker.proofs import UsedBefore
from indexpass.broker.revoke import revoke
from indexpass.broker.settings import Workload
from indexpass.errors import UrlError

if TYPE_CHECKING:
    from indexpass.broker.policy import Subject
    from indexpass.broker.service import Broker
    from indexpass.broker.settings import GuardedIndex, Settings

AUDIENCE_PATH = "/_/oidc/audience"
MINT_PATH = "/_/oidc/mint-token"
OLD_MINT_PATH = "/_/oidc/github/mint-token"  # PyPI's first; gh-action-pypi-publish has kept it
BURN_PATH = "/_/oidc/burn-token"  # uv ends its token there once all is uploaded
DISCOVERY_PATH = "/.well-known/pytp"
_FEATURE = "multi-use-token"


class Refusal(Exception):
    """What a publisher is told: a code that programs know, and a sentence for people; the reasons are in the audit.

    ``status`` is 400 if the request is wrong and 403 if its answer is no. ``retry_after`` is 0 where time changes
    nothing.
    """

    def __init__(self, code: str, description: str, status: int = 403, *, retry_after: int = 0) -> None:
        """Keep them; none of them may contain what the client sent."""
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description
        self.status = status
        self.retry_after = retry_after

    @property
    def pypi_status(self) -> int:
        """The HTTP status that PyPI gives: 422 for all that is not a matter of time or size."""
        return 422 if self.status in {400, 403, 404} else self.status

    def to_pypi(self) -> dict[str, object]:
        """Return the answer as PyPI gives it; clients print code and description."""
        errors = [{"code": self.code, "description": self.description}]
        return {"message": "Token request failed", "errors": errors}

    def to_problem(self) -> dict[str, object]:
        """Return the answer as PEP 807 wants it (RFC 9457 section 3), with the code as a member of our own."""
        title = "trusted publishing was refused"
        return {"title": title, "status": self.status, "detail": self.description, "code": self.code}


class _Ambiguous(OAuthError):
    """Several indexes could be meant."""


@dataclass(frozen=True, slots=True)
class UploadToken:
    """A token for uploading, and when it expires, in seconds since the epoch."""

    token: Secret
    expires: int

    def to_pypi(self) -> dict[str, object]:
        """Return the answer as PyPI gives it; this reveals the token."""
        return {"success": True, **self.to_pep()}

    def to_pep(self) -> dict[str, object]:
        """Return the answer as PEP 807 has it; this reveals the token."""
        return {"token": self.token.reveal(), "expires": self.expires}


def find_indexes(settings: Settings, host: str) -> tuple[GuardedIndex, ...]:
    """Return the indexes that CI publishes to at ``host``; at any host if there is none at this one.

    So it works behind a proxy that does not pass on what its client called it. Who publishes there is not asked yet.
    """
    published = [index for index in settings.indexes if index.upload_url and _publishers(settings, index)]
    here = [index for index in published if index.upload_url and _is_at(index.upload_url, host)]
    return tuple(here or published)


def index_named(settings: Settings, name: str) -> GuardedIndex:
    """Return the index of PEP 807's endpoints. Raises Refusal."""
    index = settings.index_named(name)
    if index is None or index not in find_indexes(settings, ""):
        raise Refusal("not-enabled", "there is no index of this name that CI publishes to", status=404)
    return index


def discover(settings: Settings, host: str, path: str) -> dict[str, object]:
    """Return where CI publishes for the upload URL with this path (PEP 807). Raises Refusal."""
    matching = [index for index in find_indexes(settings, host) if _has_path(index.upload_url, path)]
    if len(matching) != 1 or not matching[0].upload_url:
        raise Refusal("not-enabled", "this is not the path of an upload URL that CI publishes to", status=404)
    origin, name = matching[0].upload_url.origin, matching[0].name
    return {
        "audience-endpoint": f"{origin}{AUDIENCE_PATH}/{name}",
        "token-mint-endpoint": f"{origin}{MINT_PATH}/{name}",
        "features": [_FEATURE],
        "default-features": [_FEATURE],
    }


def find_audience(settings: Settings, indexes: tuple[GuardedIndex, ...]) -> str:
    """Return the audience that identity tokens must have to publish to one of ``indexes``. Raises Refusal.

    A client asks before anybody knows its issuer. If issuers differ, it is told the broker's own URL where one of them
    accepts that, and else what the first in the file accepts.
    """
    names = {name for index in indexes for name in _publishers(settings, index)}
    audiences = [issuer.audience for issuer in settings.trusted_issuers if issuer.name in names]
    if not audiences:
        raise Refusal("not-enabled", "no policy of this broker lets CI publish here")
    return settings.issuer if settings.issuer in audiences else audiences[0]


async def mint(broker: Broker, body: bytes, *, indexes: tuple[GuardedIndex, ...], address: str) -> UploadToken:
    """Trade the identity token in ``body`` for a token to upload to one of ``indexes``. Raises Refusal."""
    if not indexes:
        raise Refusal("not-enabled", "no policy of this broker lets CI publish here")
    form = {
        "grant_type": GRANT_EXCHANGE,
        "subject_token": _parse(body).reveal(),
        "subject_token_type": TYPE_ID_TOKEN,
        "scope": SCOPES["upload"],
    }
    earliest = int(broker.now())  # of the moments that the token's life may be counted from
    try:
        with broker.metrics.timing_exchange():
            choose = partial(_choose, broker.settings, indexes)
            answer = await exchange(broker, form, address=address, choose=choose)
    except OAuthError as error:
        raise _refusal(error) from None
    return UploadToken(answer.access_token, earliest + answer.expires_in)


def burn(broker: Broker, body: bytes, *, address: str) -> None:
    """End the token in ``body``, if it is one; nobody is told. Raises Refusal. Blocks: run it on a thread."""
    revoke(broker, {"token": _parse(body).reveal()}, address=address)


def _publishers(settings: Settings, index: GuardedIndex) -> set[str]:
    """Return the names of the issuers whose workloads a policy lets upload to ``index``."""
    return {
        policy.who.issuer
        for policy in settings.policies
        if policy.index == index.name and "upload" in policy.operations and isinstance(policy.who, Workload)
    }


def _is_at(url: IndexUrl, host: str) -> bool:
    try:
        return parse_netloc(host, url.origin.scheme) == url.origin
    except UrlError:
        return False


def _has_path(url: IndexUrl | None, path: str) -> bool:
    try:
        return url is not None and path[:1] in {"", "/"} and IndexUrl.parse(f"{url.origin}{path}") == url
    except UrlError:
        return False


def _parse(body: bytes) -> Secret:
    """Return the token in a request. Raises Refusal."""
    try:
        document = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        document = None  # the cause quotes the token
    token = document.get("token") if isinstance(document, dict) else None
    if not isinstance(token, str) or not token:
        raise Refusal("invalid-payload", 'the body must be JSON in UTF-8: {"token": "…"}', status=400)
    if document.get("features") not in (None, [], [_FEATURE]):
        raise Refusal("invalid-payload", f"of the features of PEP 807, {_FEATURE} alone is known here", status=400)
    return Secret(token)


def _choose(settings: Settings, indexes: tuple[GuardedIndex, ...], subject: Subject) -> GuardedIndex:
    """Return the one index that ``subject`` may publish to. Raises OAuthError."""
    if len(indexes) == 1:
        return indexes[0]
    granted = [index for index in indexes if isinstance(decide(settings, subject, index, "upload"), Grant)]
    if len(granted) == 1:
        return granted[0]
    if granted:
        names = " and ".join(index.name for index in granted)
        raise _Ambiguous(
            "invalid_target",
            f"a policy lets you publish to {names}, and this request does not say which is meant: use PEP 807's"
            " endpoints, or one host for each index",
        )
    raise OAuthError("invalid_target", f"no policy lets {describe(subject)} upload to an index at this host")


def _refusal(error: OAuthError) -> Refusal:
    """Return what the publisher is told: which kind of no it is, and where the whole reason stands."""
    if isinstance(error, UsedBefore):
        return Refusal("invalid-reuse-token", "the identity token was used before: ask your CI for a new one")
    if isinstance(error, _Ambiguous):
        return Refusal("invalid-publisher", error.description)
    if error.code == "invalid_target":
        return Refusal(
            "invalid-publisher",
            "the identity token is good, but no policy of this broker lets its bearer publish here: compare its claims"
            " with the policies, as indexpass broker explain does",
        )
    if error.code == "invalid_request":
        return Refusal(
            "invalid-token",
            "the identity token is not believed here: the reason is in the broker's audit, and indexpass broker explain"
            f" tells it; often it is the audience, which {AUDIENCE_PATH} names",
        )
    return Refusal(error.code.replace("_", "-"), error.description, error.status, retry_after=error.retry_after)
