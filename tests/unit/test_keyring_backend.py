"""The keyring backend inside a program of somebody else, with the real keyring around it.

Each test runs a process of its own: what the backend remembers, it remembers for a process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from indexpass._cache import Cache
from indexpass._model import Credential, Index
from indexpass._secret import Secret
from indexpass._url import IndexUrl

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://packages.acme.example/simple/"
BROKER = "http://127.0.0.1:9"  # the port where nobody answers
ACME = Index("acme", IndexUrl.parse(URL), options=MappingProxyType({"broker": BROKER}))
CONFIG = f'[[index]]\nname = "acme"\nurl = "{URL}"\nbroker = "{BROKER}"\n'
IDENTITY = {"INDEXPASS_IDENTITY_TOKEN": "a.b.c"}

BACKEND = """
import json, sys
from indexpass.keyring_backend import IndexpassKeyring
backend = IndexpassKeyring()
def show(credential):
    print(json.dumps([credential.username, credential.password] if credential else None))
"""
# Another backend that is always there, so that keyring's chainer asks both.
CHAIN = """
import json
import keyring
from keyring.backend import KeyringBackend
from keyring.backends.chainer import ChainerBackend
class Memory(KeyringBackend):
    priority = 1
    kept = {("other.example", "eve"): "from memory"}
    def get_password(self, service, username):
        return self.kept.get((service, username))
    def set_password(self, service, username, password):
        self.kept[service, username] = password
    def delete_password(self, service, username):
        del self.kept[service, username]
assert isinstance(keyring.get_keyring(), ChainerBackend)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with one index and a fresh credential for it."""
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    now = time.time()
    credential = Credential("__token__", Secret("s3cret"), now, now + 3600)
    Cache(tmp_path / "credentials").store(ACME, "read", credential)
    return tmp_path


def python(script: str, home: Path, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("INDEXPASS_", "KEYRING_"))}
    child = subprocess.run(
        [sys.executable, "-c", script],
        env={**inherited, "HOME": str(home), "INDEXPASS_HOME": str(home), **(environ or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        start_new_session=True,  # no terminal: what there is to say is on stderr
        timeout=120,
        encoding="utf-8",
    )
    assert "Traceback" not in child.stderr
    assert child.returncode == 0
    return child


def run(script: str, home: Path, environ: dict[str, str] | None = None) -> list[object]:
    """Run the script and return each line of its stdout as what it is in JSON."""
    return [json.loads(line) for line in python(script, home, environ).stdout.splitlines()]


@pytest.mark.parametrize("username", ["None", "'__token__'", "'eve'", "''"])
def test_a_url_of_ours_is_answered_whatever_the_user_name(home: Path, username: str) -> None:
    script = f"{BACKEND}show(backend.get_credential('{URL}', {username}))"
    assert run(script, home) == [["__token__", "s3cret"]]


def test_the_password_alone_is_answered_too(home: Path) -> None:
    assert run(f"{BACKEND}print(json.dumps(backend.get_password('{URL}', 'eve')))", home) == ["s3cret"]


@pytest.mark.parametrize(
    "service",
    [
        pytest.param("https://public.example/simple/", id="another-url"),
        pytest.param("public.example", id="another-host"),
        pytest.param("acme", id="our-name"),
        pytest.param("", id="empty"),
        pytest.param("https://[", id="broken-url"),
        pytest.param("\udcff", id="undecodable"),
    ],
)
def test_what_is_not_ours_is_answered_none_in_silence(home: Path, service: str) -> None:
    script = f"{BACKEND}show(backend.get_credential({service!a}, None))"
    child = python(script, home)
    assert (child.stdout, child.stderr) == ("null\n", "")


def test_without_a_configuration_every_answer_is_none_in_silence(tmp_path: Path) -> None:
    child = python(f"{BACKEND}show(backend.get_credential('{URL}', None))", tmp_path)
    assert (child.stdout, child.stderr) == ("null\n", "")


@pytest.mark.parametrize("config", [b"[[index]", b"\xff", b"[[index]]\nname = 1"])
def test_a_broken_configuration_is_one_line_on_stderr_and_not_an_exception(tmp_path: Path, config: bytes) -> None:
    (tmp_path / "config.toml").write_bytes(config)
    asking = f"show(backend.get_credential('{URL}', None))\n"
    child = python(BACKEND + asking * 3, tmp_path)
    assert child.stdout == "null\n" * 3
    assert child.stderr.count("\n") == 1
    assert str(tmp_path / "config.toml") in child.stderr


def test_a_person_who_is_not_signed_in_is_told_the_command(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    child = python(f"{BACKEND}show(backend.get_credential('{URL}', None))", tmp_path)
    assert child.stdout == "null\n"
    assert "indexpass login acme" in child.stderr


def test_a_broker_that_is_down_is_one_line_on_stderr_and_not_an_exception(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG, encoding="utf-8")
    child = python(f"{BACKEND}show(backend.get_credential('{URL}', None))", tmp_path, IDENTITY)
    assert child.stdout == "null\n"
    assert "cannot be reached" in child.stderr


def test_an_index_that_names_an_unknown_provider_is_not_an_exception(tmp_path: Path) -> None:
    config = f'[[index]]\nname = "acme"\nurl = "{URL}"\nprovider = "nobody"\n'
    (tmp_path / "config.toml").write_text(config, encoding="utf-8")
    child = python(f"{BACKEND}show(backend.get_credential('{URL}', None))", tmp_path)
    assert child.stdout == "null\n"
    assert "unknown provider" in child.stderr


def test_a_relative_home_is_not_an_exception(home: Path) -> None:
    child = python(f"{BACKEND}show(backend.get_credential('{URL}', None))", home, {"INDEXPASS_HOME": "."})
    assert child.stdout == "null\n"
    assert "INDEXPASS_HOME" in child.stderr


def test_an_error_that_nobody_thought_of_is_not_an_exception(home: Path) -> None:
    child = python(f"{BACKEND}show(backend.get_credential(7, None))", home)
    assert child.stdout == "null\n"
    assert "unexpected TypeError" in child.stderr


@pytest.mark.parametrize("call", ["set_password('s', 'u', 'p')", "delete_password('s', 'u')"])
def test_writes_are_not_implemented_and_say_what_to_do(home: Path, call: str) -> None:
    script = f"""{BACKEND}
