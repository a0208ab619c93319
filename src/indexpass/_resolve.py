"""THE CLIENT FLOW: URL → match → cache → provider → cache → credential.

Everything that a client ever gets from us comes through :meth:`Resolver.credential_for`. This module decides when to
ask, and never how: matching, keeping and obtaining are done by the modules below it. It raises; the front doors do not.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from indexpass import _config
from indexpass._cache import Cache
from indexpass._locations import locate
from indexpass._match import match
from indexpass._platforms import PLATFORMS
from indexpass.errors import BrokerError, BrokerRefused, BrokerUnreachable, IndexpassError, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from indexpass._match import Report
    from indexpass._model import Context, Credential, Index, Operation, Provider
    from indexpass._secret import Secret

REFUSED_SECONDS = 30.0  # a credential that is refused sooner after it was issued is not the problem
FAILURE_SECONDS = 30.0  # a client asks for many URLs in one run; it shall wait for a dead broker once
SIGN_IN_SECONDS = 10.0  # a person may sign in at any moment, and that clears it at once
MAX_FAILURE_SECONDS = 300.0
_UNAUTHORIZED = 401  # the one status that asks for another credential (RFC 9110 section 15.5.2)
_log = logging.getLogger("indexpass.resolve")


class Resolver:
    """Finds or obtains the credential for a URL. What it depends on is passed in."""

    def __init__(  # noqa: PLR0913  # the world outside, one parameter a part
        self,
        indexes: Callable[[], tuple[Index, ...]],
        cache: Cache,
        provider_for: Callable[[Index], Provider],
        context: Callable[[], Context],
        now: Callable[[], float],
        *,
        run: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Ask nothing yet; ``context`` is called only when a provider is asked, because making it loads requests.

        ``run`` names the run of pip that asks, or returns None where someone else does. pip asks again when its last
        answer was refused, but not only then.
        """
        self._indexes = indexes
        self.cache = cache
        self._provider_for = provider_for
        self._context = context
        self._now = now
        self._run = run

    def credential(
        self, service: str, operation: Operation | None = None, *, refused: Secret | None = None
    ) -> Credential | None:
        """Return the credential for a URL or a bare host, or None if no configured index has one for it.

        Without ``operation``, the URL decides (see :func:`indexpass._match.match`). ``refused`` is a secret that the
        server has just refused. What a run of pip is given for the second time is in doubt: if the index itself
        refuses it, it is replaced. Raises IndexpassError if the URL is ours but no credential can be had.
        """
        found = self.find(service, operation)
        if found is None:
            return None
        index, operation = found
        credential = self.credential_for(index, operation, refused=refused)
        run = self._run() if operation == "read" else None
        if run and self.cache.is_given_again(run, credential, self._now()) and self._must_renew(index, credential):
            credential = self.credential_for(index, operation, refused=credential.secret)
            self.cache.is_given_again(run, credential, self._now())  # this one may come into doubt as well
        return credential

    def find(
        self, service: str, operation: Operation | None = None, *, report: Report | None = None
    ) -> tuple[Index, Operation] | None:
        """Return the index and the operation that a client asks for, or None if others have to answer.

        ``report`` is told of each rule, see :func:`indexpass._match.match`.
        """
        found = match(service, self._indexes(), report=report)
        if found is None:
            return None
        index, implied = found
        platform = PLATFORMS.get(index.provider)
        if platform and (operation or implied) not in platform.operations:
            return None
        return index, operation or implied

    def at_hand(self, index: Index, operation: Operation) -> Credential | None:
        """Return what would be handed out without asking anybody, or None if the provider would be asked.

        Raises the last attempt's failure if that would be repeated.
        """
        return self._at_hand(index, operation, self._held(index, operation, None))

    def credential_for(self, index: Index, operation: Operation, *, refused: Secret | None = None) -> Credential:
        """Return a credential for one operation on one index. Raises IndexpassError."""
        at_hand = self._at_hand(index, operation, self._held(index, operation, refused))
        if at_hand:
            return at_hand
        with self.cache.lock(index, operation):
            held = self._held(index, operation, refused)  # another process may have been faster
            at_hand = self._at_hand(index, operation, held)
            if at_hand:
                return at_hand
            try:
                _log.debug("asking %s for %s on %s", index.provider, operation, index.url)
                credential = self._provider_for(index).issue(index, operation, self._context())
            except IndexpassError as error:
                _log.debug("no credential for %s: %s", index.url, error.code)
                if held is None:
                    self.cache.forget(index, operation)  # what is kept was refused or has expired
                self.cache.remember_failure(index, operation, error, self._now() + _memory_seconds(error))
                if held:
                    return held  # still usable: better than nothing
                raise
            self.cache.store(index, operation, credential)
            return credential

    def forget_refused(self, service: str, refused: Secret) -> None:
        """Forget what is held for reading a URL of ours if it is this secret, which the server has refused.

        What was issued only just now stays: another one would be refused as well.
        """
        found = self.find(service, "read")
        held = self.cache.load(found[0], "read") if found else None
        if found and held and held.secret == refused and not self._is_new(held):
            self.cache.forget(found[0], "read")

    def _held(self, index: Index, operation: Operation, refused: Secret | None) -> Credential | None:
        """Return the held credential if it may be handed out and was not refused: a fresh one, or a usable one to read.

        An upload gets a fresh one or none: many a body can be sent only once, and takes its time.
        """
        held = self.cache.load(index, operation)
        if held is None or held.age(self._now()) == "expired":
            return None
        if operation == "upload" and not self._is_fresh(held):
            return None
        if refused is None or held.secret != refused:
            return held
        if self._is_new(held):
            raise BrokerRefused(
                f"{index.url} refuses a credential that was issued only just now",
                reason="index_refused",
                hint="check this machine's clock, and that the index and its broker agree on the index's URL",
            )
        return None

    def _must_renew(self, index: Index, credential: Credential) -> bool:
        """Ask the index itself whether it refuses the credential; what cannot be found out is no refusal.

        Raises the refusal if a new credential would be refused as well.
        """
        from indexpass._diagnose import NOT_RENEWABLE, explain  # noqa: PLC0415  # most runs are never in doubt

        try:
            answer = self._context().http.try_credential(str(index.url), credential)
        except BrokerError as error:
            _log.debug("%s does not say whether it refuses: %s", index.url, error.code)
            return False
        if answer.status != _UNAUTHORIZED:
            return False
        now = self._now()
        refusal = explain(index, credential, status=answer.status, headers=answer.headers, now=now)
        if refusal and (refusal.code in NOT_RENEWABLE or self._is_new(credential)):
            raise refusal
        return True

    def _is_fresh(self, held: Credential) -> bool:
        return held.age(self._now(), jitter=_jitter(held)) == "fresh"

    def _is_new(self, credential: Credential) -> bool:
        """Would another one, if this is refused, be refused as well?

        What is no longer fresh is renewed anyway: of a token that lives for seconds, few are left when it arrives.
        """
        return self._now() - credential.issued_at < REFUSED_SECONDS and self._is_fresh(credential)

    def _at_hand(self, index: Index, operation: Operation, held: Credential | None) -> Credential | None:
        """Return ``held`` if it is fresh, or if the last attempt to replace it has failed only just now; else None.

        Raises that failure if nothing is held.
        """
        if held and self._is_fresh(held):
            return held
        failure = self.cache.failure(index, operation, self._now())
        if failure and held is None:
            raise failure
        return held if failure else None


