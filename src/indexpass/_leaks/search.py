"""Finds every secret of one text, and says of each what it is and what to put in its place.

The order matters where two finders see the same characters: a URL says most, then a setting's name, then a token by
itself. A line that says ``indexpass: allow`` is silent.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import unquote

from indexpass._known import find as find_known
from indexpass._leaks.kinds import find_alone, name_kind
from indexpass._leaks.leak import Edit, Leak, Sighting, find_allowed
from indexpass._leaks.netrc import find_in_netrc
from indexpass._leaks.settings import Sections, find_settings, is_variable_of_client
from indexpass._leaks.urls import find_urls, join_lines
from indexpass._leaks.values import is_password
from indexpass._url import IndexUrl
from indexpass.errors import UrlError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from indexpass._leaks.forms import Form
    from indexpass._leaks.urls import UrlSpan

ANY_USER = "__token__"
MASK = "****"
_USERS_OF_PLATFORMS = {"aws": "aws", "azure": "VssSessionToken", "google": "oauth2accesstoken"}
_TECHNICAL_USERS = frozenset({ANY_USER, "gitlab-ci-token", *_USERS_OF_PLATFORMS.values()})
# Whoever reads these asks keyring by the URL alone, or would look for a password of this user.
_WITHOUT_USER: tuple[Form, ...] = ("pyproject", "settings", "lock", "pypirc", "git")
_CLIENTS_VARIABLE = re.compile(r"(?:PIP|UV|POETRY|PDM|HATCH|TWINE|FLIT|PIPENV|TOX|CODEARTIFACT)_")
_REST_OF_URL = re.compile(r"""[^\s"'\\,;()<>`]{1,2000}""")
_GIT_BEFORE = re.compile(r"""(?:git\+|\bgit["']?[ \t]*=[ \t]*["']|\bgit[ \t]+[a-z-]+[ \t][^\r\n]*)\Z""")
_MAX_BEFORE = 120  # characters before a URL that may say that it is git's
_LOCKS = {"poetry.lock": "poetry lock", "uv.lock": "uv lock", "pdm.lock": "pdm lock", "pipfile.lock": "pipenv lock"}


def find_leaks(text: str, form: Form, *, name: str = "", hosts: Collection[str] = frozenset()) -> tuple[Leak, ...]:
    """Return all secrets of the text, also those to be masked in silence, by their place; none overlaps another.

    ``name`` is the file's, for the advice; ``hosts`` are those of the configured indexes, for a ``.netrc``.
    """
    lines = [0, *(found.end() for found in re.finditer("\n", text))]
    allowed = find_allowed(text)
    taken: list[tuple[int, Sighting]] = []
    for rank, sighting in sorted(_sight(text, form, hosts), key=lambda each: (each[1].start, each[0])):
        is_apart = not taken or taken[-1][1].end <= sighting.start
        if is_apart:
            taken.append((rank, sighting))
        elif rank < taken[-1][0]:
            taken[-1] = (rank, sighting)
    leaks = (_tell(text, sighting, lines, form, name) for _, sighting in taken)
    return tuple(leak._replace(is_silent=leak.is_silent or leak.line in allowed) for leak in leaks)


def clean(text: str, leaks: Iterable[Leak]) -> str:
    """Return the text in which every leak that is told, and that can be mended, is mended."""
    parts, place = [], 0
    for edit in sorted({leak.sighting.edit for leak in leaks if leak.sighting.edit and leak.may_be_mended}):
        if edit.start >= place:
            parts += [text[place : edit.start], edit.text]
            place = edit.end
    return "".join([*parts, text[place:]])


def find_in_variable(name: str, value: str) -> tuple[Leak, ...]:
    """Return the secrets in an environment variable of a client: in its URLs, or as a whole if it is a secret.

    What others keep in their variables is no concern of ours.
    """
    if not _CLIENTS_VARIABLE.match(name):
        return ()
    if is_variable_of_client(name):
        whole = Sighting("secret-in-variable", 0, len(value), setting=name)
        leaks = tuple(_tell(value, each, [0], "script", "") for each in [whole] if is_password(value))
    else:
        leaks = find_leaks(value, "script")
    return tuple(
        leak._replace(
            sighting=leak.sighting._replace(setting=name, edit=None),
            advice=f"unset {name}, and remove it from where it is set: clients ask keyring",
        )
        for leak in leaks
    )


