"""Is a value a secret, or only the name of one, a placeholder, or the name of a person?

The rules prefer silence where a name is as likely: a user name of ordinary words is none, however long. This module
judges texts and knows nothing of where they stand.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from indexpass._leaks.kinds import name_kind

MIN_TOKEN_LENGTH = 20  # a user name of this length may be a token: forges take one in place of a name
_MIN_MIXED = 12  # so many characters in which letters and digits alternate are no word
_MIN_LETTERS = 32  # no word is as long
_MAX_AROUND_REFERENCE = 7  # "ci-$TOKEN" says nothing; a longer text beside a reference may be a secret itself
_REFERENCE = re.compile(
    r"\$\{\{?[^{}]*\}\}?"  # ${NAME}, ${{ secrets.NAME }}
    r"|\$\([^()]*\)|`[^`]*`"  # $(command), $(name) of Azure Pipelines
    r"|\$\[[^\[\]]*\]|<<[^<>]*>>|\[\[[^\[\]]*\]\]"  # Azure Pipelines, CircleCI, GitLab
    r"|\{\{[^{}]*\}\}|\{[A-Za-z_:.][\w:. -]*\}"  # Jinja and Helm; tox, Python
    r"|%\(\w+\)s|<[^<>]*>"  # configparser; a placeholder
    r"|\$[A-Z_][A-Z0-9_]*"
)
_WHOLE_REFERENCE = re.compile(
    r"(?:\$\w+)+|%[A-Za-z_]\w*%|@[A-Z_]+@|\$[({\[].*|[*x.•_\-\N{HORIZONTAL ELLIPSIS}]{3,}", re.IGNORECASE
)
_PLACEHOLDER = re.compile(
    r"(?:your|my|the|some|an?|insert)?[-_. ]?(?:api|access|auth|deploy|personal|secret|registry|index|ci|job)?[-_. ]?"
    r"(?:password|passwd|passphrase|pass|pwd|token|secret|key)"
    r"|your[-_. ].{0,60}|change[-_. ]?me|redacted|masked|hidden|dummy|placeholder|none|null|true|false|x-oauth-basic",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z0-9]+")
_TURN = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")
_MIN_TURNS = 3  # "CamelCase" turns once, "oauth2access" twice


def is_password(value: str) -> bool:
    """Is the value, percent-encoded or not, a literal password? References, placeholders and nothing are none."""
    said = unquote(value)
    if not said or any(map(_WHOLE_REFERENCE.fullmatch, (value, said))) or _PLACEHOLDER.fullmatch(said):
        return False
    rest, references = _REFERENCE.subn("", said)
    return not references or len(rest) > _MAX_AROUND_REFERENCE


def is_token(value: str) -> bool:
    """Is the value a token, though it stands where a user name would?

    Known tokens tell by their beginning. Of the rest, a token is long, and has long parts in which letters and digits
    alternate as in no word; an e-mail address is a name.
    """
    said = unquote(value)
    if not is_password(value) or "@" in said:
        return False
    if name_kind(said):
        return True
    return len(said) >= MIN_TOKEN_LENGTH and sum(map(_count_unlike_words, _WORD.findall(said))) >= _MIN_MIXED


def _count_unlike_words(part: str) -> int:
    is_mixed = len(_TURN.findall(part)) >= _MIN_TURNS and (not part.isalpha() or part[1:] != part[1:].lower())
    return len(part) if is_mixed or (len(part) >= _MIN_LETTERS and not part.isdigit()) else 0
