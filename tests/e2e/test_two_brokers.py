"""The how-to page about several brokers, carried out: two on one PostgreSQL behind nginx, and one is killed under load.

Real processes and real clients. No install fails, no session ends, and no identity token is taken twice. nginx's
configuration is the page's; only addresses are replaced.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
import requests
import trustme
from sqlalchemy import func, select

from indexpass._cache import Cache
from indexpass._demo.stage import Stage
from indexpass._http import HttpClient
from indexpass._model import Context, IdentityToken, Index, Session
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass._wire import CLIENT_ID, GRANT_DEVICE, GRANT_EXCHANGE, TYPE_ID_TOKEN
from indexpass.broker.service import Broker
from indexpass.broker.settings import starter
from indexpass.broker.state import schema
from indexpass.broker.state.store import Store
from indexpass.providers.broker import BrokerProvider
from servers.guarded import run_nginx
from servers.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Environments
    from servers.issuers import Issuer
    from servers.postgres import Postgres
    from servers.programs import FindProgram

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).resolve().parents[2] / "plugin-docs/how-to/replicas.md"
SITE = """\
{upstream}
server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate certificate.pem;
    ssl_certificate_key key.pem;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    {server}
    location / {{
        proxy_pass http://indexpass_broker;
    }}
}}
"""
READY_SECONDS = 60
LOAD_SECONDS = 240  # a bound and no measure: everybody has to get somewhere in it, on the slowest machine
REPLAYS_AT_ONCE = 6


@dataclass
class Replica:
    """One broker as a process of its own."""

    argv: list[str | Path]
    url: str
    log: Path
    environ: dict[str, str]
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv, env=self.environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def is_ready(self) -> bool:
        with suppress(requests.ConnectionError):
            return requests.get(f"{self.url}/readyz", timeout=10).ok
        return False

    def kill(self, *, after: float = 0.0) -> None:
        """Kill the process; it stands still before, for so many seconds, so that questions wait there."""
        if self._process:
            if after:
                self._process.send_signal(signal.SIGSTOP)
                time.sleep(after)
            self._process.kill()
            self._process.wait(30)
            self._process = None


@dataclass
class Site:
    """Two brokers behind nginx, and what they know."""

    stage: Stage
    url: str
    authorities: Path
    replicas: tuple[Replica, Replica]
    store: Store

    @property
    def index(self) -> str:
        return f"{self.url}/simple/"

    def sign_in(self, user: str) -> Secret:
        """Sign a person in without the pages, and return the refresh token."""
        with suppress(Exception):
            self.store.add_user(user, "no password", time.time())
        asked = self.post("/oauth/device_authorization", client_id=CLIENT_ID).json()
        assert self.store.decide_device(asked["user_code"], user, approved=True, now=time.time())
        form = {"grant_type": GRANT_DEVICE, "client_id": CLIENT_ID, "device_code": asked["device_code"]}
        return Secret(self.post("/oauth/token", **form).json()["refresh_token"])

    def post(self, path: str, **form: str) -> requests.Response:
        return requests.post(f"{self.url}{path}", data=form, timeout=30, verify=str(self.authorities))

    def count(self, *where: object) -> int:
        with self.store.reading() as connection:
            query = select(func.count()).select_from(schema.sessions).where(*where)  # type: ignore[arg-type]
            return int(connection.execute(query).scalar_one())


@pytest.fixture
def site(  # noqa: PLR0913, PLR0917  # all that such a site is made of
    program: FindProgram,
    postgres: Postgres,
    environments: Environments,
    built: Path,
    issuer: Issuer,
    tmp_path: Path,
) -> Iterator[Site]:
    stage = Stage(tmp_path / "stage", say=print)
    port, *ports = free_ports(3)
    url, ours = f"https://127.0.0.1:{port}", environments(ours="[broker]")
    packages = stage.folder / "packages" / "acme"
    packages.mkdir(parents=True)
    hello = next(built.glob("acme_hello*"))
    shutil.copy(hello, packages / hello.name)
    first, second = stage.folder / "first", stage.folder / "second"
    database = postgres.prepared()
    reading = issuer.reading_policy.replace("{url}", url)
    settings = Broker.create(first, f'database = "{database}"\n{starter.text(url, "acme")}{reading}')
    shutil.copytree(first, second)  # "a copy of its folder"
    authorities = start_nginx(stage, program("nginx"), port, ports)
    replicas = []
    for folder, each in zip((first, second), ports, strict=True):
        listen = f"127.0.0.1:{each}"
        argv = [ours / "indexpass", "broker", "serve", folder, "--listen", listen, "--packages", packages.parent]
        replicas.append(Replica([*argv], f"http://{listen}", stage.logs / f"{folder.name}.log", stage.environ()))
    with closing(Store(settings.database)) as store:
        try:
            for replica in replicas:
                replica.start()
            yield Site(stage, url, authorities, (replicas[0], replicas[1]), store)
        finally:
            for replica in replicas:
                replica.kill()
            stage.close()


@dataclass
class Load:
    """Work that goes on in several threads until it is enough."""

    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def repeat(self, name: str, work: Callable[[], None]) -> None:
        while not self.stopping.is_set():
            try:
                work()
            except Exception as error:  # noqa: BLE001  # whatever it is, it is what this test is about
                self.failures.append(f"{name}: {type(error).__name__}: {error}")
                return
            self.done[name] += 1

    def wait_for(self, names: list[str], more: int) -> None:
        """Wait until each has done so much more."""
        before, deadline = Counter(self.done), time.monotonic() + LOAD_SECONDS
        while not self.failures and any(self.done[name] < before[name] + more for name in names):
            assert time.monotonic() < deadline, self.done
            time.sleep(0.05)


def test_one_of_two_brokers_is_killed_under_load_and_nobody_notices(
    site: Site, environments: Environments, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(site.authorities))
    python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    http = HttpClient()
    replays: list[int] = []
    workers: dict[str, Callable[[], None]] = {
        "installs of alice": installing(site, python, "alice"),
        "installs of bob": installing(site, python, "bob"),
        "refreshes of carol": refreshing(site, "carol", http),
        "refreshes of dave": refreshing(site, "dave", http),
        "exchanges": exchanging(site, issuer, http),
        "replays": lambda: replays.append(replay(site, issuer)),
    }
    load = Load()
    with ThreadPoolExecutor(len(workers)) as pool:
        for name, work in workers.items():
            pool.submit(load.repeat, name, work)
        try:
            load.wait_for([*workers], 2)
            before = len(replays)
            site.replicas[0].kill(after=1.0)
            load.wait_for([*workers], 2)
            after = len(replays)
        finally:
            load.stopping.set()
    assert load.failures == []
    assert site.count(schema.sessions.c.revoked_at.is_not(None)) == 0
    assert site.count(schema.sessions.c.revoked_at.is_(None)) == 4
    # An answer may be lost with the broker that was killed; but no token is ever taken twice.
    assert max(replays) == 1
    assert set(replays[:before]) == {1}
    assert 1 in replays[before:after]


def installing(site: Site, python: Path, user: str) -> Callable[[], None]:
    """Return what installs a package with a new credential, in an environment of the person's own."""
    home = site.stage.folder / user
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text(f'[[index]]\nname = "acme"\nurl = "{site.index}"\nbroker = "{site.url}"\n')
    FileSessions(home / "sessions").save(Session(site.url, user, site.sign_in(user)))
    trust = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"), str(site.authorities))
    environ = site.stage.environ(INDEXPASS_HOME=str(home), **trust)
    index = Index("acme", IndexUrl.parse(site.index), options=MappingProxyType({"broker": site.url}))
    words = ("-m", "pip", "install", "--quiet", "--no-input", "--no-cache-dir", "--no-deps", "--upgrade")

    def install() -> None:
        Cache(home / "credentials").forget(index, "read")
        target = home / "target"
        argv = [
            python,
            *words,
            "--keyring-provider=import",
            "--index-url",
            site.index,
            "--target",
            target,
            "acme-hello",
        ]
        done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode or "indexpass" in done.stderr:
            raise AssertionError(done.stdout + done.stderr)
        shutil.rmtree(target)

    return install


