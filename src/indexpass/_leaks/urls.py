"""Finds URLs that carry a secret in a text: ``https://TOKEN@host/simple`` first of all.

What it returns are positions, never texts. It takes time that grows with the length of the text and no faster.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from indexpass._leaks.values import is_password, is_token

if TYPE_CHECKING:
    from collections.abc import Iterator

# Slashes may be escaped as in JSON, and a line continued as in requirements files, shells and TOML.
_URL = re.compile(
    r"""https?:(?:\\?/){2}((?:[^\s"'/?#\\]|\\\r?\n[ \t]*|\\(?![\s/"'])){1,4096}@)(?=[\w\[.%$<{-])""", re.IGNORECASE
)
_CONTINUED = re.compile(r"\\\r?\n[ \t]*")
_HOST = re.compile(r"""[^\s"'/?#\\,;()<>`]{1,255}""")
_COLON = re.compile(":|%3A", re.IGNORECASE)


class UrlSpan(NamedTuple):
    """Where a URL with a secret begins, where its user name and password stand with their @, and the secret in them."""

    start: int
    userinfo: tuple[int, int]
    secret: tuple[int, int]

    def user(self, text: str) -> str:
        """Return the user name; "" if that is the secret, or there is none."""
        return _COLON.split(join_lines(text[self.userinfo[0] : self.secret[0]]), maxsplit=1)[0]

    def host(self, text: str) -> str:
        """Return host and port as they are written."""
        found = _HOST.match(text, self.userinfo[1])
        return found[0] if found else ""


def find_urls(text: str) -> Iterator[UrlSpan]:
    """Yield each URL that carries a password, or a token in the place of a user name."""
    for found in _URL.finditer(text):
        start, end = found.span(1)
        secret = _find_secret(found[1][:-1])
        if secret is not None:
            yield UrlSpan(found.start(), (start, end), (start + secret, end - 1))


def join_lines(raw: str) -> str:
    """Return the text without the marks that continue a line, as the client reads it."""
    return _CONTINUED.sub("", raw)


def _find_secret(userinfo: str) -> int | None:
    """Return where in the user name and password the secret begins, or None."""
    colon = _COLON.search(userinfo)
    user = join_lines(userinfo[: colon.start()] if colon else userinfo)
    if is_token(user):
        return 0
    if colon and is_password(join_lines(userinfo[colon.end() :])):
        return colon.end()
    return None
