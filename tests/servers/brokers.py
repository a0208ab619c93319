"""A real broker on loopback, with its built-in index, over plain http or TLS.

``start_broker()`` returns a ``RunningBroker``; it stops at the end of the test. The settings are those that
``indexpass broker init`` writes, plus whatever a test appends. The clock can be moved on.
"""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest
import requests
import trustme

from indexpass._http import HttpClient
from indexpass._secret import Secret
from indexpass._wire import CLIENT_ID, GRANT_DEVICE, GRANT_EXCHANGE, GRANT_REFRESH, TYPE_ID_TOKEN
from indexpass.broker.app import create_app
from indexpass.broker.keys import Keys
from indexpass.broker.service import Broker
from indexpass.broker.settings import starter
from indexpass.broker.state.signing_keys import SigningKey
from servers.loopback import free_port, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NO_PASSWORD = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA"  # nobody's: tests decide in the store


def make_keys(issuer: str = "https://tokens.acme.example", now: Callable[[], float] = time.time) -> Keys:
    """Return the keys of a broker that has just begun, without a database: one signs from the beginning of time."""
    keys = Keys(Secret(secrets.token_hex(32)), issuer=issuer, now=now)
    kid, sealed = keys.make()
    keys.hold([SigningKey(1, kid, sealed, published_at=0, signs_from=0)])
    return keys


class Clock:
    """The time of day, which a test can move on."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Make it so much later."""
        self._ahead += seconds


@dataclass
class RunningBroker:
    """A broker that answers, and the few steps that most tests take."""

    broker: Broker
    url: str
    packages: Path
    clock: Clock
    authorities: Path | None
    http: requests.Session
    folder: Path

    @property
    def index(self) -> str:
        """The URL of the index ``acme``."""
        return f"{self.url}/simple/"

    def get(self, path: str, token: str = "", **headers: str) -> requests.Response:
        """Ask for a path, with the token as Basic password."""
        auth = ("__token__", token) if token else None
        return self.http.get(f"{self.url}{path}", headers=headers, auth=auth, timeout=30, allow_redirects=False)

    def post(self, path: str, **form: str) -> requests.Response:
        """Send a form to an OAuth endpoint."""
        return self.http.post(f"{self.url}{path}", data=form, timeout=30, allow_redirects=False)

    def begin_device(self, **form: str) -> dict[str, str]:
        """Begin a device sign-in."""
        return dict(self.post("/oauth/device_authorization", **{"client_id": CLIENT_ID, **form}).json())

    def decide(self, user_code: str, user: str = "alice", *, approved: bool = True) -> None:
        """Decide as the person would on the page; adds the person where it is needed."""
        if self.broker.store.user(user) is None:
            self.broker.store.add_user(user, NO_PASSWORD, self.clock())
        assert self.broker.store.decide_device(user_code, user, approved=approved, now=self.clock())

    def poll(self, device_code: str) -> requests.Response:
        """Ask whether the person has decided."""
        return self.post("/oauth/token", grant_type=GRANT_DEVICE, client_id=CLIENT_ID, device_code=device_code)

    def sign_in(self, user: str = "alice", **form: str) -> dict[str, str]:
        """Sign a person in, and return the token answer."""
        device = self.begin_device(**form)
        self.decide(device["user_code"], user)
        return dict(self.poll(device["device_code"]).json())

    def refresh(self, refresh_token: str, **form: str) -> requests.Response:
        """Trade a refresh token."""
        return self.post("/oauth/token", grant_type=GRANT_REFRESH, refresh_token=refresh_token, **form)

    def exchange(self, identity_token: Secret, **form: str) -> requests.Response:
        """Trade an identity token."""
        token = {"subject_token": identity_token.reveal(), "subject_token_type": TYPE_ID_TOKEN}
        return self.post("/oauth/token", **{"grant_type": GRANT_EXCHANGE, **token, **form})


class StartBroker(Protocol):
    """Starts a broker; ``settings`` is TOML that is appended, with ``{url}`` for the broker's own URL."""

    def __call__(self, settings: str = "", *, tls: bool = False) -> RunningBroker: ...


@pytest.fixture
def start_broker(tmp_path: Path, new_database: Callable[[Path], str]) -> Iterator[StartBroker]:
    """Start brokers, each in a folder of its own; they stop at the end of the test."""
    with ExitStack() as stack:

        def start(settings: str = "", *, tls: bool = False) -> RunningBroker:
            listener = free_port()
            port = listener.getsockname()[1]
            url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
            folder, packages, clock = tmp_path / f"broker-{port}", tmp_path / f"packages-{port}", Clock()
            database = f'database = "{new_database(folder)}"\n'
            Broker.create(folder, database + starter.text(url, "acme") + settings.replace("{url}", url))
            authorities, pair = _certificates(tmp_path) if tls else (None, None)
            broker = stack.enter_context(closing(Broker.open(folder, http=HttpClient(), now=clock)))
            stack.enter_context(serving(create_app(broker, packages=packages), listener, tls=pair))
            http = stack.enter_context(requests.Session())
            http.trust_env = False  # no proxy, no .netrc
            http.verify = str(authorities) if authorities else True
            return RunningBroker(broker, url, packages, clock, authorities, http, folder)

        yield start


def _certificates(folder: Path) -> tuple[Path, tuple[Path, Path]]:
    """Return the PEM files of an authority, and of a certificate for this machine with its key."""
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    paths = (folder / "authorities.pem", folder / "certificate.pem", folder / "key.pem")
    authority.cert_pem.write_to_path(str(paths[0]))
    for blob in leaf.cert_chain_pems:
        blob.write_to_path(str(paths[1]), append=True)
    leaf.private_key_pem.write_to_path(str(paths[2]))
    return paths[0], paths[1:]
