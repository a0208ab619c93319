"""The broker as one object: its settings, keys, database and clock, opened from a folder.

This module makes the parts and hands them to each other; it never speaks HTTP to a client.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexpass._files import ensure_private_folder, write_private
from indexpass.broker.guarding.check import Checker
from indexpass.broker.keys import Keys
from indexpass.broker.settings import file as settings_file
from indexpass.broker.state.audit import Audit
from indexpass.broker.state.revocations import Revocations
from indexpass.broker.state.store import Store
from indexpass.broker.trust.verify import Verifier
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from indexpass._model import Http
    from indexpass.broker.settings import Settings

KEYS_FOLDER = "keys"


@dataclass(frozen=True, slots=True)
class Broker:
    """Everything that answering a request takes. ``now`` is in seconds since the epoch."""

    settings: Settings
    keys: Keys
    store: Store
    verifier: Verifier
    audit: Audit
    revocations: Revocations
    checker: Checker
    now: Callable[[], float]

    @classmethod
    def open(cls, folder: Path, *, http: Http, now: Callable[[], float] = time.time) -> Broker:
        """Return the broker in ``folder``. Raises ConfigError or StoreError; close the broker after use."""
        settings = settings_file.load(folder)
        keys = Keys.load(folder / KEYS_FOLDER, issuer=settings.issuer)
        store = Store(settings.database)
        revocations = Revocations(store)
        revocations.refresh(now())
        return cls(
            settings=settings,
            keys=keys,
            store=store,
            verifier=Verifier(settings, http=http, now=now),
            audit=Audit(store, now),
            revocations=revocations,
            checker=Checker(settings, keys, revocations, now),
            now=now,
        )

    @staticmethod
    def create(folder: Path, text: str) -> Settings:
        """Make a broker in ``folder``, with ``text`` as its ``broker.toml``: settings, keys and database.

        Returns the settings. Raises ConfigError if there is a broker already or the text is wrong, and StoreError.
        """
        file = folder / settings_file.FILE_NAME
        if file.exists():
            raise ConfigError(f"there is a broker in {folder} already", hint=f"edit {file}, or choose another folder")
        settings = settings_file.parse(text, file=file)
        ensure_private_folder(folder)
        Keys.create(folder / KEYS_FOLDER, issuer=settings.issuer)
        Store(settings.database).close()
        write_private(file, text.encode())  # last: with it the broker is there
        return settings

    def close(self) -> None:
        """Close the database."""
        self.store.close()
