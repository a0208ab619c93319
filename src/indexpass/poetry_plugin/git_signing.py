"""Signs what Poetry's git client sends over https, each request by its own URL, as ``signing`` does for its sessions.

Poetry clones by dulwich, and could be told a user name and a password for the repository. It is told none: dulwich up
to 0.24, which Poetry 2.0 has, sends them to wherever a redirect leads. urllib3, which follows redirects below us,
takes our header off where the host, the port or the scheme changes, and dulwich's next request comes here anew.

This module never touches a request for which Poetry or git has credentials of its own, and never sends a body twice
that it cannot send from the start. Where the ``git`` program is used instead, nothing passes through here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from requests import PreparedRequest, Response
from requests.auth import HTTPBasicAuth

from indexpass.poetry_plugin.signing import default_answer, default_refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from indexpass._model import Credential
    from indexpass.poetry_plugin.signing import Answer, Explain

_UNAUTHORIZED = 401  # what dulwich.client.HTTPUnauthorized stands for
_STATUS = re.compile(r"unexpected http resp ([0-9]{3}) for ")  # how dulwich names any other, from 0.22 to 1.2


class Client(Protocol):
    """What we use of ``dulwich.client.Urllib3HttpGitClient``."""

    pool_manager: Any


def send_signed(  # noqa: PLR0913  # dulwich's own signature, and what a test puts in our places
    send: Callable[..., object],
    client: Client,
    url: str,
    headers: Mapping[str, str] | None = None,
    data: object = None,
    *args: Any,  # noqa: ANN401  # passed on
    answer: Answer | None = None,
    refusals: Explain | None = None,
    **kwargs: Any,  # noqa: ANN401  # passed on
) -> object:
    """Send one request of dulwich's, signed if its URL belongs to a private index; on 401 try one other credential.

    A refusal that is final is told, and raised on as dulwich raised it.
    """
    from dulwich.client import GitProtocolError, HTTPUnauthorized  # type: ignore[import-not-found]  # where Poetry is

    answer, refusals = answer or default_answer, refusals or default_refusals()
    credential = None if _has_own_credentials(client, headers) else answer(url)
    if credential is None:
        return send(client, url, headers, data, *args, **kwargs)
    try:
        return send(client, url, _sign(headers, credential), data, *args, **kwargs)
    except (HTTPUnauthorized, GitProtocolError) as error:
        refused = _describe(url, error)
        if refused.status_code != _UNAUTHORIZED or refusals.is_final(refused, credential):
            refusals.tell(refused, credential)
            raise
        renewed = answer(url, refused=credential.secret)
        if renewed is None:
            raise  # and why there is none has been told
        has_another = renewed.secret != credential.secret
        if not has_another or not (data is None or isinstance(data, bytes)):
            refusals.tell(refused, credential, has_another=has_another)
            raise
    try:
        return send(client, url, _sign(headers, renewed), data, *args, **kwargs)
    except (HTTPUnauthorized, GitProtocolError) as error:
        refusals.tell(_describe(url, error), renewed)
        raise


def _has_own_credentials(client: Client, headers: Mapping[str, str] | None) -> bool:
    """Has the user named somebody, in the URL or in Poetry's settings, or set a header in git's settings?"""
    names = {name.lower() for name in (*client.pool_manager.headers, *(headers or ()))}
    return "authorization" in names or getattr(client, "_username", None) is not None


def _sign(headers: Mapping[str, str] | None, credential: Credential) -> dict[str, str]:
    signed = PreparedRequest()
    signed.prepare_headers(headers or {})
    HTTPBasicAuth(credential.username.encode(), credential.secret.reveal().encode())(signed)
    return dict(signed.headers)


def _describe(url: str, error: Exception) -> Response:
    """Return what the server answered as requests would, with status 0 if there is none: the words are made from it.

    Only of a 401 dulwich keeps the challenge.
    """
    refused = Response()
    if hasattr(error, "www_authenticate"):
        refused.status_code = _UNAUTHORIZED
        refused.headers["WWW-Authenticate"] = error.www_authenticate or ""
    else:
        named = _STATUS.match(str(error))
        refused.status_code = int(named[1]) if named else 0
    refused.request = PreparedRequest()
    refused.request.url = url
    return refused
