"""Why an index does not take our credential: every refusal in words of its own.

:func:`explain` reads the answer that an index gave. Of what the server wrote, only times, and texts and URLs that we
know how to read, reach the words. This module asks nobody and tells nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from indexpass import _challenge
from indexpass._url import IndexUrl
from indexpass.errors import IndexRefused, UrlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._credential import Credential, Index, Operation

CODES = (
    "clock-skew",
    "token-expired",
    "token-revoked",
    "token-unknown",
    "wrong-audience",
    "index-unguarded",
    "key-refused",
    "not-allowed",
    "index-not-found",
    "proxy-sign-in",
)
# Another credential would be refused as well, or there is no other.
NOT_RENEWABLE = frozenset({"wrong-audience", "index-unguarded", "key-refused"})
MIN_SKEW_SECONDS = 60.0  # less is the way through the network, and the server's whole seconds
# AWS CodeArtifact answers 404 to bad credentials, and has no page that lists its projects.
_HIDING = re.compile(r"[a-z0-9-]+-[0-9]{12}\.d\.codeartifact\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?")
# Whom a platform lets in is in its own settings: by provider, and by the user name that goes with a job's token.
_LETTING_JOBS_IN = {
    ("gitlab", "gitlab-ci-token"): (
        "let this job's project in, in the settings of the index's project: CI/CD, Job token permissions, Add group or"
        " project"
    ),
}
_DOING: Mapping[Operation, str] = {"read": "reading", "upload": "uploading"}
_MAX_DATE_LENGTH = 40


def explain(  # noqa: PLR0913  # what was sent, and what came back
    index: Index,
    credential: Credential,
    *,
    status: int,
    headers: Mapping[str, str],
    now: float,
    operation: Operation = "read",
    is_own_page: bool = False,
) -> IndexRefused | None:
    """Return why the index refused a request that carried the credential, or None if this answer is no refusal.

    A missing package is no refusal: 404 is one only for the index's own page (``is_own_page``), or if an index that
    hides behind 404 counts the credential as expired.
    """
    said = {name.lower(): value for name, value in headers.items()}
    case = _Case(index, credential, operation, now, read_date(said.get("date", "")))
    challenge = _challenge.bearer_parameters(said.get("www-authenticate", ""))
    if status == 401:  # noqa: PLR2004  # RFC 9110 section 15.5.2
        return _explain_key(case) if case.is_key else _explain_unauthorized(case, challenge)
    if status == 403:  # noqa: PLR2004  # RFC 9110 section 15.5.4
        return _explain_forbidden(case, challenge)
    if status == 404:  # noqa: PLR2004  # RFC 9110 section 15.5.5
        return _explain_not_found(case, is_own_page=is_own_page)
    if status == 407:  # noqa: PLR2004  # RFC 9110 section 15.5.8
        return IndexRefused(
            f"a proxy on the way to {index.url} asks for a password of its own",
            hint=f"put it into HTTPS_PROXY, or {index.url.origin.host} into NO_PROXY",
            code="proxy-sign-in",
        )
    return None


@dataclass(frozen=True, slots=True)
class _Case:
    """What was sent, and when that was by both clocks."""

    index: Index
    credential: Credential
    operation: Operation
    now: float
    there: float | None

    @property
    def issuer(self) -> str:
        return self.index.options.get("broker", self.index.provider)

    @property
    def skew(self) -> float:
        """How many seconds this machine's clock is ahead of the server's; 0 if too few, or nobody knows."""
        skew = 0.0 if self.there is None else self.now - self.there
        return skew if abs(skew) >= MIN_SKEW_SECONDS else 0.0

    @property
    def is_key(self) -> bool:
        """Was it a key that a person made on the platform's page? No clock and no broker has a part in that."""
        return self.index.provider == "static"

    @property
    def letting_in(self) -> str:
        """What lets the job in that sent its own token; "" for whatever else was sent."""
        return _LETTING_JOBS_IN.get((self.index.provider, self.credential.username), "")

    def is_expired_at(self, time: float | None) -> bool:
        expires_at = self.credential.expires_at
        return time is not None and expires_at is not None and expires_at <= time


def _explain_unauthorized(case: _Case, challenge: Mapping[str, str]) -> IndexRefused:
    index, url, issuer = case.index, case.index.url, case.issuer
    said = challenge.get("error_description")
    if said == _challenge.TOKEN_REVOKED:
        return IndexRefused(
            f"the credential for {url} was revoked", hint=f"indexpass login {index.name}", code="token-revoked"
        )
    if said == _challenge.TOKEN_UNKNOWN:
        return IndexRefused(
            f"{url} does not know the credentials of {issuer}",
            hint=f"find out which broker guards it: indexpass add {url}",
            code="token-unknown",
        )
    if said == _challenge.TOKEN_ELSEWHERE:
        return _explain_elsewhere(case, challenge.get("resource", ""))
    if said == _challenge.URL_UNGUARDED:
        return IndexRefused(
            f"the broker behind {url} guards no index at that URL",
            hint=f"ask who runs {issuer} for an index with the url {url}",
            code="index-unguarded",
        )
    if said == _challenge.TOKEN_EXPIRED:
        return _explain_expired(case)
    return _explain_unreasoned(case)


