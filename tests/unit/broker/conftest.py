"""Parts of a broker for the unit tests: real ones, in a temporary folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from indexpass.broker.keys import Keys
from indexpass.broker.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty database with one user, alice."""
    opened = Store(f"sqlite:///{tmp_path / 'broker.sqlite3'}")
    opened.add_user("alice", "a hash", 0.0)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """The keys of the broker at https://tokens.acme.example."""
    return Keys.create(tmp_path_factory.mktemp("keys") / "keys", issuer="https://tokens.acme.example")
