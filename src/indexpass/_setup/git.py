"""git: our helper for the repositories that an index stands for, and for no others on the same host.

An empty ``helper`` goes before ours, so that none of the user's own is asked for these or stores what we issue; with
``useHttpPath`` git says which repository it asks for. The lines are appended; git itself says whether they count.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from indexpass._changes import Change, read
from indexpass._setup import programs
from indexpass._setup.plan import Plan
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from indexpass._credential import Index
    from indexpass._setup.plan import Situation

HELPER = "!indexpass helper git"
_FORGES = ("github", "gitea", "gitlab")
_PACKAGES = frozenset({"api", "packages", "simple"})  # in the path of a package index, on the same forges


def plan(situation: Situation) -> Plan:
    """Return a section for each index that stands for repositories. Raises ConfigError if git cannot read its file."""
    places = [place for index in situation.indexes for place in _places(index)]
    if not places:
        return Plan(steps=("none of your indexes stands for repositories of git, so there is nothing to set up",))
    git = programs.find("git", situation.environ)
    if git is None:
        return Plan(steps=("there is no git on PATH",))
    steps: tuple[str, ...] = ()
    if not programs.find("indexpass", situation.environ):
        steps = ("git has to find indexpass on PATH: uv tool install indexpass",)
    path = _own_file(situation)
    before = read(path)
    after = before or ""
    environ = {**situation.environ, "GIT_CONFIG_NOSYSTEM": "1"}
    for place in places:
        draft = after.encode(errors="surrogateescape")  # on stdin, because it may hold secrets that a file would keep
        if programs.ask(git, "config", "--file", "-", "--list", environ=environ, text=draft) is None:
            raise ConfigError(f"git cannot read {path}", hint=f"git config --file {path} --list")
        said = programs.ask(
            git, "config", "--file", "-", "--get-all", f"credential.{place}.helper", environ=environ, text=draft
        )
        if (said or "").splitlines()[-2:] != ["", HELPER]:
            after += _section(after, place)
    if after == (before or ""):
        return Plan(steps=steps)
    return Plan((Change(path, before, after, "lets git ask indexpass for your repositories"),), steps)


def _places(index: Index) -> Iterator[str]:
    """Yield the URLs that git compares with those of repositories, whole segment by whole segment."""
    if index.provider not in _FORGES or _PACKAGES & set(index.url.segments):
        return
    url = str(index.url).rstrip("/")
    yield url
    if url.endswith(".git"):
        yield url.removesuffix(".git")


def _section(text: str, place: str) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    lines = (f'[credential "{place}"]', "\thelper =", f'\thelper = "{HELPER}"', "\tuseHttpPath = true")
    gap = "" if not text or text.endswith("\n") else end
    return gap + "".join(f"{line}{end}" for line in lines)


def _own_file(situation: Situation) -> Path:
    """Return the file that ``git config --global`` would write."""
    if situation.environ.get("GIT_CONFIG_GLOBAL") == os.devnull:
        raise ConfigError(f"GIT_CONFIG_GLOBAL is {os.devnull}", hint="unset GIT_CONFIG_GLOBAL")
    own = [file for file in situation.files("git") if file.scope in ("environment", "user")]
    if own[0].scope == "environment" or own[0].path.exists() or not own[1].path.exists():
        return own[0].path
    return own[1].path
