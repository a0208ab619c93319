"""Tokens that are bound to projects, at the built-in index of a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from indexpass._wire import SCOPES

if TYPE_CHECKING:
    import requests

    from servers.brokers import RunningBroker, StartBroker

FILES = {name: f"the content of {name}".encode() for name in ("tools-1.0.tar.gz", "secret-1.0.tar.gz")}
BOTH = "pypi:read pypi:write"


@pytest.fixture
def running(start_broker: StartBroker) -> RunningBroker:
    """A broker with two projects in its index."""
    broker = start_broker()
    for name, content in FILES.items():
        (broker.packages / "acme" / name).write_bytes(content)
    return broker


def mint(running: RunningBroker, *projects: str, scope: str = BOTH) -> str:
    """Return a token that is bound to the projects, for every scope."""
    now = int(running.clock())
    claims = {"sub": "alice", "aud": running.index, "iat": now, "exp": now + 600, "jti": "token", "scope": scope}
    return running.broker.keys.mint({**claims, "projects": dict.fromkeys(SCOPES.values(), projects)}).reveal()


def upload(running: RunningBroker, token: str, name: str, **headers: str) -> requests.Response:
    return running.http.post(
        f"{running.url}/legacy/",
        data={":action": "file_upload", "protocol_version": "1", "name": name.partition("-")[0], "version": "2.0"},
        files={"content": (name, b"new")},
        headers={header.replace("__", "-"): value for header, value in headers.items()},
        auth=("__token__", token),
        timeout=30,
    )


def test_it_opens_the_page_and_the_files_of_its_project(running: RunningBroker) -> None:
    assert running.get("/simple/tools/", mint(running, "tools")).status_code == 200
    assert running.get("/packages/tools-1.0.tar.gz", mint(running, "tools")).content == FILES["tools-1.0.tar.gz"]


@pytest.mark.parametrize("path", ["/simple/", "/packages/", "/simple/secret/", "/packages/secret-1.0.tar.gz"])
def test_it_opens_nothing_else_and_no_new_token_would_help(running: RunningBroker, path: str) -> None:
    answer = running.get(path, mint(running, "tools"))
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X__Indexpass__Projects": "secret"},
        {"X_Indexpass_Projects": "secret"},
        {"X__Indexpass_Projects": "tools secret"},
    ],
    ids=["plain", "header", "header with underscores", "header with both"],
)
def test_it_uploads_to_its_project_only_whatever_its_client_says_beside_it(
    running: RunningBroker, headers: dict[str, str]
) -> None:
    assert upload(running, mint(running, "tools"), "secret-2.0.tar.gz", **headers).status_code == 403
    assert upload(running, mint(running), "tools-2.0.tar.gz", **headers).status_code == 403
    assert upload(running, mint(running, "tools"), "tools-2.0.tar.gz", **headers).status_code == 200
    assert {file.name for file in (running.packages / "acme").iterdir()} == {*FILES, "tools-2.0.tar.gz"}


def test_a_proxy_that_says_only_where_uploads_go_is_told_no(running: RunningBroker) -> None:
    said = {"X-Original-Method": "POST", "X-Original-URI": "/legacy/"}
    assert running.get("/check?index=acme", mint(running, "tools"), **said).status_code == 403


def test_a_proxy_that_says_the_file_is_told_yes(running: RunningBroker) -> None:
    said = {"X-Original-Method": "PUT", "X-Original-URI": "/files/tools-2.0.tar.gz"}
    assert running.get("/check?index=acme", mint(running, "tools"), **said).status_code == 204
