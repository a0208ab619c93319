"""Every platform that an index may live on, by its own host names and over TLS, for real clients on one machine.

The hosts are one proxy on loopback (``any_host``); behind it are the doubles of the platforms, moto's STS, a real
devpi-server, a real nginx, and git's own server. What a double issues opens its index, and nothing else does. Each
index has the URLs of its platform, and one package, acme-hello; GitHub has a repository.
"""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from indexpass._demo.stage import Stage
from indexpass._model import Session
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from servers import aws_platform, azure_platform, github_platform, gitlab_platform, vault_platform
from servers.any_host import AnyHost, Reply, Request, every_host, send_on
from servers.aws_platform import AwsPlatform
from servers.cloudsmith_platform import CloudsmithPlatform
from servers.devpi import PASSWORD, Devpi
from servers.git_server import make_repository, run_backend
from servers.google_platform import GooglePlatform
from servers.guarded import free_ports, run_nginx
from servers.jfrog_platform import JFrogPlatform
from servers.platform_shapes import ALL, GITHUB, GIVEN, HOSTS, PACKAGE, SHAPES, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.azure_platform import AzurePlatform
    from servers.github_platform import GitHub
    from servers.gitlab_platform import GitLab
    from servers.vault_platform import VaultPlatform

IN_VAULT = f"kept-{secrets.token_hex(20)}"
RUN_SECONDS = 120


