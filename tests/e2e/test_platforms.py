"""Each known platform with the real pip: its index's URL and host names, and its vendor's own library, over TLS."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest

from indexpass._demo.search import found_in, search_files, search_texts
from indexpass._demo.watch import Watch
from indexpass._secret import Secret
from servers import aws_platform, azure_platform, google_platform
from servers.any_host import Reply
from servers.devpi import PASSWORD
from servers.every_platform import EveryPlatform, every_platform
from servers.platform_shapes import GITHUB, GIVEN, HOSTS, PACKAGE, SHAPES, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Environments
    from servers.any_host import Request
    from servers.devpi import Devpi
    from servers.programs import FindProgram

pytestmark = pytest.mark.e2e

EXTRAS = "[aws,azure,github,google]"


class Asked(NamedTuple):
    """What a client said in the end, and what was asked of all hosts meanwhile."""

    said: str
    of: tuple[Request, ...]


class Machine(NamedTuple):
    """The platforms, and the folders of two environments' executables: ours with a pip of its own, and pip alone."""

    platforms: EveryPlatform
    ours: Path
    pip_alone: Path

    def pip(self, shape: Shape, *words: str, mode: str = "subprocess") -> Asked:
        """Let pip install the package, or what the words say, in place of what is there."""
        shutil.rmtree(self.target(shape), ignore_errors=True)
        python = (self.ours if mode == "import" else self.pip_alone) / "python"
        return self._watch(
            shape,
            *(python, "-m", "pip", "install", "-vv", "--no-input", "--no-cache-dir", "--target", self.target(shape)),
            *("--keyring-provider", mode, *(words or ("--index-url", shape.url, PACKAGE))),
        )

    def uv(self, shape: Shape, uv: Path) -> Asked:
        """Let uv install the package in place of what is there, from an index that is always authenticated."""
        shutil.rmtree(self.target(shape), ignore_errors=True)
        settings = self.platforms.stage.folder / "uv.toml"
        settings.write_text(
            'keyring-provider = "subprocess"\n'
            f'[[index]]\nname = "acme"\nurl = "{shape.url}"\ndefault = true\nauthenticate = "always"\n'
        )
        return self._watch(
            shape,
            *(uv, "pip", "install", "--verbose", "--no-cache", "--config-file", settings),
            *("--python", self.ours / "python", "--target", self.target(shape), PACKAGE),
        )

    def target(self, shape: Shape) -> Path:
        return self.platforms.stage.folder / "installed" / shape.name

    def has_installed(self, shape: Shape, module: str = "acme_hello.py") -> bool:
        return (self.target(shape) / module).exists()

    def _watch(self, shape: Shape, *argv: str | Path) -> Asked:
        began = len(self.platforms.server.asked)
        said = self.platforms.run(shape, *argv, path=(self.ours,))
        return Asked(said, tuple(self.platforms.server.asked[began:]))


@pytest.fixture(scope="module")
def machine(
    program: FindProgram,
    environments: Environments,
    built: Path,
    devpi: Devpi,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Machine]:
    """A machine on which people have signed in where that is what a platform wants of them."""
    (wheel,) = built.glob("acme_hello*.whl")
    with every_platform(tmp_path_factory.mktemp("platforms"), wheel, program("nginx"), devpi) as platforms:
        made = Machine(platforms, environments("pip", ours=EXTRAS), environments("pip", "poetry-core>=2.0"))
        login = (made.ours / "indexpass", "login", "devpi")
        platforms.run(SHAPES["devpi"], *login, path=(made.ours,), typed=f"{PASSWORD}\n")
        yield made


@pytest.mark.parametrize("name", SHAPES)
def test_pip_installs_by_one_credential_that_only_the_index_is_sent(machine: Machine, name: str) -> None:
    shape, platforms = SHAPES[name], machine.platforms
    platforms.forget_credentials()
    before = len(platforms.issued[name])
    watch = Watch(platforms.stage.home / "indexpass")
    watch.start()
    cold, warm = machine.pip(shape), machine.pip(shape)
    watch.stop()

    assert machine.has_installed(shape), cold.said
    assert len(platforms.issued[name]) - before == bool(shape.issued_by)
    assert {request.host for request in cold.of} <= set(HOSTS)
    assert warm.of
    assert platforms.asked_beside_the_index(shape, warm.of) == []
    (secret,) = platforms.given_to_the_index(shape, cold.of + warm.of)
    assert_only_the_index_knows(platforms, shape, Secret(secret), cold, warm)
    assert search_texts("command line", watch.command_lines, [Secret(secret)]).leaks == ()


@pytest.mark.parametrize("name", ["aws", "azure", "google"])
def test_a_vendor_s_library_inside_pip_shows_no_secret_there(machine: Machine, name: str) -> None:
    shape, platforms = SHAPES[name], machine.platforms
    platforms.forget_credentials()
    run = machine.pip(shape, mode="import")

    assert machine.has_installed(shape), run.said
    assert_only_the_index_knows(platforms, shape, Secret(platforms.issued[name][-1]), run)


