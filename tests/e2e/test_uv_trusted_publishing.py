"""Unmodified clients publish from a job of (a stand-in for) GitHub Actions into the built-in index, over TLS."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import requests

from servers.github_actions import GitHubActions, github_actions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Environments
    from servers.brokers import RunningBroker, StartBroker
    from servers.issuers import Issuer

pytestmark = pytest.mark.e2e

SETTINGS = """
[[trusted-issuer]]
name = "github"
url = "{issuer}"

[[policy]]
name = "release"
index = "acme"
operations = ["upload"]
projects = ["acme-hello"]
issuer = "github"
claims = { repository_id = "1234", repository_owner_id = "99", environment = "release" }

[[policy]]
name = "install"
index = "acme"
operations = ["read"]
issuer = "github"
claims = { repository_owner_id = "99" }
"""


@dataclass
class Ran:
    """How a client ended, and what it said; its lines are put together, for clients break them where they like."""

    status: int
    said: str


@dataclass
class Job:
    """A job that publishes: its broker, its GitHub, its files, and how it runs clients."""

    broker: RunningBroker
    github: GitHubActions
    home: Path
    dist: Path

    @property
    def upload_url(self) -> str:
        return f"{self.broker.url}/legacy/"

    @property
    def published(self) -> list[str]:
        return sorted(path.name for path in (self.broker.packages / "acme").iterdir())

    def run(self, *argv: str | Path, **more: str) -> Ran:
        authorities = str(self.broker.authorities)
        trust = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"), authorities)
        done = subprocess.run(
            [str(word) for word in argv],
            env={"PATH": os.defpath, "HOME": str(self.home), "NO_COLOR": "1", **trust, **self.github.environ, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return Ran(done.returncode, " ".join(done.stdout.split()))

    def uv_publish(self, uv: Path, *files: Path, **more: str) -> Ran:
        words = ("publish", "--trusted-publishing", "always", "--publish-url", self.upload_url, "--no-config")
        return self.run(uv, *words, "--cache-dir", self.home / "cache", *files, **more)


@pytest.fixture
def job(tmp_path: Path, start_broker: StartBroker, issuer: Issuer, built: Path) -> Iterator[Job]:
    home, dist = tmp_path / "home", tmp_path / "dist"
    home.mkdir()
    dist.mkdir()
    for wheel in built.glob("acme_hello*.whl"):
        shutil.copy(wheel, dist)
    broker = start_broker(SETTINGS.replace("{issuer}", issuer.url), tls=True)
    with github_actions(issuer) as github:
        yield Job(broker, github, home, dist)


@pytest.fixture
def uv(environments: Environments) -> Path:
    return environments("uv") / "uv"


@pytest.fixture
def hello(job: Job) -> Path:
    (wheel,) = job.dist.glob("acme_hello*.whl")
    return wheel


def test_uv_publishes_and_pip_installs_what_was_published(job: Job, uv: Path, hello: Path) -> None:
    ran = job.uv_publish(uv, hello)
    assert ran.status == 0, ran.said
    assert job.published == [hello.name]
    assert job.github.audiences == [job.broker.url]
    (token,) = re.findall(r"::add-mask::(\S+)", ran.said)
    used_up = job.broker.http.post(job.upload_url, auth=("__token__", token), timeout=30)
    assert used_up.status_code == 401, "uv has asked the broker to end its token"

    identity = job.github.sign(job.broker.url)
    read = job.broker.post(
        "/oauth/token",
        grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token=identity,
        subject_token_type="urn:ietf:params:oauth:token-type:id_token",
        scope="pypi:read",
    ).json()["access_token"]
    netrc = job.home / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login __token__ password {read}\n")
    netrc.chmod(0o600)
    target = job.home / "installed"
    words = ("-m", "pip", "install", "--isolated", "--disable-pip-version-check", "--no-cache-dir", "--no-deps")
    ran = job.run(sys.executable, *words, "--index-url", job.broker.index, "--target", target, "acme-hello")
    assert ran.status == 0, ran.said
    assert (target / "acme_hello.py").exists()


def test_uv_shows_that_an_identity_token_was_used_before(job: Job, uv: Path, hello: Path) -> None:
    assert job.uv_publish(uv, hello).status == 0
    job.github.repeated = job.github.handed_out[0]

    ran = job.uv_publish(uv, hello)
    assert ran.status != 0
    assert "invalid-reuse-token" in ran.said
    assert "the identity token was used before: ask your CI for a new one" in ran.said


def test_uv_shows_that_no_policy_lets_the_job_publish(job: Job, uv: Path, hello: Path) -> None:
    job.github.repository_id = "666"

    ran = job.uv_publish(uv, hello)
    assert (ran.status != 0, job.published) == (True, [])
    assert "invalid-publisher" in ran.said


def test_uv_shows_which_project_the_token_is_for(job: Job, uv: Path, built: Path) -> None:
    (slow,) = built.glob("acme_slow*.tar.gz")

    ran = job.uv_publish(uv, slow)
    assert (ran.status != 0, job.published) == (True, [])
    assert "this token may upload to acme-hello" in ran.said
    assert "belongs to acme-slow" in ran.said


def test_uv_publishes_from_gitlab_which_names_the_token_after_the_audience(job: Job, uv: Path, hello: Path) -> None:
    identity = job.github.sign(job.broker.url)
    variable = re.sub("[^A-Z0-9]", "_", job.broker.url.upper()) + "_ID_TOKEN"
    gitlab = {"GITHUB_ACTIONS": "", "GITLAB_CI": "true", variable: identity}

    ran = job.uv_publish(uv, hello, **gitlab)
    assert (ran.status, job.published) == (0, [hello.name]), ran.said


def test_the_way_of_gh_action_pypi_publish(job: Job, environments: Environments, hello: Path, built: Path) -> None:
    """The calls of its oidc-exchange.py, and then twine with what they brought. It makes no attestations here."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(job.broker.authorities)
    audience = session.get(f"{job.broker.url}/_/oidc/audience", timeout=30).json()["audience"]
    identity = job.github.sign(audience)
    minted = session.post(f"{job.broker.url}/_/oidc/github/mint-token", json={"token": identity}, timeout=30)
    assert minted.ok
    again = session.post(f"{job.broker.url}/_/oidc/github/mint-token", json={"token": identity}, timeout=30)
    assert [error["code"] for error in again.json()["errors"]] == ["invalid-reuse-token"]
    session.close()

    twine = environments("twine", ours="") / "twine"
    token = {"TWINE_USERNAME": "__token__", "TWINE_PASSWORD": minted.json()["token"], "COLUMNS": "1000"}
    words = ("upload", "--verbose", "--non-interactive", "--disable-progress-bar", "--repository-url", job.upload_url)
    ran = job.run(twine, *words, hello, **token)
    assert (ran.status, job.published) == (0, [hello.name]), ran.said

    (slow,) = built.glob("acme_slow*.tar.gz")
    ran = job.run(twine, *words, slow, **token)
    assert (ran.status, job.published) == (1, [hello.name])
    assert "this token may upload to acme-hello" in ran.said
