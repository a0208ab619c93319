"""The how-to page about nginx, carried out word by word: its settings, its configuration and its commands.

A real nginx in front of two real pypiservers asks a real broker. Only host names, ports and folders are replaced.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import shlex
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import requests
import trustme

from indexpass._demo.approve import approve
from indexpass._demo.search import found_in, search_files, search_texts
from indexpass._demo.stage import Stage, StageError
from indexpass._demo.watch import Watch
from indexpass._secret import Secret
from servers.loopback import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from conftest import Environments
    from servers.programs import FindProgram

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).resolve().parents[2] / "plugin-docs/how-to/nginx.md"
USER = "alice"
FORM = "application/x-www-form-urlencoded"
# What Debian's own nginx.conf does around the page's file, in a folder of the test's.
MAIN = """\
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


class Here(NamedTuple):
    """The page's texts, with its names replaced by those of this machine."""

    names: Mapping[str, str]

    def block(self, language: str) -> str:
        """Return the page's one block in this language."""
        return self.replaced(re.findall(rf"^```{language}\n(.*?)^```$", read_page(), re.MULTILINE | re.DOTALL)[0])

    def commands(self, program: str) -> list[list[str]]:
        """Return the page's command lines that begin so, without those first words."""
        lines = re.findall(rf"^\$ {program} (.*)$", read_page().replace("\\\n", " "), re.MULTILINE)
        assert lines, program
        return [shlex.split(self.replaced(line)) for line in lines]

    def replaced(self, text: str) -> str:
        for name, here in self.names.items():
            text = text.replace(name, here)
        return text


class Answer(NamedTuple):
    """What came back."""

    status: int
    challenges: list[str]
    location: str
    body: bytes


