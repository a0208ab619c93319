"""twine: a section of .pypirc for each upload URL, with a user name and without a password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass._setup import ini
from indexpass._setup.plan import NO_UPLOADS, Plan, plan_edit

if TYPE_CHECKING:
    from indexpass._setup.plan import Situation

_SERVERS = ("distutils", "index-servers")
_DEFAULT = ("pypi", "testpypi")  # what twine knows without being told, until it is told anything


def plan(situation: Situation) -> Plan:
    """Return one section for each index that takes uploads."""
    if not situation.uploads:
        return NO_UPLOADS

    def edit(text: str) -> str:
        for name, url in situation.uploads:
            text = _put(text, name, url)
        return text

    changes = plan_edit(
        situation.own_file("twine"), edit, why="lets twine upload -r NAME upload to your indexes", is_private=True
    )
    return Plan(changes, ("twine has to find indexpass, if it does not yet: uv tool install twine --with indexpass",))


def _put(text: str, name: str, url: str) -> str:
    """Return the text with the section. Raises ValueError if it is about another repository, or has a password."""
    known = ini.read_settings(text)
    if known.get((name, "repository"), url) != url:
        raise ValueError(f"[{name}] is another repository than {url}")
    if (name, "password") in known:
        raise ValueError(f"[{name}] has a password: remove it, and revoke it where it was issued")
    servers = known.get(_SERVERS)
    if servers is None:
        text = ini.put(text, *_SERVERS, "\n".join(("", *_DEFAULT, name)))
    elif name not in servers.split():
        text = ini.add_word(text, *_SERVERS, name)
    text = ini.put(text, name, "repository", url)
    return text if (name, "username") in known else ini.put(text, name, "username", "__token__")