def _sight(text: str, form: Form, hosts: Collection[str]) -> Iterator[tuple[int, Sighting]]:
    """Yield what each finder sees, with a rank: of two that see the same characters, the lower one says more."""
    sections = Sections(text)
    for span in find_urls(text):
        yield 0, _sight_url(text, span, form, sections)
    for sighting in find_in_netrc(text, hosts) if form == "netrc" else ():
        yield 1, sighting
    for sighting in find_settings(text, form, sections):
        yield 2, sighting
    for start, end in find_alone(text):
        yield 3, Sighting("token-in-file", start, end)


def _sight_url(text: str, span: UrlSpan, form: Form, sections: Sections) -> Sighting:
    is_token = span.secret[0] == span.userinfo[0]
    user = unquote(span.user(text))
    is_of_uv = form == "uv" or (form == "pyproject" and sections.name_at(span.start).startswith("tool.uv"))
    has_user = is_of_uv or form not in _WITHOUT_USER
    return Sighting(
        "token-in-url" if is_token else "password-in-url",
        *span.secret,
        host=span.host(text),
        user=user,
        edit=Edit(*span.userinfo, _user_for_keyring(text, span, user) if has_user else ""),
    )


def _user_for_keyring(text: str, span: UrlSpan, user: str) -> str:
    """Return what stands before the host in a URL for which the client shall ask keyring.

    uv asks only where a user name is in the URL, and pip before 26.2 by command likewise; both send that name with
    what keyring answers, so it is the one that the platform wants.
    """
    if _GIT_BEFORE.search(text, max(0, span.start - _MAX_BEFORE), span.start):
        return ""  # git asks its own helpers, by the URL
    if user in _TECHNICAL_USERS:
        return f"{user}@"
    rest = _REST_OF_URL.match(text, span.userinfo[1])
    try:
        index = find_known(IndexUrl.parse(f"https://{rest[0] if rest else ''}"))
    except UrlError:
        index = None
    return f"{_USERS_OF_PLATFORMS.get(index.provider, ANY_USER) if index else ANY_USER}@"


def _tell(text: str, seen: Sighting, lines: Sequence[int], form: Form, name: str) -> Leak:
    line = bisect_right(lines, seen.start)
    begin = lines[line - 1]
    secret = unquote(join_lines(text[seen.start : seen.end]))
    if seen.rule == "token-in-url":
        secret = secret.partition(":")[0]  # what follows it is nothing, or "x-oauth-basic"
    kind = name_kind(secret)
    return Leak(
        seen,
        line=line,
        column=seen.start - begin + 1,
        kind=kind.name if kind else "",
        revoke=kind.revoke if kind else "",
        fingerprint=sha256(secret.encode(errors="surrogateescape")).hexdigest()[-4:],
        advice=_advise(seen, form, name),
        is_silent=seen.is_other,
    )


def _advise(seen: Sighting, form: Form, name: str) -> str:
    if form == "lock":
        relock = _LOCKS.get(name.lower())
        return (
            f"clean the project's own file, then: {relock}"
            if relock
            else "clean the project's own file, then lock anew"
        )
    if seen.rule in ("token-in-url", "password-in-url"):
        user = seen.edit.text if seen.edit else ""
        return f"write {'' if user else 'only '}{user}{seen.host} there: the client asks keyring"
    if form == "netrc":
        return f"remove the entry of {seen.host or 'default'}: clients send it without asking keyring"
    if seen.rule == "secret-in-variable":
        return "remove it: clients ask keyring; where they cannot: indexpass exec"
    if seen.rule == "password-in-file":
        return "remove it: the client asks keyring"
    return "remove it from the file"
