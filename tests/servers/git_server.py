"""A git server over TLS on loopback: git's own ``http-backend``, guarded by a broker's ``/check`` as a proxy would.

``git_server(folder, port, check)`` serves the bare repositories in ``folder`` below ``/git/``. Fetching is reading,
also where git does it by POST. This module decides nothing about tokens.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BACKEND_SECONDS = 30


class GitServer(ThreadingHTTPServer):
    """Remembers what was asked: method, path, and whether it carried a credential."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int, check: str, authorities: Path) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.folder = folder
        self.check = check
        self.authorities = authorities
        self.url = f"https://127.0.0.1:{port}/git/"
        self.asked: list[tuple[str, str, bool]] = []
        self.redirects: dict[str, str] = {}


class _Handler(BaseHTTPRequestHandler):
    server: GitServer

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        authorization = self.headers.get("Authorization", "")
        self.server.asked.append((self.command, path, bool(authorization)))
        for prefix, target in self.server.redirects.items():
            if path.startswith(prefix):
                self._answer(302, [("Location", f"{target}{self.path.removeprefix(prefix)}")], b"")
                return
        verdict = requests.get(
            self.server.check,
            headers={
                "Authorization": authorization,
                "Host": self.headers["Host"],
                "X-Original-URI": self.path,
                "X-Original-Method": "GET",
            },
            verify=str(self.server.authorities),
            timeout=BACKEND_SECONDS,
        )
        if not verdict.ok:
            self._answer(verdict.status_code, [("WWW-Authenticate", verdict.headers["WWW-Authenticate"])], b"")
            return
        self._answer(
            *run_backend(
                self.server.folder,
                self.command,
                path.removeprefix("/git"),
                query=query,
                kind=self.headers.get("Content-Type", ""),
                encoding=self.headers.get("Content-Encoding", ""),
                body=body,
            )
        )

    do_POST = do_GET  # noqa: N815  # the name that http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def run_backend(  # noqa: PLR0913  # what CGI tells
    folder: Path, method: str, path: str, *, query: str, kind: str, encoding: str, body: bytes
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return what git's own ``http-backend`` answers for the bare repositories in ``folder``: status, headers, body."""
    done = subprocess.run(
        ["git", "http-backend"],
        input=body,
        capture_output=True,
        timeout=BACKEND_SECONDS,
        check=True,
        env={
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": kind,
            "HTTP_CONTENT_ENCODING": encoding,
            "CONTENT_LENGTH": str(len(body)),
        },
    )
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    lines = [line.partition(": ") for line in head.decode().split("\r\n")]
    status = next((value for name, _, value in lines if name == "Status"), "200")
    return int(status[:3]), [(name, value) for name, _, value in lines if name != "Status"], content


@contextmanager
def git_server(  # noqa: PLR0913  # a certificate is two files
    folder: Path, port: int, check: str, *, authorities: Path, chain: Path, key: Path
) -> Iterator[GitServer]:
    """Serve the repositories in ``folder`` meanwhile."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    with GitServer(folder, port, check, authorities) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def make_repository(folder: Path, name: str) -> None:
    """Make a bare repository ``name``.git of a package ``name`` of one module."""
    work = folder.parent / f"{name}-work"
    work.mkdir()
    (work / f"{name}.py").write_text("")
    (work / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "1.0"\n'
        '[build-system]\nrequires = ["poetry-core>=2.0"]\nbuild-backend = "poetry.core.masonry.api"\n'
    )
    who = ("-c", "user.name=test", "-c", "user.email=test@acme.example", "-c", "init.defaultBranch=main")
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "-m", "One module")):
        subprocess.run(["git", *who, *words], cwd=work, check=True, timeout=BACKEND_SECONDS)
    subprocess.run(
        ["git", "clone", "--quiet", "--bare", work, folder / f"{name}.git"], check=True, timeout=BACKEND_SECONDS
    )