try:
    backend.{call}
except NotImplementedError as error:
    print(json.dumps(str(error)))
"""
    (text,) = run(script, home)
    assert "another keyring backend" in str(text)


def test_the_chainer_asks_us_before_the_next_backend(home: Path) -> None:
    script = f"{CHAIN}Memory.kept['{URL}', 'eve'] = 'theirs'\nprint(json.dumps(keyring.get_password('{URL}', 'eve')))"
    assert run(script, home) == ["s3cret"]


def test_the_chainer_passes_what_is_not_ours_on_to_the_next_backend(home: Path) -> None:
    script = f"{CHAIN}print(json.dumps(keyring.get_password('other.example', 'eve')))"
    assert run(script, home) == ["from memory"]


def test_the_chainer_passes_our_failures_on_to_the_next_backend(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[[index]", encoding="utf-8")
    script = f"{CHAIN}print(json.dumps(keyring.get_password('other.example', 'eve')))"
    assert run(script, tmp_path) == ["from memory"]


def test_the_chainer_passes_writes_on_to_the_next_backend(home: Path) -> None:
    script = f"""{CHAIN}
keyring.set_password("new.example", "eve", "kept")
print(json.dumps(keyring.get_password("new.example", "eve")))
keyring.delete_password("new.example", "eve")
print(json.dumps(keyring.get_password("new.example", "eve")))
"""
    assert run(script, home) == ["kept", None]


def test_keyring_finds_us_by_our_entry_point(home: Path) -> None:
    script = """
import json
from keyring import backend
print(json.dumps([type(each).__name__ for each in backend.get_all_keyring()]))
"""
    (found,) = run(script, home)
    assert isinstance(found, list)
    assert "IndexpassKeyring" in found


@pytest.mark.parametrize("name", ["PRIORITY", "RESOLVER", "_RESOLVER", "SERVICE", "USERNAME"])
def test_a_keyring_property_in_the_environment_leaves_us_working(home: Path, name: str) -> None:
    script = f"{BACKEND}show(backend.get_credential('{URL}', None))"
    assert run(script, home, {f"KEYRING_PROPERTY_{name}": "canary"}) == [["__token__", "s3cret"]]


def test_the_priority_is_above_every_desktop_keyring_and_below_the_chainer(home: Path) -> None:
    script = f"""{CHAIN}
from indexpass.keyring_backend import IndexpassKeyring
print(json.dumps([IndexpassKeyring.viable, 5 < IndexpassKeyring.priority < ChainerBackend.priority]))
"""
    assert run(script, home) == [[True, True]]


def test_importing_us_loads_nothing_that_is_only_needed_to_answer(home: Path) -> None:
    script = """
import json, sys
import keyring.backend, keyring.credentials
before = set(sys.modules)
import indexpass.keyring_backend
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    assert run(script, home) == [["indexpass", "indexpass.keyring_backend"]]


def test_a_stranger_s_question_and_a_cached_answer_load_no_slow_module(home: Path) -> None:
    script = f"""
import json, sys
from indexpass.keyring_backend import IndexpassKeyring
before = set(sys.modules)
IndexpassKeyring().get_credential("https://public.example/simple/", None)
assert IndexpassKeyring().get_credential("{URL}", None)
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(json.dumps(sorted(new & {{"requests", "platformdirs", "filelock", "click", "dataclasses", "tomlkit"}})))
"""
    assert run(script, home) == [[]]
