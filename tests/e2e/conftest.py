"""Real clients in environments of their own, against a real broker and index over TLS, all in one temporary folder.

The stage, the environments and the search for secrets are the demonstration's own: one way to run clients cleanly.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import certifi
import filelock
import pytest
import trustme

from indexpass._demo import packages
from indexpass._demo.approve import approve
from indexpass._demo.environments import find_requirement, make_environment, run_uv, with_extra
from indexpass._demo.search import found_in, search_files, search_texts
from indexpass._demo.stage import Stage
from indexpass._demo.watch import Watch
from indexpass._secret import Secret
from servers.git_server import GitServer, git_server, make_repository
from servers.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from servers.issuers import Issuer

BRIEF_SECONDS = 6
USER = "alice"
SETTINGS = """
[[index]]
name = "brief"
url = "{issuer}/brief/simple/"
read-lifetime = "{seconds}s"

[[index]]
name = "sealed" # nobody may
url = "{issuer}/sealed/simple/"

[[index]]
name = "alias" # the index acme, by another name of this machine that no proxy guards
url = "{alias}/simple/"

[[policy]]
name = "alias-for-everybody"
index = "alias"
operations = ["read"]
users = ["*"]

[[policy]]
name = "brief-for-everybody"
index = "brief"
operations = ["read"]
users = ["*"]

[[trusted-issuer]]
name = "ci"
url = "{ci}"

[[policy]]
name = "ci"
index = "acme"
operations = ["read", "upload"]
issuer = "ci"
claims = {{ project_id = "1234" }}
"""


class Environments(Protocol):
    """Makes an environment once for all tests, and returns the folder of its executables."""

    def __call__(self, *requirements: str, ours: str | None = None) -> Path: ...


class OpenWorld(Protocol):
    """Makes a world in a folder: a broker that believes the issuer, with more settings if they are given."""

    def __call__(self, folder: Path, issuer: Issuer, more_settings: str = "") -> AbstractContextManager[World]: ...


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def requirement(shared: Path) -> str:
    """The wheel of this very tree, built once."""
    with filelock.FileLock(shared / "wheel.lock"):
        built = list((shared / "wheel-stage" / "wheel").glob("*.whl"))
        return str(built[0]) if built else find_requirement(Stage(shared / "wheel-stage", say=lambda _: None))


@pytest.fixture(scope="session")
def environments(shared: Path, requirement: str) -> Environments:
    """Environments by what is in them; ``ours`` adds indexpass with an extra ("" for none)."""

    def environment(*requirements: str, ours: str | None = None) -> Path:
        wanted = [*requirements, *([with_extra(requirement, ours)] if ours is not None else [])]
        folder = shared / "environments" / hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]
        with filelock.FileLock(f"{shared / folder.name}.lock"):
            ready = folder / "ready"
            if not ready.exists():
                ready.write_text(str(make_environment(folder, wanted)))
            return Path(ready.read_text())

    return environment


@pytest.fixture(scope="session")
def built(shared: Path) -> Path:
    """A folder with acme-hello as a wheel and acme-slow as a source distribution that takes 8 seconds to build."""
    folder = shared / "built"
    with filelock.FileLock(shared / "built.lock"):
        if not folder.exists():
            sources = shared / "sources"
            run_uv("build", "--quiet", "--wheel", "--out-dir", folder, packages.write_hello(sources))
            run_uv(
                *("build", "--quiet", "--sdist"),
                *("--out-dir", folder, packages.write_slow(sources)),
            )
    return folder


@dataclass
class World:
    """A broker and its index over TLS, a machine of a user's, and what is known about both."""

    stage: Stage
    watch: Watch
    ours: Path
    issuer: str
    authorities: Path
    password: Secret
    shelf: Path

    @property
    def index(self) -> str:
        return f"{self.issuer}/simple/"

    @property
    def brief_index(self) -> str:
        return f"{self.issuer}/brief/simple/"

    @property
    def sealed_index(self) -> str:
        return f"{self.issuer}/sealed/simple/"

    @property
    def alias_index(self) -> str:
        return f"{_alias(self.issuer)}/simple/"

    @property
    def upload_url(self) -> str:
        return f"{self.issuer}/legacy/"

    def environ(self, *path: Path, **more: str) -> dict[str, str]:
        trust = {
            name: str(self.authorities)
            for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")
        }
        return self.stage.environ(path=path, **trust, **more)

    def run(self, *argv: str | Path, cwd: Path | None = None, path: tuple[Path, ...] = (), **more: str) -> str:
        return self.stage.run(argv, environ=self.environ(*path, **more), cwd=cwd)

    def indexpass(self, *words: str | Path) -> str:
        return self.run(self.ours / "indexpass", *words)

    def sign_in(self) -> None:
        for name, url in (("acme", self.index), ("brief", self.brief_index)):
            self.indexpass("add", url, "--name", name, "--yes")
        login = [self.ours / "indexpass", "login", "--device", "acme"]
        line = self.stage.start(login, until="Open http", environ=self.environ())
        approve(line.split()[1], user=USER, password=self.password, authorities=self.authorities)
        self.stage.wait()
        self.watch.look_at_files()
        # What follows begins cold, as on the next morning.
        for path in (self.stage.home / "indexpass" / "credentials").glob("*.credential"):
            path.unlink()

    def minted(self, operation: str = "read", *, index: str = "acme") -> int:
        """How many tokens the broker has minted through a session or an identity token: the sign-in's own aside."""
        return sum(
            entry["index"] == index and entry["operation"] == operation and entry["event"] != "device-exchange"
            for entry in self._tokens()
        )

    def assert_no_secret_is_anywhere(self) -> None:
        self.watch.stop()
        known = self.watch.secrets
        hashes = {entry["token_sha256"] for entry in self._tokens()}
        assert hashes <= {hashlib.sha256(secret.reveal().encode()).hexdigest() for secret in known}
        private = [self.stage.home / "indexpass" / place for place in ("credentials", "sessions")]
        assert sum(found_in(place, known) for place in private), "the search finds nothing even where secrets are"
        assert search_files(self.stage.folder, known, private=private).leaks == ()
        assert search_texts("command line", self.watch.command_lines, known).leaks == ()
        assert search_texts("environment", self.watch.environments, known).leaks == ()

    def _tokens(self) -> list[dict[str, str]]:
        text = "\n".join(path.read_text(errors="replace") for path in self.stage.logs.iterdir())
        entries = [json.loads(found) for found in re.findall(r'\{.*"token_sha256".*\}', text)]
        return [entry for entry in entries if entry["result"] == "granted" and entry["token_sha256"]]


