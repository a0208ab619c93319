"""pdm: a repository for each upload URL, without a user name. For reading, pdm asks keyring by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass._setup import programs, tables
from indexpass._setup.plan import NO_UPLOADS, Plan, plan_edit

if TYPE_CHECKING:
    from indexpass._setup.plan import Situation


def plan(situation: Situation) -> Plan:
    """Return one table for each index that takes uploads."""
    if not situation.uploads:
        return NO_UPLOADS
    steps: tuple[str, ...] = ()
    if not programs.find("keyring", situation.environ):
        steps = ("pdm has to find keyring, if it does not yet: pdm self add indexpass",)
    changes = plan_edit(
        situation.own_file("pdm"),
        lambda text: tables.put(text, ("repository",), {name: {"url": url} for name, url in situation.uploads}),
        why="lets pdm publish -r NAME upload to your indexes",
    )
    return Plan(changes, steps)
