"""The broker as one object: its settings, keys, database and clock, opened from a folder.

This module makes the parts and hands them to each other; it never speaks HTTP to a client.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexpass._files import ensure_private_folder, write_private
from indexpass.broker.company.sign_in import CompanySignIn
from indexpass.broker.guarding.check import Checker
from indexpass.broker.keys import SECRET_FILE, Keys, make_secret, read_secret
from indexpass.broker.limits import Limits
from indexpass.broker.metrics import Metrics
from indexpass.broker.settings import file as settings_file
from indexpass.broker.state import signing_keys
from indexpass.broker.state.audit import Audit
from indexpass.broker.state.revocations import Revocations
from indexpass.broker.state.store import Store
from indexpass.broker.state.usage import Tally
from indexpass.broker.trust.verify import Verifier
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from indexpass._model import Http
    from indexpass.broker.settings import Settings


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
    company: CompanySignIn | None
    limits: Limits
    tally: Tally
    metrics: Metrics
    now: Callable[[], float]

    @classmethod
    def open(
        cls, folder: Path, *, http: Http, now: Callable[[], float] = time.time, settings: Settings | None = None
    ) -> Broker:
        """Return the broker in ``folder``. Raises ConfigError or StoreError; close the broker after use.

        Its file is read, unless it has been before: then these are the ``settings`` in it.
        """
        settings = settings or settings_file.load(folder)
        keys = Keys(read_secret(folder), issuer=settings.issuer, now=now)
        store = Store(settings.database)
        try:
            with store.writing() as connection:
                signing_keys.keep_up(connection, keys.make, lifetime=settings.key_seconds, now=now())
                keys.hold(signing_keys.read(connection))
        except Exception:
            store.close()
            raise
        revocations = Revocations(store)
        revocations.refresh(now())
        metrics = Metrics()
        return cls(
            settings=settings,
            keys=keys,
            store=store,
            verifier=Verifier(settings, http=http, now=now),
            audit=Audit(store, now, metrics.count_decision),
            revocations=revocations,
            checker=Checker(settings.origin, keys, revocations, now),
            company=CompanySignIn(settings, settings.company, cookie_secret=keys.cookie_secret(), http=http, now=now)
            if settings.company
            else None,
            limits=Limits(settings.running, metrics.count_limited),
            tally=Tally(),
            metrics=metrics,
            now=now,
        )

    @staticmethod
    def create(folder: Path, text: str) -> Settings:
        """Make a broker in ``folder``, with ``text`` as its ``broker.toml``: settings, secret, database and first key.

        Returns the settings. Raises ConfigError if there is a broker already or the text is wrong, and StoreError.
        """
        file = folder / settings_file.FILE_NAME
        if file.exists():
            raise ConfigError(f"there is a broker in {folder} already", hint=f"edit {file}, or choose another folder")
        settings = settings_file.parse(text, file=file)
        ensure_private_folder(folder)
        # A secret that is there belongs to the database: of an attempt that failed later, or of the other replicas.
        secret = read_secret(folder) if (folder / SECRET_FILE).exists() else make_secret(folder)
        keys = Keys(secret, issuer=settings.issuer, now=time.time)
        with closing(Store(settings.database)) as store, store.writing() as connection:
            signing_keys.keep_up(connection, keys.make, lifetime=settings.key_seconds, now=time.time())
            keys.hold(signing_keys.read(connection))
        write_private(file, text.encode())  # last: with it the broker is there
        return settings

    def refresh(self) -> None:
        """Read anew what was revoked, and the signing keys. This blocks: call it on a thread."""
        self.revocations.refresh(self.now())
        signing_keys.load(self.store, self.keys)

    def rotate_keys(self) -> None:
        """Do what the schedule of the signing keys asks for. This blocks: call it on a thread."""
        with self.store.writing() as connection:
            signing_keys.keep_up(connection, self.keys.make, lifetime=self.settings.key_seconds, now=self.now())
        signing_keys.load(self.store, self.keys)

    def close(self) -> None:
        """Close the database."""
        self.store.close()
