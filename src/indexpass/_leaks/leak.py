"""The nouns: a secret that was sighted in a text, and the leak that is told of it. Neither holds the secret itself."""

from __future__ import annotations

from typing import Literal, NamedTuple

Rule = Literal["token-in-url", "password-in-url", "password-in-file", "secret-in-variable", "token-in-file"]

ALLOW = "indexpass: allow"  # in a comment on the line, it silences what is found there
RULES: dict[Rule, str] = {
    "token-in-url": "a token stands in a URL in the place of the user name",
    "password-in-url": "a password stands in a URL",
    "password-in-file": "a file of a client's settings keeps a password",
    "secret-in-variable": "a variable that a client reads has a secret as its value",
    "token-in-file": "a token that tells by its beginning what it is stands in a file",
}


def find_allowed(text: str) -> frozenset[int]:
    """Return the numbers of the lines, from 1, on which everything is allowed."""
    return frozenset(number for number, line in enumerate(text.split("\n"), 1) if ALLOW in line)


class Edit(NamedTuple):
    """What to put in place of a part of the text so that the secret is gone, and the client asks keyring."""

    start: int
    end: int
    text: str


class Sighting(NamedTuple):
    """A secret's place in a text, as one finder sees it.

    ``setting`` is the variable, key or section whose value it is. What ``is_other`` has nothing to do with package
    indexes: it is never told, only masked.
    """

    rule: Rule
    start: int
    end: int
    host: str = ""
    user: str = ""
    setting: str = ""
    edit: Edit | None = None
    is_other: bool = False


class Leak(NamedTuple):
    """A sighting, and what people are told of it.

    ``line`` and ``column`` count from 1, columns in characters. ``kind`` and ``revoke`` say what sort of token it is
    and where it is revoked, "" if it does not tell. ``fingerprint`` is the end of its SHA-256, by which equal secrets
    are told apart from others. A silent leak is masked and never told.
    """

    sighting: Sighting
    line: int
    column: int
    kind: str
    revoke: str
    fingerprint: str
    advice: str
    is_silent: bool

    @property
    def may_be_mended(self) -> bool:
        """Is it told, and known what to put in its place?"""
        return self.sighting.edit is not None and not self.is_silent

    @property
    def what(self) -> str:
        """Say what it is, where it is sent, and for whom."""
        seen = self.sighting
        what = self.kind or ("token" if seen.rule.startswith("token") else "password")
        where = " in a URL" if seen.rule.endswith("in-url") else ""
        where += f" in {seen.setting}" if seen.setting else ""
        return what + where + (f" of {seen.host}" if seen.host else "") + (f", user {seen.user}" if seen.user else "")
