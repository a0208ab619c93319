"""Tells a person once an index and run why it refused what we signed; Poetry's own message stays as it is.

This module never sends anything, and never raises into Poetry.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import Response

    from indexpass._model import Credential, Index, Operation
    from indexpass.errors import IndexRefused

_log = logging.getLogger("indexpass.poetry")


class Tell(Protocol):
    """``indexpass._terminal.tell``."""

    def __call__(self, message: str, hint: str) -> None:
        """Show one line."""
        ...


class Refusals:
    """What the indexes of this run have refused."""

    def __init__(
        self, find: Callable[[str], tuple[Index, Operation] | None], tell: Tell, now: Callable[[], float]
    ) -> None:
        """Know of none; ``find`` returns the index and the operation that a URL stands for."""
        self._find = find
        self._tell = tell
        self._now = now
        self._told: dict[str, object] = {}

    def is_final(self, response: Response, credential: Credential) -> bool:
        """Would another credential be refused for the same reason?"""
        from indexpass._diagnose import NOT_RENEWABLE

        refusal = self._explain(response, credential)
        return refusal is not None and refusal[1].code in NOT_RENEWABLE

    def tell(self, response: Response, credential: Credential, *, has_another: bool = False) -> None:
        """Say why the request was refused, if it was. ``has_another`` says that another credential is ready."""
        refusal = self._explain(response, credential)
        if refusal is None:
            return
        index, error = refusal
        mine = object()
        if self._told.setdefault(index.name, mine) is mine:  # one step: Poetry sends from several threads
            self._tell(error.message, "run the command again: a new one is ready" if has_another else error.hint)

    def _explain(self, response: Response, credential: Credential) -> tuple[Index, IndexRefused] | None:
        if response.status_code < 400:  # noqa: PLR2004  # RFC 9110 section 15.5
            return None
        from indexpass._diagnose import explain

        try:
            found = self._find(str(response.request.url))
            if found is None:
                return None
            index, operation = found
            error = explain(
                index,
                credential,
                status=response.status_code,
                headers=response.headers,
                now=self._now(),
                operation=operation,
            )
        except Exception as error:  # noqa: BLE001  # words about a failure must not become one
            _log.debug("a refusal stays without words: %s", type(error).__name__)
            return None
        return (index, error) if error else None


def default_refusals() -> Refusals:
    """Return the refusals of a real run: real files, real terminal, real clock. Nothing is loaded before the first."""
    import time

    return Refusals(_find, _tell, time.time)


def _find(url: str) -> tuple[Index, Operation] | None:
    import os

    from indexpass import _config
    from indexpass._locations import locate
    from indexpass._match import match

    return match(url, _config.load(locate(os.environ), os.environ))


def _tell(message: str, hint: str) -> None:
    from indexpass._terminal import tell

    tell(message, hint)
