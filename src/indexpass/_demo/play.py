"""The story of the demonstration, from an empty folder to a private package in the hands of pip, uv and Poetry.

Read :func:`perform` from top to bottom: that is what happens, in this order, with the real programs.
"""

from __future__ import annotations

import secrets
import socket
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexpass._demo import packages
from indexpass._demo.approve import approve
from indexpass._demo.environments import find_uv, run_uv
from indexpass._demo.evidence import expect_minted
from indexpass._secret import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from indexpass._demo.environments import Programs
    from indexpass._demo.stage import Stage
    from indexpass._demo.watch import Watch

USER = "alice"
BRIEF_SECONDS = 6  # shorter than acme-slow takes to build
_SECOND_INDEX = """
# A second index over the same packages, whose tokens live only for seconds: it shows the renewal in mid-run.
[[index]]
name = "brief"
url = "{issuer}/brief/simple/"
read-lifetime = "{seconds}s"

[[policy]]
name = "brief-for-everybody"
index = "brief"
operations = ["read"]
users = ["*"]
"""

_USUAL_SOURCE = """\
[[tool.poetry.source]]
name = "usual"
url = "{url}"
priority = "primary"
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """What stands once the curtain is up: the programs, and where the broker's indexes are."""

    stage: Stage
    programs: Programs
    watch: Watch
    issuer: str

    @property
    def index(self) -> str:
        """The URL of the index with tokens of the usual life."""
        return f"{self.issuer}/simple/"

    @property
    def brief_index(self) -> str:
        """The URL of the index with tokens that live for seconds."""
        return f"{self.issuer}/brief/simple/"

    @property
    def indexpass(self) -> Path:
        """The indexpass command."""
        return self.programs.ours / "indexpass"


def perform(stage: Stage, programs: Programs, watch: Watch) -> Scene:
    """Tell the whole story. Raises StageError where a step does not do what it should."""
    scene = Scene(stage, programs, watch, issuer=f"http://127.0.0.1:{_free_port()}")
    password = Secret(secrets.token_urlsafe(16))
    watch.know(password)
    _open_a_broker(scene, password)
    _sign_in(scene, password)
    _publish_with_uv(scene)
    _install_with_pip(scene)
    _outlive_a_token(scene)
    _add_with_poetry(scene)
    _publish_with_poetry(scene)
    return scene


def _open_a_broker(scene: Scene, password: Secret) -> None:
    stage, broker = scene.stage, scene.stage.folder / "broker"
    stage.title("A broker with a private index, and a local user")
    stage.run([scene.indexpass, "broker", "init", broker, "--issuer", scene.issuer, "--index-name", "acme"])
    with (broker / "broker.toml").open("a", encoding="utf-8") as settings:
        settings.write(_SECOND_INDEX.format(issuer=scene.issuer, seconds=BRIEF_SECONDS))
    stage.run(
        [scene.indexpass, "broker", "user", "add", USER, broker, "--password-stdin"],
        typed=password.reveal() + "\n",  # through a pipe: never in a command line
    )
    shelf = stage.folder / "packages"
    (shelf / "acme").mkdir(parents=True)
    (shelf / "brief").symlink_to("acme")
    serve: list[str | Path] = [scene.indexpass, "broker", "serve", broker, "--packages", shelf, "--access-log"]
    stage.say(f"  {stage.start(serve, until=scene.issuer)}")


def _sign_in(scene: Scene, password: Secret) -> None:
    stage = scene.stage
    stage.title("Configure the indexes, and sign in once")
    for name, url in (("acme", scene.index), ("brief", scene.brief_index)):
        stage.run([scene.indexpass, "add", url, "--name", name, "--yes"])
    line = stage.start([scene.indexpass, "login", "--device", "acme"], until="Open http")
    stage.say("  (the demonstration opens the page, signs in as alice, and presses Approve)")
    approve(line.split()[1], user=USER, password=password)
    stage.wait()
    stage.run([scene.indexpass, "status"])


