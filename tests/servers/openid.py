"""A company's OpenID provider: the certified ``oidc-provider`` from npm, run by node on loopback.

``start_openid()`` returns an ``OpenidProvider``, which answers once it has been told its client. It ends with the test.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin, urlsplit

import filelock
import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from servers.programs import FindProgram

VERSION = "9.13.3"
FOLDER = Path(__file__).resolve().parents[2] / ".cache/node" / f"oidc-provider-{VERSION}"
CLIENT_ID = "indexpass-broker"
CLIENT_SECRET = "a-secret-of-the-company.0123456789"
INSTALL_SECONDS, START_SECONDS = 120, 30
ACCOUNTS = {
    "u-1001": {
        "preferred_username": "carol",
        "email": "carol@acme.example",
        "email_verified": True,
        "groups": ["python-devs", "everybody"],
    },
    "u-1002": {
        "preferred_username": "bob",
        "email": "bob@acme.example",
        "email_verified": True,
        "groups": ["everybody"],
    },
}
SETTINGS = """
[company]
name = "ACME"
issuer = "{issuer}"
client-id = "{client_id}"
client-secret-file = "{secret_file}"
scopes = ["openid", "profile", "email", "groups"]
"""


@dataclass
class OpenidProvider:
    """The provider; ``issuer`` is its URL, on another site (localhost) than the brokers of tests (127.0.0.1)."""

    issuer: str
    secret_file: Path
    process: subprocess.Popen[str] = field(repr=False)

    @property
    def settings(self) -> str:
        """The ``[company]`` of a broker that is its client."""
        return SETTINGS.format(issuer=self.issuer, client_id=CLIENT_ID, secret_file=self.secret_file)

    def register(
        self, broker: str, *, accounts: Mapping[str, object] | None = None, has_claims_in_id_token: bool = False
    ) -> None:
        """Make the broker at this URL its one client, and begin to answer."""
        client = {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "redirect_uris": [f"{broker}/company/callback"],
            "application_type": "native" if broker.startswith("http:") else "web",
        }
        told = {"client": client, "accounts": accounts or ACCOUNTS, "userinfo": not has_claims_in_id_token}
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{json.dumps(told)}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ready\n"


class PersonAtProvider:
    """A person at the provider's pages, in a browser without a screen that stays signed in; ``asked`` is for what."""

    def __init__(self, subject: str) -> None:
        self.asked: list[str] = []
        self._subject = subject
        self._http = requests.Session()
        self._http.trust_env = False

    def agree(self, url: str) -> str:
        """Do what the pages ask for, and return the URL of the broker that they lead back to."""
        home = urlsplit(url).netloc
        page = self._http.get(url, timeout=30, allow_redirects=False)
        for _ in range(12):
            if page.is_redirect:
                place = urljoin(page.url, page.headers["Location"])
                if urlsplit(place).netloc != home:
                    return place
                page = self._http.get(place, timeout=30, allow_redirects=False)
                continue
            [action] = re.findall(r'<form autocomplete="off" action="([^"]+)"', page.text)
            prompt = "login" if 'name="login"' in page.text else "consent"
            self.asked.append(prompt)
            form = {"prompt": prompt, "login": self._subject, "password": "any"}
            page = self._http.post(action, data=form, timeout=30, allow_redirects=False)
        raise AssertionError(page.text)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class StartOpenid(Protocol):
    """Starts a provider."""

    def __call__(self) -> OpenidProvider: ...


@pytest.fixture
def start_openid(program: FindProgram, tmp_path: Path) -> Iterator[StartOpenid]:
    """Start providers; they end with the test."""
    node, npm = program("node"), program("npm")
    running: list[subprocess.Popen[str]] = []

    def start() -> OpenidProvider:
        install(npm)
        with (tmp_path / "openid.log").open("a") as log:
            process = subprocess.Popen(
                [node, Path(__file__).with_name("openid_provider.mjs"), FOLDER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        running.append(process)
        assert process.stdout
        issuer = process.stdout.readline().strip()
        assert issuer, (tmp_path / "openid.log").read_text()
        secret_file = tmp_path / "company-secret"
        secret_file.touch(mode=0o600)
        secret_file.write_text(f"{CLIENT_SECRET}\n")
        return OpenidProvider(issuer, secret_file, process)

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=START_SECONDS)


def install(npm: Path) -> None:
    """Install the provider from npm, unless that was done before."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = FOLDER / "node_modules/.package-lock.json"  # npm writes it last
    with filelock.FileLock(f"{FOLDER}.lock", timeout=INSTALL_SECONDS):
        if not done.exists():
            quiet = ("--no-package-lock", "--no-audit", "--no-fund")
            subprocess.run(
                [npm, "install", *quiet, "--prefix", FOLDER, f"oidc-provider@{VERSION}"],
                check=True,
                timeout=INSTALL_SECONDS,
            )
