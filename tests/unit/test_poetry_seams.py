"""The seams, against a stand-in for Poetry's modules; the real ones are exercised end to end."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
import requests

from indexpass.poetry_plugin import seams
from indexpass.poetry_plugin.seams import ASKING_FOR_GIT, READING, SENDING_GIT, UPLOADING

if TYPE_CHECKING:
    from collections.abc import Callable


class HTTPAuthCredential:
    pass


class Authenticator:
    def create_session(self) -> requests.Session:
        return requests.Session()

    def get_credentials_for_git_url(self, url: str) -> HTTPAuthCredential:  # noqa: ARG002  # Poetry's signature
        return HTTPAuthCredential()


class Uploader:
    def make_session(self) -> requests.Session:
        return requests.Session()


@pytest.fixture
def poetry(monkeypatch: pytest.MonkeyPatch) -> dict[str, type]:
    """Put fresh copies of the stand-in classes where Poetry keeps its own."""
    classes: dict[str, type] = {}
    for seam, original in ((READING, Authenticator), (UPLOADING, Uploader)):
        methods = {name: method for name, method in vars(original).items() if not name.startswith("_")}
        classes[seam.owner] = type(seam.owner, (), methods)
        module = ModuleType(seam.module)
        setattr(module, seam.owner, classes[seam.owner])
        monkeypatch.setitem(sys.modules, seam.module, module)
    return classes


def create(poetry: dict[str, type]) -> object:
    return poetry["Authenticator"]().create_session()


class Signing:
    """Is called around what creates a session, and remembers the sessions."""

    def __init__(self) -> None:
        self.signed: list[object] = []

    def __call__(self, create: Callable[..., object], *args: object, **kwargs: object) -> object:
        self.signed.append(create(*args, **kwargs))
        return self.signed[-1]


@pytest.fixture
def signing() -> Signing:
    return Signing()


def test_a_session_that_poetry_creates_is_signed(poetry: dict[str, type], signing: Signing) -> None:
    seams.install(READING, signing)
    assert [create(poetry)] == signing.signed


@pytest.mark.usefixtures("poetry")
@pytest.mark.parametrize("seam", [READING, UPLOADING, ASKING_FOR_GIT], ids=str)
def test_a_seam_that_is_there_is_installed_without_a_word(seam: seams.Seam, signing: Signing) -> None:
    assert (seams.examine(seam), seams.install(seam, signing), seams.examine(seam)) == (None, None, None)


def test_installing_twice_signs_once(poetry: dict[str, type], signing: Signing) -> None:
    seams.install(READING, signing)
    seams.install(READING, signing)
    create(poetry)
    assert len(signing.signed) == 1


def test_to_examine_a_seam_changes_nothing(poetry: dict[str, type]) -> None:
    before = poetry["Authenticator"].create_session  # type: ignore[attr-defined]
    seams.examine(READING)
    assert poetry["Authenticator"].create_session is before  # type: ignore[attr-defined]


def test_a_seam_that_another_plugin_has_wrapped_is_installed_around_it(
    poetry: dict[str, type], signing: Signing
) -> None:
    original = Authenticator.create_session

    def wrapped(self: Authenticator, pool_size: int = 1) -> requests.Session:
        session = original(self)
        session.headers["X-Pool-Size"] = str(pool_size)
        return session

    del wrapped.__annotations__["return"]
    poetry["Authenticator"].create_session = wrapped  # type: ignore[attr-defined]
    seams.install(READING, signing)
    session = poetry["Authenticator"]().create_session(pool_size=7)
    assert (signing.signed, session.headers["X-Pool-Size"]) == ([session], "7")


def remove_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, READING.module, None)


def remove_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys.modules[READING.module], READING.owner)


def remove_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(getattr(sys.modules[READING.module], READING.owner), READING.method)


def make_it_a_property(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = getattr(sys.modules[READING.module], READING.owner)
    monkeypatch.setattr(owner, READING.method, property(lambda _: requests.Session()))


def return_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    method = getattr(sys.modules[READING.module], READING.owner).create_session
    monkeypatch.setattr(method, "__annotations__", {"return": "httpx.Client"})


CHANGES = [remove_module, remove_class, remove_method, make_it_a_property, return_something_else]


@pytest.mark.usefixtures("poetry")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_seam_that_has_changed_yields_one_line_that_names_it(change: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(change)
    change(monkeypatch)
    complaint = seams.install(READING, Signing())
    assert complaint
    assert complaint == seams.examine(READING)
    assert "poetry.utils.authenticator.Authenticator.create_session" in complaint
    assert "\n" not in complaint


def test_a_seam_that_has_changed_is_left_as_it_is(poetry: dict[str, type], monkeypatch: pytest.MonkeyPatch) -> None:
    make_it_a_property(monkeypatch)
    seams.install(READING, Signing())
    assert isinstance(vars(poetry["Authenticator"])["create_session"], property)


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("publish", (READING, ASKING_FOR_GIT, UPLOADING)),
        ("monorepo publish", (READING, ASKING_FOR_GIT, UPLOADING)),
        ("install", (READING, ASKING_FOR_GIT)),
        ("version", (READING, ASKING_FOR_GIT)),
        (None, (READING, ASKING_FOR_GIT)),
    ],
)
def test_only_commands_that_publish_load_the_uploader(command: str | None, needed: tuple[seams.Seam, ...]) -> None:
    assert seams.seams_for(command) == needed


def test_outside_poetry_the_plugin_is_not_active() -> None:
    assert not seams.is_active()


@pytest.mark.usefixtures("poetry")
def test_before_a_seam_is_in_place_the_plugin_is_not_active() -> None:
    assert not seams.is_active()


@pytest.mark.usefixtures("poetry")
def test_while_one_loaded_seam_is_missing_the_plugin_is_not_active() -> None:
    seams.install(READING, Signing())
    assert not seams.is_active()


@pytest.mark.usefixtures("poetry")
def test_with_every_loaded_seam_in_place_the_plugin_is_active() -> None:
    seams.install(READING, Signing())
    seams.install(UPLOADING, Signing())
    seams.install(ASKING_FOR_GIT, Signing())
    assert seams.is_active()


@pytest.mark.usefixtures("poetry")
@pytest.mark.parametrize("sends", [True, False], ids=["as-expected", "otherwise"])
def test_where_git_is_loaded_the_plugin_is_active_if_it_can_sign_that_too(
    monkeypatch: pytest.MonkeyPatch, *, sends: bool
) -> None:
    for seam in (READING, UPLOADING, ASKING_FOR_GIT):
        seams.install(seam, Signing())
    module = ModuleType(SENDING_GIT.module)
    client = type(SENDING_GIT.owner, (), {SENDING_GIT.method: lambda _: None} if sends else {})
    setattr(module, SENDING_GIT.owner, client)
    monkeypatch.setitem(sys.modules, SENDING_GIT.module, module)
    assert seams.is_active() is sends


class Application:
    def __init__(self, commands: dict[str, object] | None) -> None:
        if commands is not None:
            self.command_loader = self
            self.commands = commands

    def register_factory(self, name: str, load: object) -> None:
        self.commands[name] = load


def test_commands_are_named_and_not_loaded() -> None:
    commands: dict[str, object] = {}
    assert seams.add_commands(Application(commands), {"indexpass login": Signing}) is None  # type: ignore[arg-type]
    assert commands == {"indexpass login": Signing}


def test_a_poetry_that_takes_no_commands_yields_one_line() -> None:
    complaint = seams.add_commands(Application(None), {"indexpass login": Signing})  # type: ignore[arg-type]
    assert complaint
    assert "\n" not in complaint


def test_importing_the_seams_imports_nothing_of_requests_and_little_of_indexpass() -> None:
    # A fresh interpreter, because this one has imported everything already.
    script = "import sys; import indexpass.poetry_plugin.seams; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    assert "requests" not in loaded
    assert {name for name in loaded if name.startswith("indexpass")} == {
        "indexpass",
        "indexpass.poetry_plugin",
        "indexpass.poetry_plugin.seams",
    }
