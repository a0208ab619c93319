"""What ``indexpass broker snippet`` prints is carried out: real nginx, Caddy and Apache in front of real pypiservers.

Of what is printed only addresses and the files of the certificate are replaced. The three proxies stand side by side in
front of the same indexes; nginx keeps what the broker answered, as ``--cache`` has it. Traefik is in none of the
registries that the tests reach; see ``test_snippet_command.py``.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from indexpass._demo.stage import StageError
from servers.guarded import (
    Site,
    local,
    make_site,
    start_apache,
    start_caddy,
    start_nginx,
    start_pypiserver,
    wait_for_port,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Environments
    from indexpass._secret import Secret
    from servers.guarded import Answer
    from servers.programs import FindProgram

pytestmark = pytest.mark.e2e

BRIEF_SECONDS = 6
INDEXES = ("acme", "research", "brief")  # research: for alice only the project acme-hello; brief: short-lived tokens
SETTINGS = """\
issuer = "https://127.0.0.1:{port}"
listen = "127.0.0.1:{broker_port}"

[[index]]
name = "acme"
url = "https://localhost:{port}/acme/simple/"
upload-url = "https://localhost:{port}/acme/legacy/"

[[index]]
name = "research"
url = "https://localhost:{port}/research/simple/"
upload-url = "https://localhost:{port}/research/legacy/"

[[index]]
name = "brief"
url = "https://localhost:{port}/brief/simple/"
read-lifetime = "{seconds}s"

[[policy]]
name = "alice"
index = "acme"
operations = ["read", "upload"]
users = ["alice"]

[[policy]]
name = "one-project"
index = "research"
operations = ["read", "upload"]
users = ["alice"]
projects = ["acme-hello"]

