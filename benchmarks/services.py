"""The servers whose rates are compared: brokers with both databases, and those that do a part of the same work.

Each runs as its users run it, as a process on loopback, and ends with the ``stack`` that it was started in. What this
machine does not have is None.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

import filelock
import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack

    from measure import Command

HERE = Path(__file__).parent
OIDC_PROVIDER = "9.13.3"
START_SECONDS, INSTALL_SECONDS = 60.0, 180.0
TOKEN_SECONDS = 3600
NOBODY = 65534  # PostgreSQL refuses to run as root
_TRUST = """
[[trusted-issuer]]
name = "ci"
url = "{issuer}"
audience = "{url}"

[[policy]]
name = "release"
index = "acme"
operations = ["read"]
issuer = "ci"
claims = {{ project_id = "1234" }}
"""


class Issuer:
    """A CI system: publishes its key, and signs identity tokens by RS256, as GitHub does."""

    def __init__(self, stack: ExitStack) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        documents = {
            "/keys": {"keys": [{**public, "kid": "first", "alg": "RS256", "use": "sig"}]},
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(documents[self.path]).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None: ...

        self._server.RequestHandlerClass = Handler
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        stack.callback(self._server.shutdown)
        self._pool = stack.enter_context(ProcessPoolExecutor(os.cpu_count()))
        self._made = 0

    def forms(self, count: int, audience: str) -> list[str]:
        """Return as many requests for a token, each with an identity token that nobody has seen before."""
        begin, self._made = self._made, self._made + count
        sign = partial(_form, self._pem, self.url, audience, int(time.time()))
        return list(self._pool.map(sign, range(begin, begin + count), chunksize=100))


def _form(pem: bytes, issuer: str, audience: str, now: int, number: int) -> str:
    claims = {"iss": issuer, "sub": "repo:acme/tools", "aud": audience, "project_id": "1234", "jti": f"id-{number}"}
    times = {"iat": now, "nbf": now, "exp": now + TOKEN_SECONDS}
    token = jwt.encode({**claims, **times}, _loaded(pem), "RS256", headers={"kid": "first"})
    return urlencode(
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "subject_token": token,
        }
    )


@cache  # loading a key takes longer than signing with it
def _loaded(pem: bytes) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(pem, password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


class Broker(NamedTuple):
    """A broker that runs. ``database`` is SQLite or PostgreSQL."""

    database: str
    url: str
    port: int

    def token(self, form: str) -> str:
        """Return an access token for this request."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = requests.post(f"{self.url}/oauth/token", data=form, headers=headers, timeout=30)
        if answer.status_code != 200:
            sys.exit(f"the broker refused an exchange: {answer.text}")
        token: str = answer.json()["access_token"]
        return token


