"""Indexes that know nothing of tokens, behind a real proxy that asks a real broker: all over TLS, in one folder.

A test says what the broker's settings and the proxy's configuration are. Proxies are started by what they are told
outside of the configuration that is tested: addresses, folders, certificates. This module decides nothing about tokens.
"""

from __future__ import annotations

import http.client
import os
import re
import secrets
import socket
import ssl
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import requests
import trustme

from indexpass._demo.approve import approve
from indexpass._demo.search import found_in, search_files, search_texts
from indexpass._demo.stage import Stage, StageError
from indexpass._demo.watch import Watch
from indexpass._secret import Secret
from servers.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

USER = "alice"
START_SECONDS = 30.0
# What Debian's own nginx.conf does around the file, in a folder of the test's.
_NGINX = """\
{user}
daemon off;
pid nginx.pid;
error_log stderr notice;
events {{}}
http {{
    access_log access.log;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include indexpass.conf;
}}
"""
_CADDY = """\
{{
	admin off
	auto_https disable_redirects
	default_bind 127.0.0.1
	storage file_system {folder}
}}
"""
_APACHE_MODULES = (
    *("mpm_event", "authn_core", "authz_core", "headers", "socache_shmcb", "ssl", "proxy", "proxy_http"),
    "auth_openidc",
)
_APACHE = """\
ServerRoot {folder}
ServerName localhost
DefaultRuntimeDir {folder}
PidFile apache.pid
ErrorLog /dev/stderr
LogLevel notice
{user}
{modules}
Listen 127.0.0.1:{port}
OIDCCABundlePath {folder}/authorities.pem
Include {folder}/indexpass.conf
"""
_APACHE_MODULE_FOLDER = "/usr/lib/apache2/modules"


class Answer(NamedTuple):
    """What came back."""

    status: int
    challenges: list[str]
    location: str
    body: bytes


@dataclass
class Site:
    """A folder, a certificate for this machine, and a person who may be signed in.

    ``open_folder`` is one that every user of this machine may enter: a server that root starts works as another one.
    """

    stage: Stage
    watch: Watch
    ours: Path
    port: int
    more_ports: list[int]
    authorities: Path
    certificate: Path
    key: Path
    packages: Path
    open_folder: Path
    password: Secret

    def environ(self, *path: Path, **more: str) -> dict[str, str]:
        names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")
        return self.stage.environ(path=path, **dict.fromkeys(names, str(self.authorities)), **more)

    def run(
        self, *argv: str | Path, typed: str | None = None, cwd: Path | None = None, path: tuple[Path, ...] = ()
    ) -> str:
        return self.stage.run(argv, environ=self.environ(*path), typed=typed, cwd=cwd)

    def indexpass(self, *words: str | Path, typed: str | None = None) -> str:
        return self.run(self.ours / "indexpass", *words, typed=typed)

    def token(self, *words: str) -> Secret:
        argv = [self.ours / "indexpass", "token", *words]  # not on the stage, which keeps what commands print
        done = subprocess.run(argv, env=self.environ(), capture_output=True, text=True, timeout=60, check=True)
        self.watch.know(secret := Secret(done.stdout.strip()))
        return secret

    def ask(  # noqa: PLR0913  # the parts of a request
        self,
        method: str,
        path: str,
        token: Secret | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        port: int | None = None,
    ) -> Answer:
        """Send a request with the path exactly as it is written here."""
        context = ssl.create_default_context(cafile=str(self.authorities))
        connection = http.client.HTTPSConnection("localhost", port or self.port, timeout=30, context=context)
        basic = {"Authorization": requests.auth._basic_auth_str("__token__", token.reveal())} if token else {}
        try:
            connection.request(method, path, body=body, headers={**basic, **(headers or {})})
            response = connection.getresponse()
            challenges = response.headers.get_all("WWW-Authenticate", [])
            return Answer(response.status, challenges, response.headers.get("Location", ""), response.read())
        finally:
            connection.close()

    def upload(
        self, index: str, token: Secret, name: str, content: bytes, *, port: int | None = None
    ) -> requests.Response:
        return requests.post(
            f"https://localhost:{port or self.port}/{index}/legacy/",
            data={":action": "file_upload", "protocol_version": "1"},
            files={"content": (name, content)},
            auth=("__token__", token.reveal()),
            verify=str(self.authorities),
            timeout=60,
        )

    def revoke(self, token: Secret) -> None:
        form = {"token": token.reveal()}
        url = f"https://127.0.0.1:{self.port}/oauth/revoke"
        assert requests.post(url, data=form, verify=str(self.authorities), timeout=30).ok

    def sign_in(self, *words: str) -> None:
        """Sign the person in, by ``indexpass login --device`` and the broker's pages."""
        argv = [self.ours / "indexpass", "login", "--device", *words]
        url = self.stage.start(argv, until="Open http", environ=self.environ()).split()[1]
        approve(url, user=USER, password=self.password, authorities=self.authorities)
        self.stage.wait()

    def add_person(self, folder: str | Path) -> None:
        """Let the broker in ``folder`` know the person."""
        words = ("broker", "user", "add", USER, folder, "--password-stdin")
        self.indexpass(*words, typed=f"{self.password.reveal()}\n")

    def logs(self, program: str) -> str:
        """Return all that a program has printed."""
        return "".join(path.read_text(errors="replace") for path in self.stage.logs.glob(f"*{program}*"))

    def assert_no_secret_is_anywhere(self) -> None:
        self.watch.stop()
        private = [self.stage.home / "indexpass" / place for place in ("credentials", "sessions")]
        known = self.watch.secrets
        assert sum(found_in(place, known) for place in private), "the search finds nothing even where secrets are"
        assert search_files(self.stage.folder, known, private=private).leaks == ()
        assert search_texts("command line", self.watch.command_lines, known).leaks == ()
        assert search_texts("environment", self.watch.environments, known).leaks == ()