def renews_at(held: Credential) -> float | None:
    """Return from when on, in seconds since the epoch, whoever asks for the held credential has it renewed."""
    return held.fresh_until(jitter=_jitter(held))


def _jitter(held: Credential) -> float:
    # The fraction of the second of its issue is as good as a random number, and all processes agree on it.
    return held.issued_at % 1.0


def _memory_seconds(error: IndexpassError) -> float:
    if isinstance(error, SessionError):
        return SIGN_IN_SECONDS
    if isinstance(error, BrokerUnreachable) and error.retry_after is not None:
        return min(max(error.retry_after, 1.0), MAX_FAILURE_SECONDS)
    return FAILURE_SECONDS


def default_resolver(environ: Mapping[str, str] | None = None) -> Resolver:
    """Return the resolver that a client's process uses: real files, real clock, real network."""
    environ = os.environ if environ is None else environ
    locations = locate(environ)
    return Resolver(
        indexes=lambda: _config.load(locations, environ),
        cache=Cache(locations.credentials),
        provider_for=_provider_for,
        context=lambda: default_context(environ),
        now=time.time,
        run=_pip_run,
    )


def default_context(environ: Mapping[str, str] | None = None) -> Context:
    """Return the real outside world for a provider; this loads requests."""
    from indexpass._http import HttpClient  # noqa: PLC0415  # loaded only when something must be fetched
    from indexpass._model import Context, Surroundings  # noqa: PLC0415
    from indexpass._registry import explain_nobody, identify  # noqa: PLC0415
    from indexpass._sessions import open_sessions  # noqa: PLC0415

    environ = os.environ if environ is None else environ
    http = HttpClient()
    return Context(
        http=http,
        sessions=open_sessions(locate(environ).sessions, environ),
        identify=lambda audience: identify(audience, Surroundings(environ, http, time.time)),
        now=time.time,
        environ=environ,
        unidentified=lambda audience: explain_nobody(audience, environ),
    )


def get_credential(url: str, operation: Operation | None = None) -> Credential | None:
    """Return a credential for ``url``, or None if no configured index owns it.

    Without ``operation``, the URL decides: an index's upload URL means upload, anything else in it means read. Raises
    IndexpassError if the URL is ours but no credential can be had.
    """
    return default_resolver().credential(url, operation)


def _provider_for(index: Index) -> Provider:
    from indexpass._registry import provider_for  # noqa: PLC0415  # a cached answer needs no provider

    return provider_for(index)


def _pip_run() -> str | None:
    from indexpass._pip_run import find_run  # noqa: PLC0415  # strangers' look-ups end before it

    return find_run(sys.modules, sys.argv)
