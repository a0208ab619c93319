"""Fixtures for every test: real servers on loopback, described in ``servers/``."""

from __future__ import annotations

import sys
from pathlib import Path

# Under --import-mode=importlib nothing else makes the servers importable, for pytest and for the tests' annotations.
sys.path.insert(0, str(Path(__file__).parent))

pytest_plugins = [
    "servers.brokers",
    "servers.desktops",
    "servers.devpi",
    "servers.gitea_platform",
    "servers.github_platform",
    "servers.gitlab_platform",
    "servers.issuers",
    "servers.companies",
    "servers.openid",
    "servers.postgres",
    "servers.programs",
    "servers.raw",
    "servers.vault_platform",
]
