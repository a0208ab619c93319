"""A sign-in in the middle of a client's run, on the terminal, for a user who has opted in to it.

Without ``interactive = "device"`` in the user's own file, in CI, and where no terminal can be reached, nothing happens
here: a client that waits for nobody hangs. This module never opens a browser, and never reads what is typed.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from indexpass import _config
from indexpass._locations import locate
from indexpass._match import match
from indexpass._model import SignIn
from indexpass._registry import provider_for
from indexpass._resolve import default_context
from indexpass._terminal import is_reachable, tell
from indexpass.errors import IndexpassError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Credential, Invitation
    from indexpass._resolve import Resolver

_turn = threading.Lock()  # Poetry asks from several threads, and the person signs in once


def sign_in_inside(service: str, resolver: Resolver, environ: Mapping[str, str]) -> Credential | None:
    """Let the person sign in for the index that owns ``service``, and return its credential.

    Returns None if this user, place or index is not for it. Raises IndexpassError if the sign-in comes to nothing.
    """
    locations = locate(environ)
    if environ.get("CI") or not _config.may_sign_in_inside_clients(locations) or not is_reachable():
        return None
    found = match(service, _config.load(locations, environ))
    if found is None:
        return None
    index, _ = found
    provider = provider_for(index)
    if not isinstance(provider, SignIn):
        return None
    with _turn:
        try:
            return resolver.credential(service)  # another thread may have signed in meanwhile
        except IndexpassError:
            _, credential = provider.sign_in(index, default_context(environ), show=_show, wait=time.sleep)
        resolver.cache.store(index, "read", credential)
        resolver.cache.forget_failures()
        return resolver.credential(service)


def _show(invitation: Invitation) -> None:
    minutes = max(invitation.expires_in // 60, 1)
    tell(
        f"sign in to go on, within {minutes} minutes (Ctrl-C gives up), and compare the code {invitation.code}",
        invitation.direct_url,
    )