def start_broker(  # noqa: PLR0913  # all that one is started from
    stack: ExitStack, programs: Path, folder: Path, issuer: Issuer, *, database: str = "", workers: int = 2
) -> Broker:
    """Make a broker in the folder and run it as its operators do; ``database`` is the URL of PostgreSQL."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    indexpass = programs / "indexpass"
    init: Command = [indexpass, "broker", "init", folder, "--issuer", url, "--index-name", "acme"]
    subprocess.run(init, check=True, capture_output=True, timeout=START_SECONDS)
    file = folder / "broker.toml"
    setting = f"database = {json.dumps(database)}\n" if database else ""
    file.write_text(setting + file.read_text() + _TRUST.format(issuer=issuer.url, url=url))
    serve: Command = [indexpass, "broker", "serve", folder, "--listen", f"127.0.0.1:{port}", "--workers", str(workers)]
    log = folder.with_suffix(".log")
    _start(stack, serve, log)
    _wait_until_ready(log)
    return Broker("PostgreSQL" if database else "SQLite", url, port)


def start_bare(stack: ExitStack, programs: Path, folder: Path) -> str:
    """Run the application that answers 204."""
    port = _free_port()
    _start(stack, [programs / "python", HERE / "bare_app.py", str(port)], folder / "bare.log")
    _wait_for(port)
    return f"http://127.0.0.1:{port}"


def start_pypiserver(stack: ExitStack, programs: Path, folder: Path) -> tuple[str, str]:
    """Run pypiserver with a file of passwords. Returns its URL, and the credential as Basic has it."""
    port = _free_port()
    (folder / "nothing").mkdir()
    make = "import sys; from passlib.apache import HtpasswdFile as F; f = F(default_scheme='apr_md5_crypt'); "
    make += "f.set_password('alice', 'a made-up password'); open(sys.argv[1], 'wb').write(f.to_string())"
    passwords = folder / "htpasswd"
    subprocess.run([programs / "python", "-W", "ignore", "-c", make, passwords], check=True, timeout=START_SECONDS)
    run: Command = [programs / "pypi-server", "run", "-i", "127.0.0.1", "-p", str(port), "-P", passwords]
    _start(stack, [*run, "-a", "update,download,list", folder / "nothing"], folder / "pypiserver.log")
    _wait_for(port)
    return f"http://127.0.0.1:{port}", base64.b64encode(b"alice:a made-up password").decode()


def start_oidc_provider(stack: ExitStack, folder: Path) -> str | None:
    """Install oidc-provider from npm, where that was not done before, and run it. Returns None without node."""
    if not (shutil.which("node") and shutil.which("npm")):
        return None
    installed = ROOT / ".cache/node" / f"oidc-provider-{OIDC_PROVIDER}"
    installed.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{installed}.lock", timeout=INSTALL_SECONDS):
        if not (installed / "node_modules/.package-lock.json").exists():  # npm writes it last
            npm: Command = [
                "npm",
                "install",
                "--no-package-lock",
                "--no-audit",
                "--no-fund",
                "--prefix",
                installed,
            ]
            argv = [*npm, f"oidc-provider@{OIDC_PROVIDER}"]
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, timeout=INSTALL_SECONDS)
    process = _start(stack, ["node", HERE / "oidc_tokens.mjs", installed], folder / "oidc.log", is_read=True)
    assert process.stdout
    return process.stdout.readline().decode().strip()


def start_postgresql(stack: ExitStack, folder: Path) -> str | None:
    """Run PostgreSQL with its own settings. Returns the URL of an empty database, or None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        return None
    programs, port = found[-1].parent, _free_port()
    home = folder / "postgresql"
    home.mkdir()
    unprivileged: list[str] = []
    if os.geteuid() == 0:
        os.chown(home, NOBODY, NOBODY)
        for parent in (folder, *folder.parents):
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(0o711)
        unprivileged = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    init: Command = [
        *unprivileged,
        programs / "initdb",
        "-D",
        home / "data",
        "-U",
        "indexpass",
        "--auth=trust",
    ]
    subprocess.run(init, check=True, capture_output=True, timeout=START_SECONDS)
    run: Command = [*unprivileged, programs / "postgres", "-D", home / "data", "-k", home, "-p", str(port)]
    _start(stack, run, folder / "postgresql.log")
    _wait_for(port)
    time.sleep(1)  # it listens a moment before it takes anybody
    return f"postgresql://indexpass@127.0.0.1:{port}/postgres"


def _start(
    stack: ExitStack, argv: Sequence[str | Path], log: Path, *, is_read: bool = False
) -> subprocess.Popen[bytes]:
    with log.open("wb") as stream:
        process = subprocess.Popen(argv, stdout=subprocess.PIPE if is_read else stream, stderr=stream)
    stack.callback(process.wait, START_SECONDS)
    stack.callback(process.terminate)
    return process


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _wait_until_ready(log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while " is ready on " not in log.read_text():
        if time.monotonic() > deadline:
            sys.exit(f"a broker did not start:\n{log.read_text()}")
        time.sleep(0.05)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as asking:
            if asking.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            sys.exit(f"nothing listens on port {port}")
        time.sleep(0.05)
