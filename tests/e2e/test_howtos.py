"""Each page about a tool is carried out as it stands: its files and its commands, with the real tool.

The pages share one machine and one private index, which offers nothing but what is put there below. Replaced are the
index's host, and what installs the tools. The jobs of the pages about CI run against stand-ins of their platforms.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from servers.ci_platforms import platforms
from servers.guarded import local, make_site, start_nginx
from servers.issuers import Issuer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from conftest import Environments, OpenWorld, World
    from servers.programs import FindProgram

pytestmark = pytest.mark.e2e

PAGES = Path(__file__).resolve().parents[2] / "plugin-docs/how-to"
SAYS = "acme-tools was here"
PROJECT = """\
[project]
name = "app"
version = "1.0"
requires-python = ">=3.10"
dependencies = {dependencies}

[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[tool.setuptools]
py-modules = []
"""
UV_PROJECT = """
[tool.uv]
package = false

[[tool.uv.index]]
name = "acme"
url = "https://packages.acme.example/simple/"
authenticate = "always"
explicit = true

[tool.uv.sources]
acme-tools = { index = "acme" }
"""
# What the tests have set up in their own way: the programs are of this tree, somebody is signed in, files are built.
SET_UP = re.compile(
    r"indexpass (add|login)\b|uv (build|tool install|tool dir)\b|pip install (uv|indexpass)$|export PATH="
)


def write_package(folder: Path, version: str = "1.0") -> None:
    """Write a wheel of acme-tools, a program that says one line."""
    info = f"acme_tools-{version}.dist-info"
    with zipfile.ZipFile(folder / f"acme_tools-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("acme_tools.py", f'def main():\n    print("{SAYS}")\n')
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: acme-tools\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\nacme-tools = acme_tools:main\n")
        wheel.writestr(f"{info}/RECORD", "")


def read(page: str, world: World) -> str:
    """Return the page, with the hosts of its example replaced by the one that is there."""
    host = world.issuer.removeprefix("https://")
    text = (PAGES / page).read_text(encoding="utf-8")
    text = text.replace("HTTPS___PACKAGES_ACME_EXAMPLE", re.sub("[^A-Z0-9]", "_", world.issuer.upper()))
    return re.sub(r"(packages|tokens)\.acme\.example", host, text)


def follow(page: str, world: World, folder: Path, *path: Path, part: str = "", **more: str) -> str:
    """Write the files of the page and run its commands, and return what they print.

    The commands are those down to where it says why they work, or those of the ``part`` with this heading.
    """
    text = read(page, world)
    for name, content in re.findall(r"`([\w.-]*\.\w+)`[^`\n]*:\n\n```\w+\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        (folder / name).write_text(content)
    begin = text.partition("\n## Why it works")[0].partition("\n## Publish")[0]
    chosen = text.partition(f"\n## {part}\n")[2].partition("\n## ")[0] if part else begin
    blocks = re.findall(r"^```console\n(.*?)^```$", chosen, re.DOTALL | re.MULTILINE)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return run_lines(world, lines, folder, *path, **more)


def run_lines(world: World, lines: list[str], folder: Path, *path: Path, **more: str) -> str:
    """Run command lines in one shell, as somebody types them at one terminal."""
    own = [line for line in lines if not SET_UP.match(line)]
    assert own
    home = world.stage.home
    usual = {"XDG_CONFIG_HOME": str(home / ".config"), "PIP_CONFIG_FILE": "", "PDM_CHECK_UPDATE": "0"}
    usual["PIP_USE_DEPRECATED"] = "legacy-certs"  # the pip of Python 3.13 has a fault with IP addresses otherwise
    programs = (*path, world.ours, home / ".local" / "bin")
    return world.run("bash", "-ec", "\n".join(own), cwd=folder, path=programs, **usual, **more)


@pytest.fixture(scope="module")
def machine(
    open_world: OpenWorld, environments: Environments, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A machine that is set up as the page about environments says; its index also has pip and setuptools."""
    with open_world(tmp_path_factory.mktemp("howtos"), Issuer()) as world:
        write_package(world.shelf)
        embedded = environments("tox").parent.glob("lib/*/site-packages/virtualenv/seed/wheels/embed/*.whl")
        for wheel in embedded:
            (world.shelf / wheel.name).write_bytes(wheel.read_bytes())
        world.sign_in()
        follow("environments.md", world, world.stage.folder, environments("pip"))
        yield world
        world.assert_no_secret_is_anywhere()


@pytest.mark.parametrize(
    ("page", "tool"),
    [
        ("tox.md", "tox"),
        ("nox.md", "nox"),
        ("pre-commit.md", "pre-commit"),
        ("pipx.md", "pipx"),
        ("pip-tools.md", "pip-tools"),
        ("pdm.md", "pdm[locked]"),
        ("uv.md", "uv"),
    ],
    ids=["tox", "nox", "pre-commit", "pipx", "pip-tools", "pdm", "uv"],
)
def test_the_tool_installs_with_what_its_page_says_for_one_token(
    page: str, tool: str, machine: World, environments: Environments, tmp_path: Path
) -> None:
    machine.watch.look_at_files()
    for path in (machine.stage.home / "indexpass" / "credentials").glob("*.credential"):
        path.unlink()
    before = machine.minted()
    (tmp_path / "pyproject.toml").write_text(PROJECT.format(dependencies=[]))
    machine.run("git", "init", "--quiet", ".", cwd=tmp_path)
    programs = environments(tool)
    shown = follow(page, machine, tmp_path, programs)
    if tool == "pip-tools":
        shown = machine.run(programs / "acme-tools")
    assert SAYS in shown or tool == "pre-commit"  # which says of a hook only that it passed
    assert machine.minted() == before + 1


def jobs(page: str, world: World) -> Iterator[dict[str, Any]]:
    """Yield the jobs of the page's YAML files."""
    for block in re.findall(r"^```yaml\n(.*?)^```$", read(page, world), re.DOTALL | re.MULTILINE):
        document = yaml.safe_load(block)
        yield from (job for job in document.get("jobs", document).values() if isinstance(job, dict))


def run_job(
    world: World, environments: Environments, folder: Path, commands: list[str], variables: Mapping[str, str]
) -> str:
    """Run what a job runs: pip with indexpass beside it, uv with the keyring command, and a package to publish."""
    dist = folder / "dist"
    dist.mkdir(parents=True)
    write_package(dist, "2.0")
    project = PROJECT.format(dependencies=["acme-tools"]).partition("\n[build-system]")[0] + UV_PROJECT
    (folder / "pyproject.toml").write_text(project.replace("packages.acme.example", world.issuer[8:]))
    has_keyring = "import" in variables.get("PIP_KEYRING_PROVIDER", "")
    programs = environments("pip", "poetry-core>=2.0", ours="") if has_keyring else environments("uv")
    lines = [line for command in commands for line in command.splitlines()]
    if all(SET_UP.match(line) for line in lines):
        return ""
    return run_lines(world, lines, folder, programs, PIP_TARGET=str(folder / "target"), **variables)


def test_the_jobs_for_github_actions_install_and_publish(
    world: World, environments: Environments, issuer: Issuer, tmp_path: Path
) -> None:
    write_package(world.shelf)
    shown = []
    with platforms(issuer) as served:
        for number, job in enumerate(jobs("github-actions.md", world)):
            commands = [step["run"] for step in job["steps"] if "run" in step]
            may_prove = "id-token" in job["permissions"]
            variables = {**job.get("env", {}), **(served.github if may_prove else {})}
            shown.append(run_job(world, environments, tmp_path / str(number), commands, variables))
    assert "Successfully installed acme-tools" in shown[0]
    assert SAYS in shown[1]
    assert (world.shelf / "acme_tools-2.0-py3-none-any.whl").exists()


def test_in_a_job_tox_finds_the_credential_that_the_job_has_obtained(
    world: World, environments: Environments, issuer: Issuer, tmp_path: Path
) -> None:
    write_package(world.shelf)
    variables = {
        "INDEXPASS_INDEX_URL": world.index,
        "INDEXPASS_BROKER": world.issuer,
        "PIP_INDEX_URL": world.index,
        "PIP_KEYRING_PROVIDER": "subprocess",
        "TOX_OVERRIDE": "testenv.package=skip",  # a build would need more than acme-tools from the index
    }
    with platforms(issuer) as served:
        shown = follow("tox.md", world, tmp_path, environments("tox"), part="In CI", **variables, **served.github)
    assert SAYS in shown
    assert len(served.asked) == 1  # by the job itself: what tox runs could not ask


def test_the_jobs_for_gitlab_install_and_publish(
    world: World, environments: Environments, issuer: Issuer, tmp_path: Path
) -> None:
    write_package(world.shelf)
    shown = []
    for number, job in enumerate(jobs("gitlab-ci.md", world)):
        tokens = {name: issuer.token(aud=each["aud"]).reveal() for name, each in job.get("id_tokens", {}).items()}
        variables = {**job.get("variables", {}), **tokens, "CI": "true", "GITLAB_CI": "true"}
        shown.append(run_job(world, environments, tmp_path / str(number), job["script"], variables))
    assert "Successfully installed acme-tools" in shown[0]
    assert SAYS in shown[1]
    assert (world.shelf / "acme_tools-2.0-py3-none-any.whl").exists()


def test_who_hosts_an_index_as_the_page_says_can_publish_and_install(
    program: FindProgram, environments: Environments, tmp_path: Path
) -> None:
    page = (PAGES / "self-host-with-nginx.md").read_text(encoding="utf-8")
    with make_site(tmp_path, environments(ours="[broker]"), ports=1) as site:
        here = f"localhost:{site.port}"
        nginx = local(re.findall(r"^```nginx\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[0], site)
        nginx = nginx.replace("server_name packages.acme.example", "server_name localhost")
        nginx = nginx.replace("127.0.0.1:443 ssl", f"127.0.0.1:{site.port} ssl").replace(
            "8443", str(site.more_ports[0])
        )
        start_nginx(site, program("nginx"), nginx)
        broker = site.stage.folder / "broker"
        site.indexpass("broker", "init", broker, "--issuer", f"https://{here}", "--index-name", "acme")
        site.add_person(broker)
        listen = ("--listen", f"127.0.0.1:{site.more_ports[0]}", "--packages", site.packages)
        site.stage.start([site.ours / "indexpass", "broker", "serve", broker, *listen], until="is ready")
        lines = re.findall(r"^\$ indexpass add (.*)$", page.replace("packages.acme.example", here), re.MULTILINE)
        site.indexpass("add", *lines[0].split(), "--yes")
        site.sign_in("acme")
        write_package(tmp_path)
        twine = (environments("twine", ours="") / "twine", "upload", "--non-interactive", "--disable-progress-bar")
        site.run(*twine, "--repository-url", f"https://{here}/legacy/", *tmp_path.glob("*.whl"))
        python = environments("pip", "poetry-core>=2.0", ours="") / "python"
        install = ("install", "--target", tmp_path / "target", "--index-url", f"https://{here}/simple/", "acme-tools")
        site.run(python, "-m", "pip", *install)
        assert (tmp_path / "target" / "acme_tools.py").exists()
        assert site.ask("GET", "/check").status == 404
        claimed = {"X-Forwarded-For": "203.0.113.9", "Content-Type": "application/x-www-form-urlencoded"}
        site.ask("POST", "/oauth/token", None, claimed, b"grant_type=refresh_token&refresh_token=canary")
        assert set(re.findall(r'"address": "([^"]*)"', site.logs("indexpass"))) - {""} == {"127.0.0.1"}
        site.assert_no_secret_is_anywhere()
