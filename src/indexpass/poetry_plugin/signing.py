"""Signs requests by their own URL, at the last point before they leave.

Signing happens in the transport adapter and not in ``session.auth``, for four reasons that requests' source gives: a
session with ``auth`` no longer reads .netrc nor the user name in a URL, for any host; ``auth`` is not asked again for
a redirect; what it signed is copied to every redirect on the same host; and credentials that Poetry has of its own
arrive here as a header that is already set, which is how they win. What is signed is a copy that nobody else sees, so
a redirect can carry nothing of ours, and is signed anew only if its own URL is one of ours.

This module never touches a request that carries an ``Authorization`` header, and never sends a body twice that it
cannot send from the start.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from requests import PreparedRequest, Session
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.auth import HTTPBasicAuth

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import Response

    from indexpass._model import Credential
    from indexpass._secret import Secret

_UNAUTHORIZED = 401  # the one status that asks for another credential (RFC 9110 section 15.5.2)


class Answer(Protocol):
    """``indexpass._embedded.answer``, as far as it is used here. It never raises."""

    def __call__(self, url: str, *, refused: Secret | None = None) -> Credential | None:
        """Return the credential for ``url``, or None if the URL belongs to no index or none can be had.

        ``refused`` is the secret that the server has just refused: another one is wanted.
        """
        ...


class Explain(Protocol):
    """:class:`indexpass.poetry_plugin.refusals.Refusals`, as far as it is used here. It never raises."""

    def is_final(self, response: Response, credential: Credential) -> bool:
        """Would another credential be refused for the same reason?"""
        ...

    def tell(self, response: Response, credential: Credential, *, has_another: bool = False) -> None:
        """Say why the request was refused, if it was."""
        ...


def sign_session(
    session: object,
    *,
    answer: Answer | None = None,
    refusals: Explain | None = None,
    warn: Callable[[], None] = lambda: None,
) -> None:
    """Have every request of the session signed that goes to a private index and is not signed yet.

    Anything but a requests session is left as it is.
    """
    if not isinstance(session, Session):
        return
    signing: dict[BaseAdapter, SigningAdapter] = {}  # Poetry mounts one adapter for both http and https
    for prefix, adapter in list(session.adapters.items()):
        if isinstance(adapter, HTTPAdapter):
            if adapter not in signing:
                signing[adapter] = SigningAdapter(
                    adapter,
                    answer=answer or default_answer,
                    refusals=refusals or default_refusals(),
                    warn=warn,
                )
            session.mount(prefix, signing[adapter])


class SigningAdapter(BaseAdapter):
    """Signs what passes through it to another adapter, and tries once more where the server refuses."""

    def __init__(self, inner: HTTPAdapter, *, answer: Answer, refusals: Explain, warn: Callable[[], None]) -> None:
        """Sit in front of ``inner``; ``warn`` is called for each request that carries a credential, anybody's."""
        super().__init__()
        self._inner = inner
        self._answer = answer
        self._refusals = refusals
        self._warn = warn
        self._build_response = inner.build_response
        # Poetry's HTTP cache writes the request headers that the server names in "Vary" to disk, and it does so while
        # it builds the response. By then our header has been sent and can go.
        inner.build_response = self._build_unsigned  # type: ignore[method-assign]

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401  # passed on
        """Send the request, signed if its URL belongs to a private index; on 401 try one other credential.

        A refusal that is final is told.
        """
        credential = self._find_credential(request)
        if credential or "Authorization" in request.headers:
            self._warn()
        if credential is None:
            return self._inner.send(request, *args, **kwargs)
        response = self._inner.send(_sign(request, credential), *args, **kwargs)
        has_another = False
        if response.status_code == _UNAUTHORIZED and not self._refusals.is_final(response, credential):
            # Asked also where this body cannot be sent again: the next request must not carry the refused secret.
            renewed = self._answer(str(request.url), refused=credential.secret)
            if renewed is None:
                return response  # and why there is none has been told
            has_another = renewed.secret != credential.secret
            if has_another and _may_send_again(request):
                response.close()  # unread: the body of a refusal may be of any size
                credential, has_another = renewed, False
                response = self._inner.send(_sign(request, credential), *args, **kwargs)
        self._refusals.tell(response, credential, has_another=has_another)
        return response

    def close(self) -> None:
        """Close the adapter behind."""
        self._inner.close()

    def _find_credential(self, request: PreparedRequest) -> Credential | None:
        if request.url is None or "Authorization" in request.headers:
            return None
        return self._answer(request.url)

    def _build_unsigned(self, req: PreparedRequest, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401  # passed on
        if isinstance(req, _SignedRequest):
            del req.headers["Authorization"]
        return self._build_response(req, *args, **kwargs)


class _SignedRequest(PreparedRequest):
    """A request that carries a credential of ours; ``copy`` makes an ordinary one of it."""


def _sign(request: PreparedRequest, credential: Credential) -> PreparedRequest:
    signed = _SignedRequest()
    vars(signed).update(vars(request.copy()))
    # As bytes, because requests would encode text as Latin-1, and Basic is UTF-8 (RFC 7617 section 2.1).
    HTTPBasicAuth(credential.username.encode(), credential.secret.reveal().encode())(signed)
    return signed


def _may_send_again(request: PreparedRequest) -> bool:
    return request.body is None or isinstance(request.body, (bytes, str))


def default_answer(url: str, *, refused: Secret | None = None) -> Credential | None:
    """Answer as a real run does, where nothing is loaded before the first question."""
    from indexpass._embedded import answer

    return answer(url, refused=refused)


@cache
def default_refusals() -> Explain:
    """Return the refusals of this run: its sessions and its git share them, so that an index is told of once."""
    from indexpass.poetry_plugin import refusals

    return refusals.default_refusals()