@dataclass
class Site:
    """All that the page sets up, and a person who is signed in."""

    stage: Stage
    watch: Watch
    ours: Path
    here: Here
    port: int
    authorities: Path
    packages: Path

    def environ(self) -> dict[str, str]:
        names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")
        return self.stage.environ(**dict.fromkeys(names, str(self.authorities)))

    def run(self, *argv: str | Path) -> str:
        return self.stage.run(argv, environ=self.environ())

    def token(self, *words: str) -> Secret:
        argv = [self.ours / "indexpass", "token", *words]  # not on the stage, which keeps what commands print
        done = subprocess.run(argv, env=self.environ(), capture_output=True, text=True, timeout=60, check=True)
        self.watch.know(secret := Secret(done.stdout.strip()))
        return secret

    def ask(
        self,
        method: str,
        path: str,
        token: Secret | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request with the path exactly as it is written here."""
        context = ssl.create_default_context(cafile=str(self.authorities))
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=30, context=context)
        bearer = {"Authorization": f"Bearer {token.reveal()}"} if token else {}
        try:
            connection.request(method, path, body=body, headers={**bearer, **(headers or {})})
            response = connection.getresponse()
            challenges = response.headers.get_all("WWW-Authenticate", [])
            return Answer(response.status, challenges, response.headers.get("Location", ""), response.read())
        finally:
            connection.close()

    def upload(self, index: str, token: Secret, name: str, content: bytes) -> requests.Response:
        return requests.post(
            f"https://localhost:{self.port}/{index}/legacy/",
            data={":action": "file_upload", "protocol_version": "1"},
            files={"content": (name, content)},
            auth=("__token__", token.reveal()),
            verify=str(self.authorities),
            timeout=60,
        )

    def assert_no_secret_is_anywhere(self) -> None:
        self.watch.stop()
        private = [self.stage.home / "indexpass" / place for place in ("credentials", "sessions")]
        known = self.watch.secrets
        assert sum(found_in(place, known) for place in private), "the search finds nothing even where secrets are"
        assert search_files(self.stage.folder, known, private=private).leaks == ()
        assert search_texts("command line", self.watch.command_lines, known).leaks == ()
        assert search_texts("environment", self.watch.environments, known).leaks == ()


@contextmanager
def make_site(
    folder: Path, nginx: Path, environments: Environments, *, without: str = "", broker_runs: bool = True
) -> Iterator[Site]:
    """Do what the page says. ``without`` are lines of nginx's configuration that are left out."""
    stage = Stage(folder / "stage", say=print)
    watch = Watch(stage.home / "indexpass")
    ours, theirs = environments(ours="[broker]"), environments("pypiserver>=2.4", "waitress")
    port, broker_port, *index_ports = free_ports(4)
    authorities, certificate, key = write_certificate(stage.folder)
    packages = stage.folder / "packages"
    here = Here(
        {
            "server_name packages.acme.example": "server_name localhost",
            "server_name tokens.acme.example": "server_name 127.0.0.1",
            "packages.acme.example": f"localhost:{port}",
            "tokens.acme.example": f"127.0.0.1:{port}",
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "/etc/ssl/acme/packages.pem": str(certificate),
            "/etc/ssl/acme/packages-key.pem": str(key),
            "/etc/ssl/acme/tokens.pem": str(certificate),
            "/etc/ssl/acme/tokens-key.pem": str(key),
            "/srv/packages": str(packages),
            "8443": str(broker_port),
            "8081": str(index_ports[0]),
            "8082": str(index_ports[1]),
        }
    )
    site = Site(stage, watch, ours, here, port, authorities, packages)
    watch.start()
    try:
        start_indexes(site, theirs, index_ports)
        start_nginx(site, nginx, without)
        if broker_runs:
            start_broker(site)
        yield site
    finally:
        watch.stop()
        stage.close()


@pytest.fixture(scope="module")
def site(
    program: FindProgram, environments: Environments, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The page's site, with acme-hello in the index acme, and alice signed in."""
    with make_site(tmp_path_factory.mktemp("nginx"), program("nginx"), environments) as made:
        hello = next(built.glob("acme_hello*"))
        (made.packages / "acme" / hello.name).write_bytes(hello.read_bytes())
        yield made


def test_pip_installs_through_nginx(site: Site, environments: Environments, tmp_path: Path) -> None:
    python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    [words] = site.here.commands("pip install --index-url")
    site.run(python, "-m", "pip", "install", "--target", tmp_path, "--index-url", *words)
    assert (tmp_path / "acme_hello.py").exists()


def test_twine_uploads_through_nginx(site: Site, environments: Environments, built: Path) -> None:
    twine = environments("twine", ours="") / "twine"
    hello = next(built.glob("acme_hello*"))
    url = f"https://localhost:{site.port}/research/legacy/"
    site.run(twine, "upload", "--non-interactive", "--disable-progress-bar", "--repository-url", url, hello)
    assert (site.packages / "research" / hello.name).read_bytes() == hello.read_bytes()


@pytest.mark.parametrize(
    ("authorization", "path"),
    [
        ({}, "/acme/simple/"),
        ({"Authorization": "Basic X190b2tlbl9fOndyb25n"}, "/acme/simple/"),
        ({}, "/acme/packages/acme_hello-1.0.0-py3-none-any.whl"),
        ({}, "/acme/"),
    ],
    ids=["no-token", "wrong-token", "file", "welcome-page"],
)
def test_without_a_right_token_the_answer_is_401_with_basic_first(
    site: Site, authorization: dict[str, str], path: str
) -> None:
    answer = site.ask("GET", path, headers=authorization)
    assert answer.status == 401
    assert answer.challenges[0].startswith("Basic ")


def test_a_token_opens_its_own_index(site: Site) -> None:
    answer = site.ask("GET", "/acme/simple/acme-hello/", site.token("acme"))
    assert answer.status == 200
    assert b'href="/acme/packages/acme_hello' in answer.body


ELSEWHERE = {
    "as-it-is": ("/research/simple/", {}),
    "file": ("/research/packages/anything-1.0.tar.gz", {}),
    "query-names-own-index": ("/research/simple/?index=acme", {}),
    "dot-segments": ("/acme/../research/simple/", {}),
    "encoded-dot-segments": ("/acme/%2e%2e/research/simple/", {}),
    "encoded-slash": ("/acme/..%2fresearch/simple/", {}),
    "double-slash": ("//research/simple/", {}),
    "x-original-uri": ("/research/simple/", {"X-Original-URI": "/acme/simple/"}),
    "x-forwarded": ("/research/simple/", {"X-Forwarded-Uri": "/acme/simple/", "X-Forwarded-Host": "localhost"}),
    "x-original-url": ("/research/simple/", {"X-Original-URL": "/acme/simple/", "X-Rewrite-URL": "/acme/simple/"}),
    "host": ("/research/simple/", {"Host": "packages.acme.example"}),
}


@pytest.mark.parametrize(("path", "headers"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_token_of_one_index_is_refused_at_the_other(site: Site, path: str, headers: dict[str, str]) -> None:
    answer = site.ask("GET", path, site.token("acme"), headers)
    assert (answer.status, answer.challenges[0][:5]) == (401, "Basic")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Original-Method": "GET"},
        {"X-Forwarded-Method": "GET"},
        {"X-HTTP-Method-Override": "GET"},
        {"X-Original-URI": "/acme/simple/", "X-Original-Method": "GET"},
    ],
    ids=["plain", "x-original-method", "x-forwarded-method", "x-http-method-override", "both"],
)
@pytest.mark.parametrize("path", ["/acme/legacy/", "/acme/", "/acme/simple/"], ids=["legacy", "root", "simple"])
def test_a_post_with_a_token_for_reading_is_refused_with_403(site: Site, path: str, headers: dict[str, str]) -> None:
    body = b":action=remove_pkg&name=acme-hello&version=1.0.0"
    answer = site.ask("POST", path, site.token("acme"), {"Content-Type": FORM, **headers}, body)
    assert answer.status == 403
    assert list((site.packages / "acme").glob("acme_hello*"))


def test_headers_that_try_to_confuse_do_not_keep_the_right_token_out(site: Site) -> None:
    headers = {"X-Original-URI": "/research/", "X-Original-Method": "POST", "X-Forwarded-Method": "POST"}
    assert site.ask("GET", "/acme/simple/", site.token("acme"), headers).status == 200


def test_a_large_upload_arrives_whole(site: Site) -> None:
    content = secrets.token_bytes(3 * 1024 * 1024)
    answer = site.upload("acme", site.token("--upload", "acme"), "acme_large-1.0.tar.gz", content)
    assert answer.status_code == 200
    assert (site.packages / "acme" / "acme_large-1.0.tar.gz").read_bytes() == content


def test_an_upload_with_a_token_for_reading_stores_nothing(site: Site) -> None:
    answer = site.upload("acme", site.token("acme"), "acme_secret-1.0.tar.gz", b"nothing")
    assert answer.status_code == 403
    assert not list((site.packages / "acme").glob("acme_secret*"))


def test_the_index_never_sees_what_the_client_showed(site: Site) -> None:
    token = site.token("acme")
    site.ask("GET", "/acme/simple/?canary", token, {"Cookie": "a=b"})
    log = "".join(path.read_text() for path in site.stage.logs.glob("*pypi-server*"))
    [seen] = [line for line in log.splitlines() if "'QUERY_STRING': 'canary'" in line]
    assert "'HTTP_HOST'" in seen  # headers stand here
    assert "HTTP_AUTHORIZATION" not in seen
    assert "HTTP_COOKIE" not in seen
    assert token.reveal() not in log


def test_redirects_of_the_index_lead_back_to_nginx(site: Site) -> None:
    answer = site.ask("GET", "/acme/simple/Acme_Hello/", site.token("acme"))
    assert (answer.status, answer.location) == (301, f"https://localhost:{site.port}/acme/simple/acme-hello/")


@pytest.mark.parametrize(
    "path", ["/_check/acme", "/", "/simple/", "/check"], ids=["question", "root", "simple", "check"]
)
def test_what_is_no_index_is_not_found(site: Site, path: str) -> None:
    assert site.ask("GET", path, site.token("acme")).status == 404


def test_the_broker_s_check_is_not_open_to_the_network(site: Site) -> None:
    host = {"Host": f"127.0.0.1:{site.port}"}
    assert site.ask("GET", "/healthz", headers=host).body == b"ok\n"
    assert site.ask("GET", "/check?index=acme", site.token("acme"), host).status == 404


def test_a_client_cannot_choose_the_address_that_the_audit_names(site: Site) -> None:
    host = {"Host": f"127.0.0.1:{site.port}", "X-Forwarded-For": "203.0.113.9", "Content-Type": FORM}
    site.ask("POST", "/oauth/token", headers=host, body=b"grant_type=refresh_token&refresh_token=canary")
    audit = "".join(path.read_text() for path in site.stage.logs.glob("*indexpass*"))
    addresses = {json.loads(line)["address"] for line in re.findall(r'\{.*"token_sha256".*\}', audit)}
    assert addresses == {"127.0.0.1"}


def test_nothing_is_let_through_while_the_broker_does_not_answer(
    tmp_path: Path, program: FindProgram, environments: Environments, site: Site
) -> None:
    token = site.token("acme")
    with make_site(tmp_path, program("nginx"), environments, broker_runs=False) as alone:
        assert alone.ask("GET", "/acme/simple/", token).status == 500


def test_a_location_that_forgets_to_ask_is_closed(
    tmp_path: Path, program: FindProgram, environments: Environments
) -> None:
    with make_site(tmp_path, program("nginx"), environments, without="auth_request /_check/acme;") as changed:
        assert changed.ask("GET", "/acme/simple/", changed.token("acme")).status == 401
        assert changed.ask("GET", "/research/simple/", changed.token("research")).status == 200


def test_no_secret_is_left_anywhere(tmp_path: Path, program: FindProgram, environments: Environments) -> None:
    with make_site(tmp_path, program("nginx"), environments) as made:
        assert made.ask("GET", "/acme/simple/", made.token("acme")).status == 200
        assert made.upload("acme", made.token("--upload", "acme"), "acme_tools-1.0.tar.gz", b"tools").ok
        made.assert_no_secret_is_anywhere()


def start_indexes(site: Site, programs: Path, ports: list[int]) -> None:
    """Start each pypiserver as the page says, with a log of all that it is told."""
    for words in site.here.commands("pypi-server run"):
        Path(words[-1]).mkdir(parents=True)
        argv = [programs / "pypi-server", "run", "-v", "--log-req-frmt", "%s", *words]
        site.stage.start(argv, until="Listening on")
    for port in ports:  # pypiserver says that it listens a moment before it does
        wait_for_port(port)


def start_nginx(site: Site, nginx: Path, without: str) -> None:
    """Start nginx with the page's configuration."""
    folder = site.stage.folder / "nginx"
    folder.mkdir()
    configuration = site.here.block("nginx")
    assert without in configuration
    (folder / "indexpass.conf").write_text(configuration.replace(without, "") if without else configuration)
    # Started by root, nginx would work as somebody who may not enter the test's folders.
    (folder / "nginx.conf").write_text(MAIN.format(user="user root;" if os.geteuid() == 0 else ""))
    argv = [nginx, "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"]
    site.stage.start(argv, until="start worker process ")


def start_broker(site: Site) -> None:
    """Make and start the broker as the page says, and sign alice in."""
    folder, indexpass, password = site.stage.folder / "broker", site.ours / "indexpass", Secret(secrets.token_urlsafe())
    site.watch.know(password)
    [words] = site.here.commands("indexpass broker init")
    site.run(indexpass, "broker", "init", *words)
    (folder / "broker.toml").write_text(site.here.block("toml"))
    [words] = site.here.commands("indexpass broker user add")
    argv = [indexpass, "broker", "user", "add", *words, "--password-stdin"]
    site.stage.run(argv, environ=site.environ(), typed=f"{password.reveal()}\n")
    [words] = site.here.commands("indexpass broker serve")
    site.stage.start([indexpass, "broker", "serve", *words], until="is ready", environ=site.environ())
    for words in site.here.commands("indexpass add"):
        site.run(indexpass, "add", *words, "--yes")
    [words] = site.here.commands("indexpass login")
    argv = [indexpass, "login", "--device", *words]
    url = site.stage.start(argv, until="Open http", environ=site.environ()).split()[1]
    approve(url, user=USER, password=password, authorities=site.authorities)
    site.stage.wait()


def read_page() -> str:
    return PAGE.read_text(encoding="utf-8")


def free_ports(count: int) -> list[int]:
    listeners = [free_port() for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise StageError(f"nobody listens on port {port}")


def write_certificate(folder: Path) -> tuple[Path, Path, Path]:
    """Write the PEM files of an authority, and of a certificate for both names with its key."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    paths = folder / "authorities.pem", folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(authority.cert_pem.bytes())
    paths[1].write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    paths[2].write_bytes(certificate.private_key_pem.bytes())
    return paths