@pytest.fixture
def more_settings() -> str:
    """What else stands in the settings of the broker, {issuer} for its URL; a module of tests may say otherwise."""
    return ""


@pytest.fixture
def git_port() -> int:
    """Where a git server will listen, for a module whose settings of the broker have to name it."""
    with free_port() as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def forge(world: World, git_port: int) -> Iterator[GitServer]:
    """A git server with one repository, guarded by the broker's index "forge", and a person who is signed in."""
    folder = world.stage.folder / "git"
    folder.mkdir()
    make_repository(folder, "secret_sauce")
    world.sign_in()
    world.indexpass("add", f"https://127.0.0.1:{git_port}/git/", "--name=forge", f"--broker={world.issuer}", "--yes")
    with git_server(
        folder,
        git_port,
        f"{world.issuer}/check",
        authorities=world.authorities,
        chain=world.stage.folder / "tls-certificate.pem",
        key=world.stage.folder / "tls-key.pem",
    ) as server:
        yield server


@pytest.fixture
def world(open_world: OpenWorld, tmp_path: Path, issuer: Issuer, more_settings: str) -> Iterator[World]:
    """A broker that serves acme-hello and acme-slow over TLS, and a machine that knows nothing of it yet."""
    with open_world(tmp_path, issuer, more_settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def open_world(environments: Environments, built: Path) -> OpenWorld:
    """Opens what the fixture ``world`` is, for a module whose tests share one."""
    return partial(_open_world, environments, built)


@contextmanager
def _open_world(
    environments: Environments, built: Path, folder: Path, issuer: Issuer, more_settings: str = ""
) -> Iterator[World]:
    ours = environments(ours="[broker]")
    stage = Stage(folder / "stage", say=print)
    with free_port() as probe:
        home = f"https://127.0.0.1:{probe.getsockname()[1]}"
    broker, shelf = stage.folder / "broker", stage.folder / "packages" / "acme"
    shelf.mkdir(parents=True)
    (shelf.parent / "brief").symlink_to("acme")
    for file in built.glob("acme*"):
        (shelf / file.name).write_bytes(file.read_bytes())
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    authorities = stage.folder / "authorities.pem"
    # The test's authority, and the usual ones beside it: some clients also install from the public index.
    usual = ssl.get_default_verify_paths().cafile or certifi.where()
    authorities.write_bytes(authority.cert_pem.bytes() + Path(usual).read_bytes())
    key, chain = stage.folder / "tls-key.pem", stage.folder / "tls-certificate.pem"
    key.write_bytes(certificate.private_key_pem.bytes())
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    password = Secret(secrets.token_urlsafe(16))
    watch = Watch(stage.home / "indexpass")
    watch.know(password)
    watch.start()
    world = World(stage, watch, ours, home, authorities, password, shelf)
    try:
        world.indexpass("broker", "init", broker, "--issuer", home, "--index-name", "acme")
        with (broker / "broker.toml").open("a") as settings:
            settings.write(SETTINGS.format(issuer=home, alias=_alias(home), ci=issuer.url, seconds=BRIEF_SECONDS))
            settings.write(more_settings.replace("{issuer}", home))
        stage.run(
            [ours / "indexpass", "broker", "user", "add", USER, broker, "--password-stdin"],
            typed=f"{password.reveal()}\n",
        )
        serve: list[str | Path] = [ours / "indexpass", "broker", "serve", broker, "--access-log"]
        stage.start([*serve, "--packages", shelf.parent, "--tls-certificate", chain, "--tls-key", key], until=home)
        yield world
    finally:
        watch.stop()
        stage.close()


def _alias(issuer: str) -> str:
    return issuer.replace("127.0.0.1", "localhost")