[[policy]]
name = "briefly"
index = "brief"
operations = ["read"]
users = ["*"]
"""
SECRET = b"the content of another project"


class Guarded(NamedTuple):
    """One of the proxies, and what it stands in front of."""

    name: str
    port: int
    site: Site

    def ask(self, method: str, path: str, token: Secret | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.site.ask(method, path, token, named, port=self.port)


@pytest.fixture(scope="module")
def proxies(
    program: FindProgram, environments: Environments, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Guarded]]:
    """The three proxies in front of three indexes, and alice signed in."""
    programs = {name: program(name) for name in ("nginx", "caddy", "apache2")}
    ours, theirs = environments(ours="[broker]"), environments("pypiserver>=2.4", "waitress")
    with make_site(tmp_path_factory.mktemp("snippets"), ours, ports=3 + len(INDEXES)) as site:
        caddy_port, apache_port, broker_port, *index_ports = site.more_ports
        folder = site.stage.folder / "broker"
        site.indexpass("broker", "init", folder, "--issuer", f"https://127.0.0.1:{site.port}", "--index-name", "acme")
        values = {"port": site.port, "broker_port": broker_port, "seconds": BRIEF_SECONDS}
        (folder / "broker.toml").write_text(SETTINGS.format(**values))
        for name, port in zip(INDEXES, index_ports, strict=True):
            words = ("--host", "127.0.0.1", "--port", str(port), "--server-base-url", f"/{name}/")
            shelf = site.packages / name
            start_pypiserver(site, theirs, (*words, "-P", ".", "-a", ".", "--disable-fallback", str(shelf)), port)
            for file in built.iterdir():
                (shelf / file.name).write_bytes(file.read_bytes())
            (shelf / "secret-1.0.tar.gz").write_bytes(SECRET)

        upstreams = [f"--upstream={n}=http://127.0.0.1:{port}" for n, port in zip(INDEXES, index_ports, strict=True)]

        def printed(*words: str) -> str:
            return local(site.indexpass("broker", "snippet", *words, folder, *upstreams), site)

        start_nginx(site, programs["nginx"], printed("nginx", "--cache"))
        site.add_person(folder)
        site.stage.start([ours / "indexpass", "broker", "serve", folder], until="is ready", environ=site.environ())
        wait_for_port(broker_port)
        caddyfile = printed("caddy").replace(f":{site.port}", f":{caddy_port}")
        start_caddy(site, programs["caddy"], caddyfile, caddy_port)
        apache = printed("apache").replace(f"<VirtualHost *:{site.port}>", f"<VirtualHost *:{apache_port}>")
        start_apache(site, programs["apache2"], apache, apache_port)
        for name in INDEXES:
            url = f"https://localhost:{site.port}/{name}"
            words = ("--name", name, "--broker", f"https://127.0.0.1:{site.port}", "--yes")
            site.indexpass("add", f"{url}/simple/", "--upload-url", f"{url}/legacy/", *words)
        site.sign_in("acme")
        yield {
            "nginx": Guarded("nginx", site.port, site),
            "caddy": Guarded("caddy", caddy_port, site),
            "apache": Guarded("apache", apache_port, site),
        }


@pytest.fixture(params=["nginx", "caddy", "apache"])
def proxy(request: pytest.FixtureRequest, proxies: dict[str, Guarded]) -> Guarded:
    """Each of the proxies."""
    return proxies[request.param]


@pytest.fixture(params=["nginx", "caddy"])
def asking(request: pytest.FixtureRequest, proxies: dict[str, Guarded]) -> Guarded:
    """Each of the proxies that ask the broker about every request."""
    return proxies[request.param]


@pytest.fixture(scope="module")
def read_token(proxies: dict[str, Guarded]) -> Secret:
    return proxies["nginx"].site.token("acme")


@pytest.fixture(scope="module")
def bound_token(proxies: dict[str, Guarded]) -> Secret:
    return proxies["nginx"].site.token("research")


@pytest.mark.parametrize("path", ["/acme/", "/acme/simple/", "/acme/packages/secret-1.0.tar.gz", "/acme/legacy/"])
def test_without_a_token_the_answer_is_401_with_basic_first(proxy: Guarded, path: str) -> None:
    for headers in ({}, {"Authorization": "Basic X190b2tlbl9fOndyb25n"}):
        answer = proxy.ask("GET", path, **headers)
        assert (answer.status, answer.challenges[0][:5]) == (401, "Basic")
        assert SECRET not in answer.body


def test_a_token_opens_its_own_index(proxy: Guarded, read_token: Secret) -> None:
    page = proxy.ask("GET", "/acme/simple/secret/", read_token)
    assert (page.status, b'href="/acme/packages/secret-1.0.tar.gz#' in page.body) == (200, True)
    assert proxy.ask("GET", "/acme/packages/secret-1.0.tar.gz", read_token).body == SECRET


@pytest.mark.parametrize(
    "path",
    [
        "/research/simple/",
        "/research/packages/secret-1.0.tar.gz",
        "/research/packages/secret-1.0.tar.gz?index=acme",
        "/acme/../research/packages/secret-1.0.tar.gz",
        "/acme/%2e%2e/research/packages/secret-1.0.tar.gz",
        "/acme/..%2fresearch/packages/secret-1.0.tar.gz",
        "//research/packages/secret-1.0.tar.gz",
    ],
)
def test_a_token_of_one_index_does_not_open_the_other(proxy: Guarded, read_token: Secret, path: str) -> None:
    headers = {"X_Original_URI": "/acme/simple/", "X_Forwarded_Uri": "/acme/simple/", "X_Forwarded_Method": "GET"}
    for more in ({}, headers):
        answer = proxy.ask("GET", path, read_token, **more)
        assert answer.status in {401, 403, 404}
        assert SECRET not in answer.body


@pytest.mark.parametrize("path", ["/", "/simple/", "/check", "/_check/acme"])
def test_what_is_no_index_is_not_shown(proxy: Guarded, read_token: Secret, path: str) -> None:
    assert proxy.ask("GET", path, read_token).status in {403, 404}


def test_the_question_is_not_open_to_the_network(proxy: Guarded, read_token: Secret) -> None:
    host = f"127.0.0.1:{proxy.port}"
    assert proxy.ask("GET", "/jwks.json", Host=host).status == 200
    answer = proxy.ask("GET", "/check?index=acme", read_token, Host=host)
    assert answer.status in {403, 404}
    assert answer.challenges == []  # the broker's own 403 has one


@pytest.mark.parametrize("path", ["/acme/legacy/", "/acme/", "/acme/simple/"])
def test_a_token_for_reading_sends_nothing(proxy: Guarded, read_token: Secret, path: str) -> None:
    body = b":action=remove_pkg&name=secret&version=1.0"
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-HTTP-Method-Override": "GET"}
    said = {"X-Original-Method": "GET", "X-Forwarded-Method": "GET"}
    answer = proxy.site.ask("POST", path, read_token, {**headers, **said}, body, port=proxy.port)
    assert answer.status in {401, 403}
    assert (proxy.site.packages / "acme" / "secret-1.0.tar.gz").exists()


def test_a_large_upload_arrives_whole(proxy: Guarded) -> None:
    content, name = secrets.token_bytes(3 * 1024 * 1024), f"{proxy.name}_large-1.0.tar.gz"
    answer = proxy.site.upload("acme", proxy.site.token("--upload", "acme"), name, content, port=proxy.port)
    assert answer.status_code == 200
    assert (proxy.site.packages / "acme" / name).read_bytes() == content


def test_the_index_never_sees_what_the_client_showed(proxy: Guarded, read_token: Secret) -> None:
    told = {"Cookie": "a=b", "X_Forwarded_User": "root", "X_Original_URI": "/", "X_HTTP_Method_Override": "DELETE"}
    assert proxy.ask("GET", f"/acme/simple/?from-{proxy.name}", read_token, **told).status == 200
    log = proxy.site.logs("pypi-server")
    [seen] = [line for line in log.splitlines() if f"'QUERY_STRING': 'from-{proxy.name}'" in line]
    assert "'HTTP_HOST'" in seen  # headers stand here
    for header in ("AUTHORIZATION", "COOKIE", "X_FORWARDED_USER", "X_ORIGINAL_URI", "X_HTTP_METHOD_OVERRIDE"):
        assert f"HTTP_{header}'" not in seen
    assert read_token.reveal() not in log


def test_a_token_for_one_project_opens_its_page_and_its_files(asking: Guarded, bound_token: Secret) -> None:
    [file] = (asking.site.packages / "research").glob("acme_hello*.whl")
    assert asking.ask("GET", "/research/simple/acme-hello/", bound_token).status == 200
    assert asking.ask("GET", "/research/simple/Acme_Hello/", bound_token).status == 301
    assert asking.ask("GET", f"/research/packages/{file.name}", bound_token).body == file.read_bytes()


OTHER_PROJECTS = {
    "all": "/research/simple/",
    "all files": "/research/packages/",
    "page": "/research/simple/secret/",
    "json": "/research/secret/json",
    "file": "/research/packages/secret-1.0.tar.gz",
    "spelling": "/research/packages/SECRET-1.0.tar.gz",
    "escaped letters": "/research/packages/%73ecret-1.0.tar.gz",
    "dot segments": "/research/simple/acme-hello/../../packages/secret-1.0.tar.gz",
    "file and dot segments": "/research/packages/acme_hello-1.0.tar.gz/../secret-1.0.tar.gz",
    "escaped dot segments": "/research/packages/acme_hello-1.0.tar.gz/%2e%2e/secret-1.0.tar.gz",
    "escaped slash": "/research/packages/acme_hello-1.0.tar.gz/..%2fsecret-1.0.tar.gz",
    "dot segments after": "/research/packages/secret-1.0.tar.gz/x/../../secret-1.0.tar.gz?/acme_hello-1.0.tar.gz",
    "empty segment": "/research/packages//secret-1.0.tar.gz",
    "parameter": "/research/packages/secret-1.0.tar.gz;/acme_hello-1.0.tar.gz",
    "query": "/research/packages/secret-1.0.tar.gz?/acme_hello-1.0.tar.gz",
    "escaped query": "/research/packages/secret-1.0.tar.gz%3f/acme_hello-1.0.tar.gz",
    "fragment": "/research/packages/secret-1.0.tar.gz#/acme_hello-1.0.tar.gz",
    "escaped fragment": "/research/packages/secret-1.0.tar.gz%23/acme_hello-1.0.tar.gz",
    "folder": "/research/packages/secret-1.0.tar.gz/acme_hello-1.0.tar.gz",
}


@pytest.mark.parametrize("path", OTHER_PROJECTS.values(), ids=OTHER_PROJECTS)
def test_a_token_for_one_project_shows_no_other_one(asking: Guarded, bound_token: Secret, path: str) -> None:
    said = {"X_Original_URI": "/research/simple/acme-hello/", "X_Forwarded_Uri": "/research/simple/acme-hello/"}
    for more in ({}, said):
        answer = asking.ask("GET", path, bound_token, **more)
        assert answer.status in {400, 403, 404}
        assert SECRET not in answer.body
        assert b"secret" not in answer.body


def test_nginx_keeps_each_yes(proxies: dict[str, Guarded], read_token: Secret) -> None:
    assert proxies["nginx"].ask("GET", "/acme/simple/", read_token).status == 200
    assert [file for file in (proxies["nginx"].site.open_folder / "cache").rglob("*") if file.is_file()]


def test_apache_refuses_a_token_for_one_project(proxies: dict[str, Guarded], bound_token: Secret) -> None:
    for path in ("/research/simple/acme-hello/", "/research/simple/", "/research/packages/secret-1.0.tar.gz"):
        answer = proxies["apache"].ask("GET", path, bound_token)
        assert answer.status == 401
        assert SECRET not in answer.body


def test_an_upload_token_for_one_project_is_refused_where_only_the_form_names_it(asking: Guarded) -> None:
    token = asking.site.token("--upload", "research")
    for name in ("acme_hello-9.0.tar.gz", "secret-9.0.tar.gz"):
        assert asking.site.upload("research", token, name, b"x", port=asking.port).status_code == 403
        assert not (asking.site.packages / "research" / name).exists()


def test_pip_installs(proxy: Guarded, environments: Environments, read_token: Secret, tmp_path: Path) -> None:
    python = environments("pip", "poetry-core>=2.0") / "python"
    index = f"https://__token__:{read_token.reveal()}@localhost:{proxy.port}/acme/simple/"
    argv = [python, "-m", "pip", "install", "--no-cache-dir", "--target", tmp_path, "acme-hello"]
    proxy.site.stage.run(argv, environ=proxy.site.environ(PIP_INDEX_URL=index), show=False)
    assert (tmp_path / "acme_hello.py").exists()


def test_an_expired_token_is_refused_with_401(proxies: dict[str, Guarded]) -> None:
    asked = list(proxies.values())
    token = asked[0].site.token("brief")
    assert [each.ask("GET", "/brief/simple/", token).status for each in asked] == [200, 200, 200]
    wait_until_refused(asked, "/brief/simple/", token)


def test_pip_goes_on_when_its_token_expires_in_mid_install(
    proxies: dict[str, Guarded], environments: Environments, tmp_path: Path
) -> None:
    site = proxies["nginx"].site
    python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    before = minted(site, "brief")
    words = ("--index-url", f"https://localhost:{site.port}/brief/simple/", "--target", tmp_path, "acme-slow")
    site.run(python, "-m", "pip", "install", "--no-build-isolation", "--no-cache-dir", *words)
    assert (tmp_path / "acme_hello.py").exists()  # what acme-slow asks for once it was built, longer than a token lives
    assert minted(site, "brief") - before == 2


def test_uv_installs(proxies: dict[str, Guarded], environments: Environments, tmp_path: Path) -> None:
    site = proxies["nginx"].site
    uv, venv = environments("uv") / "uv", tmp_path / "venv"
    site.run(uv, "venv", "--no-project", venv)
    url = f"https://__token__@localhost:{site.port}/acme/simple/"  # with a user name uv asks keyring
    words = ("--python", venv, "--no-cache", "--keyring-provider", "subprocess", "--default-index", url)
    site.run(uv, "pip", "install", *words, "acme-hello", path=(site.ours,))
    assert list(venv.rglob("acme_hello.py"))


def test_uv_publishes(proxies: dict[str, Guarded], environments: Environments, built: Path) -> None:
    site = proxies["nginx"].site
    uv, [wheel] = environments("uv") / "uv", built.glob("acme_hello*.whl")
    shelved = site.packages / "acme" / wheel.name
    shelved.unlink()
    site.run(
        *(uv, "publish", "--publish-url", f"https://localhost:{site.port}/acme/legacy/"),
        *("--trusted-publishing", "never", "--keyring-provider", "subprocess", "--username", "__token__", wheel),
        path=(site.ours,),
    )
    assert shelved.read_bytes() == wheel.read_bytes()


def test_poetry_adds_what_its_token_is_for(
    proxies: dict[str, Guarded], environments: Environments, tmp_path: Path
) -> None:
    site, project = proxies["nginx"].site, tmp_path / "project"
    poetry = environments("poetry>=2.0", ours="") / "poetry"
    site.run(poetry, "new", "--no-interaction", project)
    url = f"https://localhost:{site.port}/research/simple/"
    site.run(poetry, "source", "add", "--priority", "explicit", "research", url, cwd=project)
    site.run(poetry, "add", "--no-interaction", "--source", "research", "acme-hello", cwd=project)
    assert "acme-hello" in (project / "poetry.lock").read_text()
    with pytest.raises(StageError, match=r"403|forbids reading"):
        site.run(poetry, "add", "--no-interaction", "--source", "research", "secret", cwd=project)


def test_a_revoked_token_is_refused_within_ten_seconds(proxies: dict[str, Guarded]) -> None:
    # The last of the tests, for whoever still holds the token finds it refused.
    site = proxies["nginx"].site
    token = site.token("acme")
    asked = [proxies["nginx"], proxies["caddy"]]
    assert [each.ask("GET", "/acme/simple/", token).status for each in asked] == [200, 200]
    site.revoke(token)
    wait_until_refused(asked, "/acme/simple/", token)


def wait_until_refused(proxies: list[Guarded], path: str, token: Secret) -> None:
    """Wait until each of the proxies answers 401; ten seconds, no longer."""
    deadline = time.monotonic() + 10
    while any(proxy.ask("GET", path, token).status != 401 for proxy in proxies):
        assert time.monotonic() < deadline, "the token still opens an index"
        time.sleep(0.2)


def minted(site: Site, index: str) -> int:
    """How many tokens for the index the broker has minted."""
    lines = re.findall(r'\{.*"token_sha256".*\}', site.logs("indexpass"))
    return sum((entry["index"], entry["result"]) == (index, "granted") for entry in map(json.loads, lines))