def _explain_key(case: _Case) -> IndexRefused:
    index = case.index
    place = index.options.get("key-variable") or index.options.get("key-file")
    then = f"put it into {place}" if place else f"run indexpass login {index.name}"
    return IndexRefused(
        f"{index.url} does not take the key that is kept for it",
        hint=f"make a new one at the platform, and {then}",
        code="key-refused",
    )


def _explain_unreasoned(case: _Case) -> IndexRefused:
    index, url = case.index, case.index.url
    if case.skew:
        return IndexRefused(
            f"{url} refuses the credential, does not say why, and this machine's clock is {describe_skew(case.skew)}",
            hint="set the clock, then run the command again",
            code="clock-skew",
        )
    return IndexRefused(
        f"{url} refuses the credential from {case.issuer}, and does not say why",
        hint=f"ask who runs {url.origin} whether it takes them, and see what you hold: indexpass status {index.name}",
    )


def _explain_elsewhere(case: _Case, resource: str) -> IndexRefused:
    url, issuer = case.index.url, case.issuer
    wanted = _parse_near(resource, case)
    if wanted is None:
        message = f"{issuer} issued the credential for {url}, but the index there is another one"
        hint = f"ask who runs {issuer} by which URL it guards that index"
    else:
        message = f"{issuer} issued the credential for {url}, but the index there expects one for {wanted}"
        hint = f"use the index by that URL: indexpass add {wanted}"
    return IndexRefused(message, hint=hint, code="wrong-audience")


def _explain_expired(case: _Case) -> IndexRefused:
    url = case.index.url
    if case.is_expired_at(case.now):
        return IndexRefused(
            f"the credential for {url} has expired",
            hint="run the command again: it gets a new one",
            code="token-expired",
        )
    if case.skew:
        return IndexRefused(
            f"{url} counts the credential as expired: this machine's clock is {describe_skew(case.skew)}",
            hint="set the clock, then run the command again",
            code="clock-skew",
        )
    return IndexRefused(
        f"{url} counts the credential as expired before its time",
        hint=f"compare this machine's clock, and ask who runs {case.issuer} to compare its own with the index's",
        code="token-expired",
    )


def _explain_forbidden(case: _Case, challenge: Mapping[str, str]) -> IndexRefused:
    url, issuer, operation = case.index.url, case.issuer, case.operation
    allowed = f"allows {operation} on {url}"
    if challenge.get("error_description") == _challenge.TOKEN_OTHER_PROJECTS:
        message = f"{url} takes the credential, but for other projects only"
        allowed += " for this project"
    elif challenge.get("error") == "insufficient_scope":
        message = f"{url} takes the credential, but it is not one for {_DOING[operation]}"
    elif case.is_key:
        message = f"{url} forbids {_DOING[operation]} with the key that is kept for it"
        who = "at the platform, give the key, or whom it belongs to, the right for that"
        return IndexRefused(message, hint=who, code="not-allowed")
    else:
        message = f"{url} forbids {_DOING[operation]} with the credential from {issuer}"
    hint = case.letting_in or f"ask who runs {issuer} for a policy that {allowed}"
    return IndexRefused(message, hint=hint, code="not-allowed")


def _explain_not_found(case: _Case, *, is_own_page: bool) -> IndexRefused | None:
    url = case.index.url
    is_hiding = _HIDING.fullmatch(url.origin.host) is not None
    if is_hiding and case.is_expired_at(case.there):
        return _explain_expired(case)
    if not is_own_page:
        return None
    if is_hiding:
        message = f"{url} answers 404, as it does to credentials that it does not take"
        hint = f"check that {case.issuer} may read it, unless the package itself does not exist"
    else:
        message = f"{url} answers 404 for its own page"
        hint = case.letting_in or f"correct the index's url, or ask who runs {url.origin} whether it hides from you"
    return IndexRefused(message, hint=hint, code="index-not-found")


def _parse_near(text: str, case: _Case) -> IndexUrl | None:
    """Return the URL that a server names, if it is another one and on the host of the index or of its broker.

    A server shall not be able to send people anywhere else.
    """
    try:
        near = {case.index.url.origin, IndexUrl.parse(case.index.options.get("broker", "")).origin}
        url = IndexUrl.parse(text)
    except UrlError:
        return None
    return url if url.origin in near and url != case.index.url else None


def read_date(date: str) -> float | None:
    """Return the time in a ``Date`` header (RFC 9110 section 5.6.7) in seconds since the epoch, or None."""
    try:
        return parsedate_to_datetime(date[:_MAX_DATE_LENGTH]).replace(tzinfo=timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return None


def describe_skew(skew: float) -> str:
    """Say how far ahead (in seconds, negative if behind) this machine's clock is, such as "5 minutes ahead"."""
    minutes = round(abs(skew) / 60)
    if minutes >= 2 * 24 * 60:
        length = f"{minutes // (24 * 60)} days"
    elif minutes >= 2 * 60:
        length = f"{minutes // 60} hours"
    else:
        length = "1 minute" if minutes == 1 else f"{minutes} minutes"
    return f"{length} {'behind' if skew < 0 else 'ahead'}"