def test_git_clones_a_package_of_github_by_one_token_that_only_github_is_sent(machine: Machine) -> None:
    platforms = machine.platforms
    platforms.forget_credentials()
    words = ("--no-build-isolation", f"git+{GITHUB.url}tools.git")
    cold, warm = machine.pip(GITHUB, *words), machine.pip(GITHUB, *words)

    assert machine.has_installed(GITHUB, "tools.py"), cold.said
    assert len(platforms.issued["github"]) == 1
    assert {request.host for request in cold.of} == {"api.github.com", "github.com"}
    assert {request.host for request in warm.of} == {"github.com"}
    (secret,) = platforms.given_to_the_index(GITHUB, cold.of + warm.of)
    assert_only_the_index_knows(platforms, GITHUB, Secret(secret), cold, warm)


@pytest.mark.parametrize("name", ["azure", "gitlab-job"])
def test_uv_installs_by_one_credential_that_only_the_index_is_sent(
    machine: Machine, environments: Environments, name: str
) -> None:
    shape, platforms = SHAPES[name], machine.platforms
    platforms.forget_credentials()
    before = len(platforms.issued[name])
    cold = machine.uv(shape, environments("uv") / "uv")

    assert machine.has_installed(shape), cold.said
    assert len(platforms.issued[name]) - before == bool(shape.issued_by)
    (secret,) = platforms.given_to_the_index(shape, cold.of)
    assert_only_the_index_knows(platforms, shape, Secret(secret), cold)


@pytest.mark.parametrize(
    ("name", "place", "reply", "fix"),
    [
        (
            "google",
            "iamcredentials.googleapis.com/",
            google_platform.api_error(403, "PERMISSION_DENIED", "Permission denied on the resource"),
            "gcloud iam service-accounts add-iam-policy-binding SERVICE_ACCOUNT --role roles/iam.workloadIdentityUser",
        ),
        (
            "aws",
            f"codeartifact.{aws_platform.REGION}.amazonaws.com/",
            aws_platform.refusal(403, "AccessDeniedException", "User is not authorized to perform this"),
            f"allow codeartifact:GetAuthorizationToken on arn:aws:codeartifact:{aws_platform.REGION}:",
        ),
        (
            "azure",
            f"login.microsoftonline.com/{azure_platform.TENANT}/oauth2/v2.0/token",
            Reply(401, {"error": "invalid_client", "error_description": "AADSTS700211: No matching record found."}),
            f"az ad app federated-credential create --id {azure_platform.APP}",
        ),
        (
            "gitlab-person",
            "gitlab.com/api/v4/groups/acme/deploy_tokens",
            Reply(403, {"message": "403 Forbidden"}),
            "ask its Owner for a deploy token with read_package_registry",
        ),
        (
            "jfrog",
            "acme.jfrog.io/access/",
            Reply(401, {"errors": [{"code": "UNAUTHORIZED", "message": "no mapping matches"}]}),
            "set the audience https://acme.jfrog.io, and an identity mapping",
        ),
        (
            "cloudsmith",
            "api.cloudsmith.io/",
            Reply(401, {"detail": "Invalid credentials."}),
            "check that the organization acme has a service account ci-read",
        ),
        (
            "vault",
            "vault.acme.example/v1/secret/",
            Reply(403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}),
            'add to the policy of the role: path "secret/data/packages"',
        ),
    ],
    ids=["google", "aws", "azure", "gitlab-person", "jfrog", "cloudsmith", "vault"],
)
def test_what_a_platform_refuses_is_told_with_the_fix_and_pip_goes_on_without(
    machine: Machine, name: str, place: str, reply: Reply, fix: str
) -> None:
    shape, platforms = SHAPES[name], machine.platforms
    platforms.forget_credentials()
    platforms.refusals[place] = reply
    try:
        run = machine.pip(shape, mode="import")
    finally:
        del platforms.refusals[place]

    assert run.said.count(fix) == 1, run.said
    assert "401 Client Error" in run.said
    assert platforms.given_to_the_index(shape, run.of) == set()


def assert_only_the_index_knows(platforms: EveryPlatform, shape: Shape, secret: Secret, *runs: Asked) -> None:
    """Search what clients said, what other hosts were sent, and all files but our own; of a given token, these too."""
    is_given = secret.reveal() == GIVEN
    private = () if is_given else [platforms.stage.home / "indexpass" / place for place in ("credentials", "sessions")]
    assert is_given or sum(found_in(place, [secret]) for place in private), "the search finds nothing where secrets are"
    elsewhere = [f"{each.headers} {each.body!r}" for run in runs for each in run.of if each.host != shape.host]
    assert search_texts("output", [run.said for run in runs], [secret]).leaks == ()
    assert search_texts("request", elsewhere, [secret]).leaks == ()
    assert search_files(platforms.stage.folder, [secret], private=private).leaks == ()