@contextmanager
def make_site(folder: Path, ours: Path, *, ports: int = 0) -> Iterator[Site]:
    """Make the folder and the certificate; start nothing, and stop at the end whatever was started on its stage.

    ``ports`` is how many are needed besides that of the proxy: asking again could yield one of those not yet in use.
    """
    stage = Stage(folder / "stage", say=print)
    watch = Watch(stage.home / "indexpass")
    port, *more = free_ports(1 + ports)
    password = Secret(secrets.token_urlsafe())
    watch.know(password)
    with tempfile.TemporaryDirectory() as name:
        open_folder = Path(name)
        open_folder.chmod(0o755)
        files = _write_certificate(stage.folder)
        watch.start()
        try:
            yield Site(stage, watch, ours, port, more, *files, stage.folder / "packages", open_folder, password)
        finally:
            watch.stop()
            stage.close()


def start_pypiserver(site: Site, programs: Path, words: Sequence[str], port: int) -> None:
    """Start a pypiserver with a log of all that it is told; the last word is its folder of packages."""
    Path(words[-1]).mkdir(parents=True, exist_ok=True)
    site.stage.start([programs / "pypi-server", "run", "-v", "--log-req-frmt", "%s", *words], until="Listening on")
    wait_for_port(port)  # pypiserver says that it listens a moment before it does


def start_nginx(site: Site, nginx: Path, configuration: str) -> None:
    """Start nginx with the configuration inside ``http``."""
    folder = site.stage.folder / "nginx"
    folder.mkdir()
    run_nginx(site.stage, nginx, folder, configuration)


def run_nginx(stage: Stage, nginx: Path, folder: Path, configuration: str) -> None:
    """Start nginx in this folder with the configuration inside ``http``."""
    (folder / "indexpass.conf").write_text(configuration)
    # Started by root, nginx would work as somebody who may not enter the test's folders.
    (folder / "nginx.conf").write_text(_NGINX.format(user="user root;" if _is_root() else ""))
    argv = [nginx, "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"]
    stage.start(argv, until="start worker process ")


def start_caddy(site: Site, caddy: Path, configuration: str, port: int) -> None:
    """Start Caddy with the configuration as its Caddyfile, behind the test's global options."""
    folder = site.stage.folder / "caddy"
    folder.mkdir()
    (folder / "Caddyfile").write_text(_CADDY.format(folder=folder) + configuration)
    argv = [caddy, "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"]
    site.stage.start(argv, until="serving initial configuration", environ=site.environ())
    wait_for_port(port)


def start_apache(site: Site, apache: Path, configuration: str, port: int) -> None:
    """Start Apache with the configuration among its sites."""
    (site.open_folder / "authorities.pem").write_bytes(site.authorities.read_bytes())
    (site.open_folder / "indexpass.conf").write_text(configuration)
    main = _APACHE.format(
        folder=site.open_folder,
        port=port,
        user="User www-data\nGroup www-data" if _is_root() else "",
        modules="\n".join(f"LoadModule {m}_module {_APACHE_MODULE_FOLDER}/mod_{m}.so" for m in _APACHE_MODULES),
    )
    (site.open_folder / "apache2.conf").write_text(main)
    argv = [apache, "-D", "FOREGROUND", "-f", site.open_folder / "apache2.conf"]
    site.stage.start(argv, until="resuming normal operations", environ=site.environ())
    wait_for_port(port)


def local(configuration: str, site: Site) -> str:
    """Return a printed configuration with this machine's certificate, and with addresses that nobody else reaches."""
    text = re.sub(r"/etc/ssl/[a-z0-9.]+-key\.pem", str(site.key), configuration)
    text = re.sub(r"/etc/ssl/[a-z0-9.]+\.pem", str(site.certificate), text)
    text = re.sub(r"listen (\d+ ssl)", r"listen 127.0.0.1:\1", text)
    text = text.replace("/dev/shm/indexpass", str(site.open_folder / "cache"))  # noqa: S108  # nginx's, as printed
    return re.sub(r"# tls ", "tls ", text)


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    listeners = [free_port() for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def wait_for_port(port: int) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise StageError(f"nobody listens on port {port}")


def _is_root() -> bool:
    return os.geteuid() == 0


def _write_certificate(folder: Path) -> tuple[Path, Path, Path]:
    """Write the PEM files of an authority, and of a certificate for both names of this machine with its key."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    paths = folder / "authorities.pem", folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(authority.cert_pem.bytes())
    paths[1].write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    paths[2].write_bytes(certificate.private_key_pem.bytes())
    return paths
