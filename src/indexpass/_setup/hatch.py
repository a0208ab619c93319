"""hatch: a repository for each upload URL, with a user name, because hatch asks a person who has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass._setup import tables
from indexpass._setup.plan import NO_UPLOADS, Plan, plan_edit

if TYPE_CHECKING:
    from indexpass._setup.plan import Situation

_PLACE = ("publish", "index", "repos")


def plan(situation: Situation) -> Plan:
    """Return one table for each index that takes uploads."""
    if not situation.uploads:
        return NO_UPLOADS
    wanted = {name: {"url": url, "user": "__token__"} for name, url in situation.uploads}
    changes = plan_edit(
        situation.own_file("hatch"),
        lambda text: tables.put(text, _PLACE, wanted),
        why="lets hatch publish -r NAME upload to your indexes",
    )
    return Plan(changes, ("hatch has to find indexpass, if it does not yet: uv tool install hatch --with indexpass",))
