"""How we answer inside somebody else's program: never raise, never print on stdout, never ask unless asked to.

The keyring backend and the Poetry plugin both stand on :func:`answer`. The commands do not: they raise.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexpass._model import Credential
    from indexpass._resolve import Resolver
    from indexpass._secret import Secret

_log = logging.getLogger("indexpass")
_resolver: Resolver | None = None
_making = threading.Lock()  # Poetry asks from several threads, and what one of them holds serves all


def answer(service: str, *, refused: Secret | None = None) -> Credential | None:
    """Return the credential for a URL or a bare host, or None if it is none of ours or none can be had.

    ``refused`` is a secret that the server has just refused: it is not handed out again. Why there is none goes to
    the person in one line.
    """
    try:
        return _credential(_the_resolver(), service, refused)
    except Exception as error:  # noqa: BLE001  # whatever goes wrong in us, the client goes on as if we were absent
        _explain(error)
        return None


def _the_resolver() -> Resolver:
    global _resolver  # noqa: PLW0603  # made once a process, on the first question
    with _making:
        if _resolver is None:
            from indexpass._resolve import default_resolver  # noqa: PLC0415  # nothing is loaded before it is needed

            _resolver = default_resolver()
        return _resolver


def _credential(resolver: Resolver, service: str, refused: Secret | None) -> Credential | None:
    from indexpass.errors import IndexpassError, SessionError  # noqa: PLC0415

    try:
        return resolver.credential(service, refused=refused)
    except IndexpassError as error:
        if error.code != SessionError.code:  # a remembered failure has the code, not the class
            raise
        from indexpass._sign_in_inside import sign_in_inside  # noqa: PLC0415  # for few, and rarely

        credential = sign_in_inside(service, resolver, os.environ)
        if credential is None:
            raise
        return credential


def _explain(error: Exception) -> None:
    from indexpass._terminal import tell  # noqa: PLC0415
    from indexpass.errors import IndexpassError  # noqa: PLC0415

    if isinstance(error, IndexpassError):
        tell(error.message, error.hint)
    else:
        _log.debug("an unexpected %s", type(error).__name__)
        tell(f"an unexpected {type(error).__name__}", "please report it, with what you ran")
