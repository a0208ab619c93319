"""What a broker or an index answered, narrowed: a success or why there is none, and its members one by one.

Nothing from outside is trusted before a function here has looked at it. This module knows texts, numbers and URLs, not
what a message is good for.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from indexpass._url import MAX_URL_LENGTH, IndexUrl
from indexpass.errors import BrokerMisbehaved, BrokerRefused, BrokerUnreachable, UrlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Answer

_MAX_TEXT_LENGTH = 500
_MAX_DATE_LENGTH = 40
_MAX_WORDS_LENGTH = 200  # a line of a terminal, or two
_USER_INFO = re.compile(r"://[^/\s]*@")
_LIKE_A_TOKEN = re.compile(r"[A-Za-z0-9_.~+=-]{40,}")  # longer than a UUID, shorter than any token or code of ours


def refusal(body: Mapping[str, object], who: str) -> BrokerRefused:
    """Return what an error answer means, without what looks like a token."""
    reason = _said(body, "error") or "unknown_error"
    return BrokerRefused(f"{who} refused: {_said(body, 'error_description') or reason}", reason=reason)


def require_ready(answer: Answer, who: str) -> None:
    """Raise BrokerUnreachable if the answer asks to come back later, or is that of a server that is broken."""
    if answer.status == 429 or answer.status >= 500:  # noqa: PLR2004  # RFC 6585, RFC 9110
        raise BrokerUnreachable(
            f"{who} is not ready: it answered with status {answer.status}",
            hint="try again in a minute",
            retry_after=answer.retry_after,
            is_cut_off=answer.status == 502,  # noqa: PLR2004  # RFC 9110: a proxy lost the broker behind it
        )


def read_success(answer: Answer, who: str) -> Mapping[str, object]:
    """Return the body of a 200, or raise what the status and the error code mean."""
    require_ready(answer, who)
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


def make_readable(text: str) -> str:
    """Return what somebody else's server or program says as one short line, without what looks like a secret."""
    line = "".join(character if character.isprintable() else " " for character in text)
    return _LIKE_A_TOKEN.sub("****", _USER_INFO.sub("://****@", line))[:_MAX_WORDS_LENGTH].strip()


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


def read_life(answer: Answer, body: Mapping[str, object], key: str, *, now: float) -> float:
    """Return how many seconds there were from the answer until the time in ISO 8601 that it names; 0 if it is past.

    Both are by the server's clock, so that a wrong one on this machine does no harm; ``now`` is used where the answer
    has no Date. Raises BrokerMisbehaved if there is no such time.
    """
    text = read_text(body, key)
    try:
        # Python 3.10 knows no Z, and no fraction but of 3 or 6 digits.
        moment = datetime.fromisoformat(re.sub(r"(?:\.[0-9]+)?Z$", "+00:00", text))
    except ValueError:
        raise BrokerMisbehaved(f"the answer's {key} is not a time") from None
    if moment.tzinfo is None:
        raise BrokerMisbehaved(f"the answer's {key} is a time without a time zone")
    return max(moment.timestamp() - (now - read_skew(answer, now=now)), 0.0)


def read_skew(answer: Answer, *, now: float) -> float:
    """Return how many seconds this machine's clock is ahead of the server's Date; 0 if it says none."""
    try:
        said_at = parsedate_to_datetime(answer.headers.get("date", "")[:_MAX_DATE_LENGTH])
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return now - said_at.replace(tzinfo=timezone.utc).timestamp()


def read_url(text: str) -> IndexUrl:
    """Return a URL that may be used. Raises BrokerMisbehaved if it may not."""
    try:
        return IndexUrl.parse(text)
    except UrlError as error:
        raise BrokerMisbehaved(f"the answer contains a URL that cannot be used: {error}") from error