def _publish_with_uv(scene: Scene) -> None:
    stage = scene.stage
    stage.title("uv publishes a private package, with a credential for uploading only")
    sources = stage.folder / "sources"
    built = stage.folder / "built"
    stage.say("  building acme-hello and acme-slow …")
    run_uv("build", "--quiet", "--wheel", "--out-dir", built, packages.write_hello(sources))
    run_uv("build", "--quiet", "--sdist", "--out-dir", built, packages.write_slow(sources))
    for file in sorted(built.glob("acme*")):
        stage.run(
            [
                *(find_uv(), "publish", "--publish-url", f"{scene.issuer}/legacy/"),
                *("--keyring-provider", "subprocess", "--username", "__token__", "--trusted-publishing", "never"),
                file,
            ],
            environ=stage.environ(path=[scene.programs.ours]),
        )


def _install_with_pip(scene: Scene) -> None:
    stage, programs = scene.stage, scene.programs
    stage.title("pip install, keyring in pip's own environment (import mode)")
    install = ("-m", "pip", "install", "--index-url", scene.index)
    stage.run([programs.pip_with_keyring / "python", *install, packages.HELLO])
    stage.title("pip install, keyring found on PATH (subprocess mode)")
    stage.run(
        [programs.pip_alone / "python", *install, "--keyring-provider", "subprocess", packages.HELLO],
        environ=stage.environ(path=[programs.ours]),
    )
    expect_minted(stage, index="acme", operation="read", exactly=1, why="one token served both")


def _outlive_a_token(scene: Scene) -> None:
    stage, programs = scene.stage, scene.programs
    stage.title(f"A token of {BRIEF_SECONDS} s expires in mid-run: acme-slow takes {packages.BUILD_SECONDS} s to build")
    stage.run([programs.pip_with_keyring / "python", "-m", "pip", "uninstall", "--yes", packages.HELLO], show=False)
    stage.run(
        [
            *(programs.pip_with_keyring / "python", "-m", "pip", "install", "--index-url", scene.brief_index),
            *("--no-build-isolation", "--no-cache-dir", packages.SLOW),
        ]
    )
    expect_minted(stage, index="brief", operation="read", exactly=2, why="pip was given a new one in mid-run")


def _add_with_poetry(scene: Scene) -> None:
    stage, programs = scene.stage, scene.programs
    stage.title("The plugin in Poetry's own environment, and poetry add")
    poetry, environ = programs.poetry / "poetry", _poetry_environ(scene)
    # With keyring off, nothing but the plugin can sign Poetry's requests.
    stage.run([poetry, "config", "keyring.enabled", "false"], environ=environ)
    if programs.usual_index:
        own_project = stage.home / "poetry-config" / "pyproject.toml"
        own_project.write_text(_USUAL_SOURCE.format(url=programs.usual_index), encoding="utf-8")
    stage.run([poetry, "self", "add", "--no-interaction", programs.requirement], environ=environ)
    project = stage.folder / "project"
    stage.run([poetry, "new", "--no-interaction", project], environ=environ, show=False)
    for words in (
        ("source", "add", "--priority", "explicit", "acme", scene.index),
        ("add", "--no-interaction", "--source", "acme", packages.HELLO),
        ("run", "python", "-m", "acme_hello"),
    ):
        stage.run([poetry, *words], environ=environ, cwd=project)


def _publish_with_poetry(scene: Scene) -> None:
    stage, programs = scene.stage, scene.programs
    stage.title("poetry publish, and the package installed from the index")
    poetry, environ = programs.poetry / "poetry", _poetry_environ(scene)
    source = packages.write_report(stage.folder / "sources")
    stage.run([poetry, "config", "repositories.acme", f"{scene.issuer}/legacy/"], environ=environ)
    stage.run([poetry, "publish", "--build", "--no-interaction", "-r", "acme"], environ=environ, cwd=source)
    install = ("-m", "pip", "install", "--index-url", scene.index, packages.REPORT)
    stage.run([programs.pip_with_keyring / "python", *install])


def _poetry_environ(scene: Scene) -> dict[str, str]:
    return scene.stage.environ(POETRY_VIRTUALENVS_IN_PROJECT="true")


def _free_port() -> int:
    """Return a port that is free on loopback at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