class EveryPlatform:
    """The platforms, and a machine with an index at each. What is in ``refusals`` by host and path comes first."""

    def __init__(self, stage: Stage, wheel: Path) -> None:
        self.stage = stage
        self.wheel = wheel
        self.refusals: dict[str, Reply] = {}
        self.issued: dict[str, list[str]] = {shape.name: [] for shape in ALL}
        self.places: dict[str, str] = {}  # of servers on loopback, by host
        self.google = GooglePlatform()
        self.google.replies["iamcredentials.googleapis.com"] = Reply(
            200, {"accessToken": f"ya29.{secrets.token_hex(40)}", "expireTime": "2100-01-01T00:00:00Z"}
        )
        self.aws = AwsPlatform()
        self.server: AnyHost
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        now = int(time.time())
        self._identity = {
            shape.audience: jwt.encode(
                {"iss": "https://ci.acme.example", "sub": "job", "aud": shape.audience, "iat": now, "exp": now + 3600},
                self._key,
                "RS256",
            )
            for shape in SHAPES.values()
            if shape.audience
        }

    def environ(self, shape: Shape, *path: Path) -> dict[str, str]:
        """Return the environment of a program on the machine, in a job that wants to use this index."""
        identity = {"INDEXPASS_IDENTITY_TOKEN": self._identity[shape.audience]} if shape.audience else {}
        folder = self.stage.folder / "person"
        return self.stage.environ(path=(*path, folder), **{**self.server.environ, **identity, **shape.environ})

    def run(self, shape: Shape, *argv: str | Path, path: tuple[Path, ...] = (), typed: str = "") -> str:
        """Run a program without a terminal, and return what it prints, whether it fails or not."""
        done = subprocess.run(
            argv,
            env=self.environ(shape, *path),
            cwd=self.stage.folder,
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
            start_new_session=True,
        )
        self.stage.log([str(argv[0]), shape.name], done.stdout)
        return done.stdout

    def forget_credentials(self) -> None:
        """Let the machine hold nothing, as on the next morning; sessions stay."""
        for path in (self.stage.home / "indexpass" / "credentials").glob("*"):
            path.unlink()

    def asked_beside_the_index(self, shape: Shape, asked: tuple[Request, ...]) -> list[str]:
        """Return what was asked of somebody else, or on the same host of what issues credentials."""
        return [request.url for request in asked if not _is_in(shape, request)]

    def given_to_the_index(self, shape: Shape, asked: tuple[Request, ...]) -> set[str]:
        """Return the secrets that the index's host was sent as Basic."""
        return {self._basic(request)[1] for request in asked if request.host == shape.host} - {""}

    def write_settings(self) -> None:
        """Configure what cannot be known from the URLs."""
        home = self.stage.home / "indexpass"
        (home / "sessions").mkdir(parents=True, mode=0o700)
        home.chmod(0o700)
        tables = [
            f'[[index]]\nname = "{shape.name}"\nurl = "{shape.url}"\n{_provider_line(shape)}'
            f"{shape.lines.replace('{sessions}', str(home / 'sessions'))}\n"
            for shape in ALL
            if shape.lines
        ]
        (home / "config.toml").write_text("\n".join(tables))

    def sign_in_person(self, azure: AzurePlatform, gitlab: GitLab) -> None:
        """Leave behind what a person's sign-in leaves: Azure's command line, and a session at GitLab."""
        az = self.stage.folder / "person" / "az"
        az.parent.mkdir()
        az.write_text(f"#!{sys.executable}\nprint({azure.person!r})\n")
        az.chmod(0o700)
        form = {"client_id": gitlab_platform.CLIENT_ID, "scope": "api"}
        gitlab.role = "owner"
        begun = requests.post(f"{gitlab.url}/oauth/authorize_device", data=form, timeout=30).json()
        grant = {"client_id": form["client_id"], "device_code": begun["device_code"], "grant_type": "device"}
        granted = requests.post(f"{gitlab.url}/oauth/token", data=grant, timeout=30).json()
        FileSessions(self.stage.home / "indexpass" / "sessions").save(
            Session("https://gitlab.com", "alice", Secret(granted["refresh_token"]))
        )

    def install_app(self, github: GitHub) -> None:
        """Give the machine the key of a GitHub App, tell git whom to ask, and let the owner have a repository."""
        key = self.stage.home / "indexpass" / "sessions" / "github.pem"
        key.touch(mode=0o600)
        key.write_bytes(github.key_pem)
        (self.stage.home / ".gitconfig").write_text(
            '[credential "https://github.com"]\n\tuseHttpPath = true\n'
            '[credential "https://github.com/acme"]\n\thelper = indexpass\n'
        )
        repositories = self.stage.folder / "repositories"
        repositories.mkdir()
        make_repository(repositories, "tools")

    def trust_identity(self, jfrog: JFrogPlatform, cloudsmith: CloudsmithPlatform, vault: VaultPlatform) -> None:
        """Let the platforms take the identity token of the job."""
        jfrog.proof = self._identity[SHAPES["jfrog"].audience]
        cloudsmith.proof = self._identity[SHAPES["cloudsmith"].audience]
        vault.key = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        audience, path = SHAPES["vault"].audience, "secret/data/packages"
        vault.roles["ci"] = vault_platform.Role(audience, {"sub": "job"}, (path,))
        vault.versioned[path] = {"username": "ci", "password": IN_VAULT}

    def reply(self, request: Request) -> Reply:
        """Answer as the host that was asked."""
        place = f"{request.host}{request.path}"
        for refused, reply in self.refusals.items():
            if place.startswith(refused):
                return reply
        shape = next((each for each in ALL if _is_in(each, request)), None)
        reply = self._index(shape, request) if shape else self._platform(request)
        for each in ALL:
            if each.issued_by and place.startswith(each.issued_by) and reply.status < 300:
                body = json.loads(reply.body) if isinstance(reply.body, bytes) else reply.body
                self.issued[each.name].append(body[each.member] if each.member else IN_VAULT)
        return reply

    def _platform(self, request: Request) -> Reply:
        if request.host.endswith(".googleapis.com"):
            return self.google.reply(request)
        if request.host.startswith("codeartifact."):
            return self.aws.reply(request)
        place = self.places.get(request.host)
        return send_on(request, place) if place else Reply(421, b"")

    def _index(self, shape: Shape, request: Request) -> Reply:
        if not shape.files and shape is not GITHUB:
            # devpi lets everybody read, unless a proxy in front of it asks for a password (devpi-lockdown).
            is_locked = shape.name == "devpi" and request.method != "POST" and not self._is_known_to_devpi(request)
            return _challenge() if is_locked else send_on(request, self.places[request.host])
        good = self.issued[shape.name][-1:] if shape.issued_by else [GIVEN]
        username, secret = self._basic(request)
        if username != shape.username or secret not in good:
            is_feed = "_packaging" in request.path
            return send_on(request, self.places[request.host]) if is_feed else _challenge()
        return self._clone(request) if shape is GITHUB else self._serve(shape, request.path)

    def _serve(self, shape: Shape, path: str) -> Reply:
        if path == f"{shape.path}{PACKAGE}/":
            page = f'<!DOCTYPE html><html><body><a href="{shape.files}{self.wheel.name}">it</a></body></html>'
            return Reply(200, page.encode(), {"Content-Type": "text/html"})
        if path == f"{shape.files}{self.wheel.name}":
            return Reply(200, self.wheel.read_bytes(), {"Content-Type": "application/zip"})
        return Reply(404, b"")

    def _clone(self, request: Request) -> Reply:
        status, headers, content = run_backend(
            self.stage.folder / "repositories",
            request.method,
            request.path.removeprefix("/acme"),
            query=request.target.partition("?")[2],
            kind=request.headers.get("content-type", ""),
            encoding=request.headers.get("content-encoding", ""),
            body=request.body,
        )
        return Reply(status, content, dict(headers))

    def _is_known_to_devpi(self, request: Request) -> bool:
        """Ask devpi whose request it is."""
        asked = {name: value for name, value in request.headers.items() if name in {"authorization", "host"}}
        answer = requests.get(f"{self.places[request.host]}+api", headers=asked, timeout=30).json()
        return bool(answer["result"]["authstatus"][0] == "ok")

    @staticmethod
    def _basic(request: Request) -> tuple[str, str]:
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        username, _, secret = base64.b64decode(encoded).decode().partition(":") if scheme == "Basic" else ("", "", "")
        return username, secret


