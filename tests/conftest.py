"""Fixtures for every test: real servers on loopback, described in ``servers/``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from indexpass import _registry

# Whoever runs the tests may be a CI job itself, which is told other things than a person, and may have identity tokens.
for _name in {*_registry.CI_VARIABLES, *(sign for each in _registry.IDENTITY_SOURCES.values() for sign in each.signs)}:
    os.environ.pop(_name, None)

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
