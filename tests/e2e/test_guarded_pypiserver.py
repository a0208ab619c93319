"""The how-to page about pypiserver's ``auther``, carried out: a real pypiserver checks real tokens itself, over TLS.

Only host names, ports and folders are replaced. The broker speaks TLS itself, too: there is no proxy anywhere.
"""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from servers.guarded import Answer, Site, make_site, wait_for_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Environments
    from indexpass._secret import Secret

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).resolve().parents[2] / "plugin-docs/how-to/pypiserver.md"
BRIEF_SECONDS = 6
SETTINGS = """
issuer = "https://127.0.0.1:{port}"
listen = "127.0.0.1:{port}"
tls-certificate = "{site.certificate}"
tls-key = "{site.key}"

[[index]]
name = "acme"
url = "https://localhost:{index_port}/simple/"
upload-url = "https://localhost:{index_port}/"
read-lifetime = "{seconds}s"

[[index]]
name = "other"
url = "https://localhost:{index_port}/other/simple/"

[[policy]]
name = "acme"
index = "acme"
operations = ["read", "upload"]
users = ["*"]

[[policy]]
name = "other"
index = "other"
operations = ["read"]
users = ["*"]
"""


@pytest.fixture(scope="module")
def site(environments: Environments, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page's index with acme-hello in it, a broker, and alice signed in; ``more_ports`` has the index's port."""
    programs = environments("gunicorn", ours="[broker]")
    with make_site(tmp_path_factory.mktemp("auther"), programs, ports=1) as made:
        start_broker(made)
        shelf = made.packages / "acme"
        shelf.mkdir(parents=True)
        hello = next(built.glob("acme_hello*.whl"))
        (shelf / hello.name).write_bytes(hello.read_bytes())
        start_index(made)
        [words] = commands(made, "indexpass add")
        made.indexpass("add", *words, "--yes")
        url = f"https://localhost:{made.more_ports[0]}/other/simple/"
        made.indexpass("add", url, "--name", "other", "--broker", f"https://127.0.0.1:{made.port}", "--yes")
        [words] = commands(made, "indexpass login")
        made.sign_in(*words)
        yield made


def test_pip_installs(site: Site, environments: Environments, tmp_path: Path) -> None:
    python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    [words] = commands(site, "pip install --index-url")
    site.run(python, "-m", "pip", "install", "--no-cache-dir", "--target", tmp_path, "--index-url", *words)
    assert (tmp_path / "acme_hello.py").exists()


def test_twine_uploads(site: Site, environments: Environments, built: Path) -> None:
    twine = environments("twine", ours="") / "twine"
    slow = next(built.glob("acme_slow*.tar.gz"))
    url = f"https://localhost:{site.more_ports[0]}/"
    site.run(twine, "upload", "--non-interactive", "--disable-progress-bar", "--repository-url", url, slow)
    assert (site.packages / "acme" / slow.name).read_bytes() == slow.read_bytes()


def test_no_token_and_one_of_another_index_are_401_with_basic_first(site: Site) -> None:
    for token in (None, site.token("other")):
        answer = ask(site, "/simple/", token)
        assert (answer.status, answer.challenges[0][:5]) == (401, "Basic")


def test_an_expired_token_is_401(site: Site) -> None:
    token = site.token("acme")
    assert ask(site, "/simple/", token).status == 200
    deadline = time.monotonic() + 2 * BRIEF_SECONDS
    while ask(site, "/simple/", token).status != 401:
        assert time.monotonic() < deadline, "the token still opens the index"
        time.sleep(0.2)


def test_a_token_for_reading_removes_nothing(site: Site) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b":action=remove_pkg&name=acme-hello&version=1.0.0"
    assert site.ask("POST", "/", site.token("acme"), form, body, port=site.more_ports[0]).status == 403
    assert list((site.packages / "acme").glob("acme_hello*"))


def ask(site: Site, path: str, token: Secret | None) -> Answer:
    return site.ask("GET", path, token, port=site.more_ports[0])


def start_broker(site: Site) -> None:
    folder, [index_port] = site.stage.folder / "broker", site.more_ports
    site.indexpass("broker", "init", folder, "--issuer", f"https://127.0.0.1:{site.port}", "--index-name", "acme")
    settings = SETTINGS.format(site=site, port=site.port, index_port=index_port, seconds=BRIEF_SECONDS)
    (folder / "broker.toml").write_text(settings)
    site.add_person(folder)
    argv = [site.ours / "indexpass", "broker", "serve", folder]
    site.stage.start(argv, until="is ready", environ=site.environ())


def start_index(site: Site) -> None:
    """Start the page's program by the page's command, in the folder that the stage's commands run in."""
    [program] = re.findall(r"^```python\n(.*?)^```$", read_page(), re.MULTILINE | re.DOTALL)
    (site.stage.folder / "index.py").write_text(replaced(site, program))
    [words] = commands(site, "gunicorn")
    site.stage.start([site.ours / "gunicorn", *words], until="Booting worker", environ=site.environ())
    wait_for_port(site.more_ports[0])


def commands(site: Site, program: str) -> list[list[str]]:
    """Return the page's command lines that begin so, without those first words."""
    lines = re.findall(rf"^\$ {program} (.*)$", read_page().replace("\\\n", " "), re.MULTILINE)
    assert lines, program
    return [shlex.split(replaced(site, line)) for line in lines]


def replaced(site: Site, text: str) -> str:
    """Return a text of the page with its names replaced by those of this machine."""
    names = {
        "/etc/ssl/packages.acme.example.pem": str(site.certificate),
        "/etc/ssl/packages.acme.example-key.pem": str(site.key),
        "0.0.0.0:443": f"127.0.0.1:{site.more_ports[0]}",
        "packages.acme.example": f"localhost:{site.more_ports[0]}",
        "tokens.acme.example": f"127.0.0.1:{site.port}",
        "/srv/packages": str(site.packages),
    }
    for name, here in names.items():
        text = text.replace(name, here)
    return text


def read_page() -> str:
    return PAGE.read_text(encoding="utf-8")
