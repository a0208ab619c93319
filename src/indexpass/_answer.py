"""What a broker or an index answered, narrowed: a success or why there is none, and its members one by one.

Nothing from outside is trusted before a function here has looked at it. This module knows texts, numbers and URLs, not
what a message is good for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from indexpass._url import MAX_URL_LENGTH, IndexUrl
from indexpass.errors import BrokerMisbehaved, BrokerRefused, BrokerUnreachable, UrlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Answer

_MAX_TEXT_LENGTH = 500
_LIKE_A_TOKEN = re.compile(r"[A-Za-z0-9_.~+=-]{40,}")  # longer than a UUID, shorter than any token or code of ours


def refusal(body: Mapping[str, object], who: str) -> BrokerRefused:
    """Return what an error answer means, without what looks like a token."""
    reason = _said(body, "error") or "unknown_error"
    return BrokerRefused(f"{who} refused: {_said(body, 'error_description') or reason}", reason=reason)


def read_success(answer: Answer, who: str) -> Mapping[str, object]:
    """Return the body of a 200, or raise what the status and the error code mean."""
    if answer.status == 429 or answer.status >= 500:  # noqa: PLR2004  # RFC 6585, RFC 9110
        raise BrokerUnreachable(
            f"{who} is not ready: it answered with status {answer.status}",
            hint="try again in a minute",
            retry_after=answer.retry_after,
            is_cut_off=answer.status == 502,  # noqa: PLR2004  # RFC 9110: a proxy lost the broker behind it
        )
    body = answer.body
    if not isinstance(body, dict):
        raise BrokerMisbehaved(
            f"{who} answered with status {answer.status} and no JSON object",
            hint="check that the URL is a broker's and not a proxy's sign-in page",
        )
    if answer.status != 200:  # noqa: PLR2004
        raise refusal(body, who)
    return body


def _said(body: Mapping[str, object], key: str) -> str:
    """Return what the broker says about a refusal, without what looks like a token; empty if it is no short text."""
    try:
        return _LIKE_A_TOKEN.sub("****", read_text(body, key, default=""))
    except BrokerMisbehaved:
        return ""  # a refusal stays a refusal, however badly it is worded


def read_text(
    body: Mapping[str, object], key: str, *, default: str | None = None, limit: int = _MAX_TEXT_LENGTH
) -> str:
    """Return a short text; null and an empty text count as absent. Raises BrokerMisbehaved where it is needed."""
    value = body.get(key)
    if value is None or value == "":
        value = default
    # Text goes to terminals and into files: no control characters, no essays.
    if not isinstance(value, str) or len(value) > limit or not value.isprintable():
        raise BrokerMisbehaved(f"the answer's {key} is missing or not a short text")
    return value


def read_url_text(body: Mapping[str, object], key: str, *, default: str | None = None) -> str:
    """Return a URL as it was written, query and all, after making sure that it is one which may be used."""
    text = read_text(body, key, default=default, limit=MAX_URL_LENGTH)
    read_url(text)
    return text


def read_seconds(body: Mapping[str, object], key: str, *, default: int) -> int:
    """Return a duration; null counts as absent. Raises BrokerMisbehaved if it is none."""
    value = body.get(key)
    if value is None:
        value = default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**9:
        raise BrokerMisbehaved(f"the answer's {key} is not a number of seconds")
    return value


def read_url(text: str) -> IndexUrl:
    """Return a URL that may be used. Raises BrokerMisbehaved if it may not."""
    try:
        return IndexUrl.parse(text)
    except UrlError as error:
        raise BrokerMisbehaved(f"the answer contains a URL that cannot be used: {error}") from error