def _is_in(shape: Shape, request: Request) -> bool:
    folders = (shape.path, shape.files or "/")
    return request.host == shape.host and any(request.path.startswith(folder) for folder in folders)


def _challenge() -> Reply:
    return Reply(401, b"", {"WWW-Authenticate": 'Basic realm="packages"'})


def _provider_line(shape: Shape) -> str:
    """A known platform is named all the same where it has options: they are the provider's."""
    return "" if "provider =" in shape.lines else f'provider = "{shape.name.partition("-")[0]}"\n'


@contextmanager
def every_platform(folder: Path, wheel: Path, nginx: Path, devpi: Devpi) -> Iterator[EveryPlatform]:
    """Be all platforms meanwhile."""
    stage = Stage(folder / "stage", say=lambda _: None)
    world = EveryPlatform(stage, wheel)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        with (
            azure_platform.azure_platform() as azure,
            gitlab_platform.gitlab_platform() as gitlab,
            JFrogPlatform() as jfrog,
            CloudsmithPlatform() as cloudsmith,
            github_platform.github_platform() as github,
            vault_platform.serving_vault() as vault,
            every_host(HOSTS, folder, world.reply) as world.server,
        ):
            world.write_settings()
            _fill_devpi(devpi, wheel)
            sts, port = moto.get_host_and_port()
            world.places = {
                f"sts.{aws_platform.REGION}.amazonaws.com": f"http://{sts}:{port}",
                **dict.fromkeys(("pkgs.dev.azure.com", "acme.pkgs.visualstudio.com"), azure.url),
                **dict.fromkeys(("login.microsoftonline.com", "app.vssps.visualstudio.com"), azure.url),
                "gitlab.com": gitlab.url,
                "acme.jfrog.io": jfrog.url,
                "api.cloudsmith.io": cloudsmith.url,
                "api.github.com": f"{github.url}/api/v3",
                "vault.acme.example": vault.url,
                "packages.acme.example": _start_nginx(stage, nginx, wheel),
                "devpi.acme.example": devpi.url,
            }
            world.install_app(github)
            world.sign_in_person(azure, gitlab)
            world.trust_identity(jfrog, cloudsmith, vault)
            yield world
    finally:
        stage.close()
        moto.stop()


def _start_nginx(stage: Stage, nginx: Path, wheel: Path) -> str:
    """Let nginx serve a folder to whoever has the password that is in Vault; return its URL."""
    folder, shelf = stage.folder / "nginx", stage.folder / "served"
    page = shelf / "acme" / "simple" / PACKAGE
    page.mkdir(parents=True)
    (page / wheel.name).write_bytes(wheel.read_bytes())
    folder.mkdir()
    users = stage.home / "indexpass" / "sessions" / "users"  # where the search expects secrets
    users.write_text(f"ci:{{PLAIN}}{IN_VAULT}\n")
    (port,) = free_ports(1)
    run_nginx(
        stage,
        nginx,
        folder,
        f"server {{ listen 127.0.0.1:{port}; root {shelf}; autoindex on; auth_basic packages;"
        f" auth_basic_user_file {users}; }}",
    )
    return f"http://127.0.0.1:{port}"


def _fill_devpi(devpi: Devpi, wheel: Path) -> None:
    """Upload the package to alice's index."""
    login = {"user": "alice", "password": PASSWORD}
    token = requests.post(f"{devpi.url}+login", json=login, timeout=30).json()["result"]["password"]
    form = {":action": "file_upload", "name": PACKAGE, "version": "1.0.0", "metadata_version": "2.1"}
    files = {"content": (wheel.name, wheel.read_bytes())}
    sent = requests.post(f"{devpi.url}alice/dev/", data=form, files=files, auth=("alice", token), timeout=30)
    assert sent.status_code == 200, sent.text
