from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import requests
from click.testing import CliRunner, Result

from indexpass._cli import main
from indexpass._secret import Secret
from indexpass.broker import people
from indexpass.broker.service import Broker
from indexpass.broker.settings.file import load
from indexpass.broker.state.store import Store
from indexpass.errors import ConfigError
from servers.loopback import free_port

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "correct horse battery"


def run(*words: str | Path, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["broker", *map(str, words)], input=typed)


def make(folder: Path, issuer: str = "http://127.0.0.1:8765") -> Path:
    result = run("init", folder, "--issuer", issuer, "--index-name", "acme")
    assert result.exit_code == 0, result.output
    return folder


def test_init_makes_a_broker_that_opens(tmp_path: Path) -> None:
    settings = load(make(tmp_path / "broker"))
    assert (settings.issuer, settings.listen) == ("http://127.0.0.1:8765", ("127.0.0.1", 8765))


@pytest.mark.skipif(os.name != "posix", reason="modes are a POSIX matter")
def test_all_that_init_makes_is_for_its_owner_only(tmp_path: Path) -> None:
    folder = make(tmp_path / "broker")
    found = [folder, *folder.rglob("*")]
    assert not [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077]


def test_init_never_replaces_a_broker(tmp_path: Path) -> None:
    folder = make(tmp_path / "broker")
    before = (folder / "broker.toml").read_bytes()
    result = run("init", folder, "--issuer", "http://127.0.0.1:9", "--index-name", "other")
    assert result.exit_code == 1
    assert "already" in result.output
    assert (folder / "broker.toml").read_bytes() == before


@pytest.mark.parametrize("issuer", ["http://packages.acme.example", "packages", "https://acme.example/broker"])
def test_init_refuses_an_issuer_that_cannot_be_one(tmp_path: Path, issuer: str) -> None:
    result = run("init", tmp_path / "broker", "--issuer", issuer, "--index-name", "acme")
    assert result.exit_code == 1
    assert "hint:" in result.output
    assert not (tmp_path / "broker").exists()


def test_the_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INDEXPASS_BROKER_HOME", str(tmp_path / "broker"))
    assert run("init", "--issuer", "http://127.0.0.1:8765", "--index-name", "acme").exit_code == 0
    assert run("user", "add", "alice", "--password-stdin", typed=f"{PASSWORD}\n").exit_code == 0


def test_a_user_can_be_added_by_typing_the_password_twice(tmp_path: Path) -> None:
    folder = make(tmp_path / "broker")
    result = run("user", "add", "alice", folder, typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert result.exit_code == 0
    assert PASSWORD not in result.output
    store = Store(load(folder).database)
    assert people.is_password(store.user("alice"), Secret(PASSWORD))
    store.close()


@pytest.mark.parametrize(
    ("name", "password", "says"),
    [
        ("alice", "short", "12 to 1024 characters"),
        ("alice", "", "12 to 1024 characters"),
        ("ci:alice", PASSWORD, "not a user name"),
        ("*", PASSWORD, "not a user name"),
        ("Alice", PASSWORD, "not a user name"),
    ],
)
def test_a_user_that_cannot_be_is_refused(tmp_path: Path, name: str, password: str, says: str) -> None:
    result = run("user", "add", name, make(tmp_path / "broker"), "--password-stdin", typed=f"{password}\n")
    assert result.exit_code == 1
    assert says in result.output


def test_a_user_is_added_once(tmp_path: Path) -> None:
    folder = make(tmp_path / "broker")
    run("user", "add", "alice", folder, "--password-stdin", typed=f"{PASSWORD}\n")
    assert "already" in run("user", "add", "alice", folder, "--password-stdin", typed=f"{PASSWORD}\n").output


@pytest.mark.parametrize(
    "words",
    [["serve"], ["user", "add", "alice", "--password-stdin"]],
    ids=["serve", "user add"],
)
def test_a_folder_without_a_broker_is_refused_with_what_to_run(tmp_path: Path, words: list[str]) -> None:
    result = run(*words, tmp_path, typed=f"{PASSWORD}\n")
    assert result.exit_code == 1
    assert "indexpass broker init" in result.output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--listen", "8443"], "an address and a port"),
        (["--tls-certificate", "missing.pem"], "go together"),
        (["--tls-certificate", "missing.pem", "--tls-key", "missing.pem"], "not a certificate and its key"),
    ],
    ids=["listen", "one TLS file", "missing TLS files"],
)
def test_options_of_serve_that_cannot_be_are_refused(tmp_path: Path, options: list[str], says: str) -> None:
    result = run("serve", make(tmp_path / "broker"), *options)
    assert (result.exit_code, says in result.output) == (1, True)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with free_port() as taken:
        port = taken.getsockname()[1]
        result = run("serve", make(tmp_path / "broker"), "--listen", f"127.0.0.1:{port}")
    assert (result.exit_code, f"cannot listen on 127.0.0.1:{port}" in result.output) == (1, True)


@pytest.mark.parametrize(
    "command",
    [[], ["audit"], ["init"], ["serve"], ["usage"], ["user", "add"]],
    ids=lambda words: " ".join(words) or "broker",
)
def test_help_shows_an_example(command: list[str]) -> None:
    assert "Example:" in run(*command, "--help").output


@pytest.mark.skipif(os.name != "posix", reason="signals are a POSIX matter")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_serve_says_when_it_is_ready_answers_and_stops_as_told(tmp_path: Path, number: signal.Signals) -> None:
    with free_port() as found:
        port = found.getsockname()[1]
    folder = make(tmp_path / "broker", f"http://127.0.0.1:{port}")
    words = [
        sys.executable,
        "-c",
        "from indexpass._cli import main; main()",
        "broker",
        "serve",
        str(folder),
        "--access-log",
    ]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert f"http://127.0.0.1:{port} is ready" in process.stderr.readline()
            requests.get(f"http://127.0.0.1:{port}/healthz?code=secret", timeout=10)
            assert process.stderr.readline() == "GET '/healthz' 200\n"
        finally:
            process.send_signal(number)
        assert (process.wait(20), process.stderr.read()) == (0, "")


def test_a_broker_is_not_made_from_settings_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Broker.create(tmp_path / "broker", "issuer = 7")
    assert not (tmp_path / "broker").exists()