def refreshing(site: Site, user: str, http: HttpClient) -> Callable[[], None]:
    """Return what has our client trade the person's session for a credential that opens the index."""
    sessions = FileSessions(site.stage.folder / f"sessions-{user}")
    sessions.save(Session(site.url, user, site.sign_in(user)))
    context = Context(http, sessions, lambda _audience: None, time.time)
    return lambda: issue_and_use(site, context)


def exchanging(site: Site, issuer: Issuer, http: HttpClient) -> Callable[[], None]:
    """Return what has our client trade identity tokens that are good once, from a source that makes them."""

    def identify(audience: str) -> IdentityToken:
        return IdentityToken(issuer.token(aud=audience, jti=str(uuid.uuid4())), "A_SOURCE")

    context = Context(http, FileSessions(site.stage.folder / "sessions-ci"), identify, time.time)
    return lambda: issue_and_use(site, context)


def issue_and_use(site: Site, context: Context) -> None:
    index = Index("acme", IndexUrl.parse(site.index), options=MappingProxyType({"broker": site.url}))
    secret = BrokerProvider().issue(index, "read", context).secret.reveal()
    answer = requests.get(site.index, auth=("__token__", secret), timeout=30, verify=str(site.authorities))
    assert answer.status_code == 200, answer.text


def replay(site: Site, issuer: Issuer) -> int:
    """Send one identity token to both brokers, many times at the same moment; return how often it was taken."""
    token = issuer.token(aud=site.url, jti=str(uuid.uuid4())).reveal()
    form = {"grant_type": GRANT_EXCHANGE, "subject_token": token, "subject_token_type": TYPE_ID_TOKEN}
    barrier = threading.Barrier(REPLAYS_AT_ONCE)

    def send(number: int) -> bool:
        barrier.wait(30)
        url = site.replicas[number % 2].url
        with suppress(requests.ConnectionError):  # one of them is killed in the middle of it
            return requests.post(f"{url}/oauth/token", data=form, timeout=30).status_code == 200
        return False

    with ThreadPoolExecutor(REPLAYS_AT_ONCE) as pool:
        return sum(pool.map(send, range(REPLAYS_AT_ONCE)))


def start_nginx(stage: Stage, nginx: Path, port: int, ports: list[int]) -> Path:
    """Start nginx with the page's configuration; return the PEM file of its authority."""
    folder = stage.folder / "nginx"
    folder.mkdir()
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    (folder / "certificate.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    (folder / "key.pem").write_bytes(certificate.private_key_pem.bytes())
    (folder / "authorities.pem").write_bytes(authority.cert_pem.bytes())
    upstream, server = re.findall(r"^```nginx\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for address, here in zip(("10.0.0.1:8443", "10.0.0.2:8443"), ports, strict=True):
        assert address in upstream
        upstream = upstream.replace(address, f"127.0.0.1:{here}")
    run_nginx(stage, nginx, folder, SITE.format(upstream=upstream, server=server, port=port))
    return folder / "authorities.pem"


def free_ports(count: int) -> list[int]:
    listeners = [free_port() for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
