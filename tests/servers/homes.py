"""The folder of a user (``INDEXPASS_HOME``) who has indexes, and holds a fresh credential for reading each of them.

This module never signs anybody in: the credentials are made up, and good for an hour.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from indexpass import _config
from indexpass._cache import Cache
from indexpass._credential import Credential
from indexpass._locations import locate
from indexpass._secret import Secret

if TYPE_CHECKING:
    from pathlib import Path

INDEX_URL = "https://packages.acme.example/simple/"
FOREIGN_URL = "https://index.elsewhere.example/simple/"
CONFIG = f"""\
[[index]]
name = "acme"
url = "{INDEX_URL}"
broker = "https://tokens.acme.example"
"""


def write_home(folder: Path, config: str, *, username: str = "__token__", secret: str = "made-up") -> Path:  # noqa: S107
    """Write the user's file, and a credential for each index in it; return the folder."""
    (folder / "config.toml").write_text(config, encoding="utf-8")
    locations = locate({"INDEXPASS_HOME": str(folder)})
    now = time.time()
    for index in _config.read_file(locations.user_file):
        Cache(locations.credentials).store(index, "read", Credential(username, Secret(secret), now, now + 3600))
    return folder
