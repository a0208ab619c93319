"""git's credential helper protocol: ``key=value`` lines in and out, as git-credential(1) and gitcredentials(7) say.

What git asks becomes one URL; what is strange about it makes it nobody's. This module never says anything about
another host than the one that git named, and knows no capability: a password and its last second are what git needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from indexpass._secret import Secret
from indexpass._url import parse_netloc
from indexpass.errors import UrlError

if TYPE_CHECKING:
    from indexpass._credential import Credential

ACTIONS = ("get", "store", "erase")  # any other is for helpers that are newer than this one, and ignored
_PROTOCOLS = ("https", "http")  # which http may be asked for is IndexUrl's to say


class Question(NamedTuple):
    """What git wants to know, or has found out.

    ``url`` is where the credential goes: the repository, or only its host if git keeps the path to itself
    (``has_path``). ``password`` is the one that the server has refused, if this is an ``erase``.
    """

    url: str
    has_path: bool
    password: Secret | None


def parse(text: str) -> Question | None:
    """Return what git asks, or None if that cannot be a question about an index of ours."""
    attributes: dict[str, str] = {}
    for line in text.split("\n"):
        if not line:
            break  # a blank line ends what git says
        key, equals, value = line.partition("=")
        if not equals:
            return None
        attributes[key] = value
    protocol, host, path = (attributes.get(key, "") for key in ("protocol", "host", "path"))
    if protocol not in _PROTOCOLS:
        return None
    try:
        parse_netloc(host, protocol)  # a host only: no @, no slash, no control character that ends a line for others
    except UrlError:
        return None
    password = attributes.get("password")
    return Question(
        url=f"{protocol}://{host}/{quote(path.lstrip('/'))}",  # git has decoded the path
        has_path=bool(path),
        password=Secret(password) if password else None,
    )


def write(credential: Credential) -> str:
    """Return the answer to ``get``; empty if git could not read it. This reveals the secret."""
    username, password = credential.username, credential.secret.reveal()
    if not username.isprintable() or not password.isprintable():
        return ""
    lines = [f"username={username}", f"password={password}"]
    if credential.expires_at is not None:
        lines.append(f"password_expiry_utc={int(credential.expires_at)}")
    return "".join(f"{line}\n" for line in lines)
