"""An ``auther`` for a pypiserver of your own: it takes the broker's tokens, with no proxy in front.

The tokens are verified by the keys that the broker publishes, so that it is asked once in five minutes and not for
each request. What was revoked is therefore not known here: such a token is good until it expires. An upload does not
say in its URL which project it is for, so a token that is bound to projects reads here and does not upload.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING
from urllib.parse import quote

from indexpass._http import HttpClient
from indexpass._url import IndexUrl
from indexpass.broker.guarding.check import Checker, Facts, Verdict
from indexpass.broker.guarding.projects import NO_TARGET, Target, find_target
from indexpass.broker.guarding.proxy import operation_of
from indexpass.broker.settings import GuardedIndex, values
from indexpass.broker.trust.published_keys import PublishedKeys
from indexpass.errors import BrokerError, UrlError

with warnings.catch_warnings():
    # pypiserver's web framework, bottle, is old: Python up to 3.12 warns of the modules and protocols that it uses.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", ImportWarning)
    from pypiserver.bottle_wrapper import bottle  # type: ignore[import-untyped]
    from pypiserver.bottle_wrapper.bottle import HTTPError, request  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass._model import Http, Operation
    from indexpass.broker.keys import AccessToken

# The finder that bottle leaves for its plug-ins has no find_spec: Python 3.10 and 3.11 would warn of it ever after.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != bottle.__name__]

RETRY_AFTER_SECONDS = 5


class TokenAuther:
    """What ``pypiserver.app(auther=…)`` takes: says whether the request that is being answered may go on.

    ``index_url`` is the URL of the index, as ``broker.toml`` has it; ``issuer`` is the broker's own. Raises UrlError or
    ValueError if they are not.
    """

    def __init__(
        self, index_url: str, issuer: str, *, http: Http | None = None, now: Callable[[], float] = time.time
    ) -> None:
        """Fetch nothing yet."""
        self._index = GuardedIndex(
            name="pypiserver",
            url=values.index_url(index_url),
            upload_url=None,
            files_url=None,
            read_seconds=0,
            upload_seconds=0,
        )
        keys = PublishedKeys(values.issuer_url(issuer), http=http or HttpClient(), now=now)
        self._checker = Checker(None, keys, _NothingRevoked(), now)
        self._lock = threading.Lock()  # the checker is for one thread, and pypiserver has many

    def __call__(self, _user: str, _password: str) -> bool:
        """Return True, or raise pypiserver's own answer: 401, 403, or 503 while the broker's keys cannot be had.

        If it returned False, pypiserver would always answer 403, and pip would not ask for a new token.
        """
        operation = operation_of(request.method)
        target = self._find_target(operation)
        try:
            with self._lock:
                verdict = self._checker.check(
                    Facts(request.headers.get("Authorization", ""), self._index, operation, target)
                )
        except BrokerError:
            raise HTTPError(
                503, "the broker's keys cannot be had at the moment", **{"Retry-After": str(RETRY_AFTER_SECONDS)}
            ) from None
        if verdict.status == 204:  # noqa: PLR2004  # check's word for yes
            return True
        raise _answer(verdict)

    def _find_target(self, operation: Operation) -> Target:
        """Return what the path names; below the application it is the same as below the index's root."""
        try:
            url = IndexUrl.parse(f"{self._index.url.root}{quote(request.path.lstrip('/'))}")
            return find_target(self._index, url, operation)
        except UrlError:
            return NO_TARGET


class _NothingRevoked:
    def has(self, _token: AccessToken) -> bool:
        return False


def _answer(verdict: Verdict) -> HTTPError:
    return HTTPError(verdict.status, verdict.reason, **{"WWW-Authenticate": ", ".join(verdict.challenges)})
