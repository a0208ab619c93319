"""Parts of a broker for the unit tests: real ones, in a temporary folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from indexpass.broker.state.store import Store
from servers.brokers import make_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from indexpass.broker.keys import Keys


@pytest.fixture
def store(tmp_path: Path, new_database: Callable[[Path], str]) -> Iterator[Store]:
    """An empty database with one user, alice."""
    opened = Store(new_database(tmp_path))
    opened.add_user("alice", "a hash", 0.0)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def keys() -> Keys:
    """The keys of the broker at https://tokens.acme.example."""
    return make_keys()
