"""The how-to page about nginx, carried out word by word: its settings, its configuration and its commands.

A real nginx in front of two real pypiservers asks a real broker. Only host names, ports and folders are replaced.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from servers.guarded import USER, Site, local, make_site, start_nginx, start_pypiserver

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from conftest import Environments
    from servers.programs import FindProgram

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).resolve().parents[2] / "plugin-docs/how-to/nginx.md"
FORM = "application/x-www-form-urlencoded"


class Here(NamedTuple):
    """The page's texts, with its names replaced by those of this machine."""

    site: Site
    names: Mapping[str, str]

    @classmethod
    def of(cls, site: Site) -> Here:
        broker_port, *index_ports = site.more_ports
        names = {
            "server_name packages.acme.example": "server_name localhost",
            "server_name tokens.acme.example": "server_name 127.0.0.1",
            "packages.acme.example": f"localhost:{site.port}",
            "tokens.acme.example": f"127.0.0.1:{site.port}",
            "127.0.0.1:443 ssl": f"127.0.0.1:{site.port} ssl",
            "/srv/packages": str(site.packages),
            "8443": str(broker_port),
            "8081": str(index_ports[0]),
            "8082": str(index_ports[1]),
        }
        return cls(site, names)

    def block(self, language: str) -> str:
        """Return the page's one block in this language."""
        found = re.findall(rf"^```{language}\n(.*?)^```$", read_page(), re.MULTILINE | re.DOTALL)[0]
        return self.replaced(local(found, self.site))

    def commands(self, program: str) -> list[list[str]]:
        """Return the page's command lines that begin so, without those first words."""
        lines = re.findall(rf"^\$ {program} (.*)$", read_page().replace("\\\n", " "), re.MULTILINE)
        assert lines, program
        return [shlex.split(self.replaced(line)) for line in lines]

    def replaced(self, text: str) -> str:
        for name, here in self.names.items():
            text = text.replace(name, here)
        return text


@contextmanager
def follow_the_page(
    folder: Path, nginx: Path, environments: Environments, *, without: str = "", broker_runs: bool = True
) -> Iterator[Site]:
    """Do what the page says. ``without`` are lines of nginx's configuration that are left out."""
    ours, theirs = environments(ours="[broker]"), environments("pypiserver>=2.4", "waitress")
    with make_site(folder, ours, ports=3) as site:
        here = Here.of(site)
        for words, port in zip(here.commands("pypi-server run"), site.more_ports[1:], strict=True):
            start_pypiserver(site, theirs, words, port)
        configuration = here.block("nginx")
        assert without in configuration
        start_nginx(site, nginx, configuration.replace(without, "") if without else configuration)
        if broker_runs:
            start_broker(site, here)
        yield site


@pytest.fixture(scope="module")
def site(
    program: FindProgram, environments: Environments, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The page's site, with acme-hello in the index acme, and alice signed in."""
    with follow_the_page(tmp_path_factory.mktemp("nginx"), program("nginx"), environments) as made:
        hello = next(built.glob("acme_hello*"))
        (made.packages / "acme" / hello.name).write_bytes(hello.read_bytes())
        yield made


def test_pip_installs_through_nginx(site: Site, environments: Environments, tmp_path: Path) -> None:
    python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    [words] = Here.of(site).commands("pip install --index-url")
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
    log = site.logs("pypi-server")
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
    audit = site.logs("indexpass")
    addresses = {json.loads(line)["address"] for line in re.findall(r'\{.*"token_sha256".*\}', audit)}
    assert addresses == {"127.0.0.1"}


def test_nothing_is_let_through_while_the_broker_does_not_answer(
    tmp_path: Path, program: FindProgram, environments: Environments, site: Site
) -> None:
    token = site.token("acme")
    with follow_the_page(tmp_path, program("nginx"), environments, broker_runs=False) as alone:
        assert alone.ask("GET", "/acme/simple/", token).status == 500


def test_a_location_that_forgets_to_ask_is_closed(
    tmp_path: Path, program: FindProgram, environments: Environments
) -> None:
    with follow_the_page(tmp_path, program("nginx"), environments, without="auth_request /_check/acme;") as changed:
        assert changed.ask("GET", "/acme/simple/", changed.token("acme")).status == 401
        assert changed.ask("GET", "/research/simple/", changed.token("research")).status == 200


def test_no_secret_is_left_anywhere(tmp_path: Path, program: FindProgram, environments: Environments) -> None:
    with follow_the_page(tmp_path, program("nginx"), environments) as made:
        assert made.ask("GET", "/acme/simple/", made.token("acme")).status == 200
        assert made.upload("acme", made.token("--upload", "acme"), "acme_tools-1.0.tar.gz", b"tools").ok
        made.assert_no_secret_is_anywhere()


def start_broker(site: Site, here: Here) -> None:
    """Make and start the broker as the page says, and sign alice in."""
    folder = site.stage.folder / "broker"
    [words] = here.commands("indexpass broker init")
    site.indexpass("broker", "init", *words)
    (folder / "broker.toml").write_text(here.block("toml"))
    [[name, broker]] = here.commands("indexpass broker user add")
    assert name == USER
    site.add_person(broker)
    [words] = here.commands("indexpass broker serve")
    argv = [site.ours / "indexpass", "broker", "serve", *words]
    site.stage.start(argv, until="is ready", environ=site.environ())
    for words in here.commands("indexpass add"):
        site.indexpass("add", *words, "--yes")
    [words] = here.commands("indexpass login")
    site.sign_in(*words)


def read_page() -> str:
    return PAGE.read_text(encoding="utf-8")
