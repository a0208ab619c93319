"""The seams, against a stand-in for Poetry's modules; the real ones are exercised end to end."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
import requests

from indexpass.poetry_plugin import seams
from indexpass.poetry_plugin.seams import ASKING_FOR_GIT, ASKING_KEYRING, READING, SENDING_GIT, UPLOADING

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


def remove_module(monkeypatch: pytest.MonkeyPatch, seam: seams.Seam) -> None:
    monkeypatch.setitem(sys.modules, seam.module, None)


def remove_class(monkeypatch: pytest.MonkeyPatch, seam: seams.Seam) -> None:
    monkeypatch.delattr(sys.modules[seam.module], seam.owner)


def remove_method(monkeypatch: pytest.MonkeyPatch, seam: seams.Seam) -> None:
    monkeypatch.delattr(getattr(sys.modules[seam.module], seam.owner), seam.method)


def make_it_a_property(monkeypatch: pytest.MonkeyPatch, seam: seams.Seam) -> None:
    owner = getattr(sys.modules[seam.module], seam.owner)
    monkeypatch.setattr(owner, seam.method, property(lambda _: requests.Session()))


def return_something_else(monkeypatch: pytest.MonkeyPatch, seam: seams.Seam) -> None:
    method = getattr(getattr(sys.modules[seam.module], seam.owner), seam.method)
    monkeypatch.setattr(method, "__annotations__", {"return": "httpx.Client"})


CHANGES = [remove_module, remove_class, remove_method, make_it_a_property, return_something_else]
CHANGED_SEAMS = [
    pytest.param(seam, change, id=f"{seam}-{change.__name__}")
    for seam in seams.SEAMS
    for change in CHANGES
    if seam.promised or change is not return_something_else
]


@pytest.mark.parametrize(("seam", "change"), CHANGED_SEAMS)
def test_a_seam_that_has_changed_yields_one_line_that_names_it(
    seam: seams.Seam, change: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType(seam.module)
    setattr(module, seam.owner, type(seam.owner, (), {seam.method: lambda _: None}))
    monkeypatch.setitem(sys.modules, seam.module, module)
    assert seams.examine(seam) is None
    change(monkeypatch, seam)
    complaint = f"indexpass: this version of Poetry has no usable {seam}, {seam.otherwise}"
    assert (seams.examine(seam), seams.install(seam, Signing())) == (complaint, complaint)
    assert "\n" not in complaint


def test_a_seam_that_has_changed_is_left_as_it_is(poetry: dict[str, type], monkeypatch: pytest.MonkeyPatch) -> None:
    make_it_a_property(monkeypatch, READING)
    seams.install(READING, Signing())
    assert isinstance(vars(poetry["Authenticator"])["create_session"], property)


ALWAYS = (READING, ASKING_FOR_GIT, ASKING_KEYRING)


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("publish", (*ALWAYS, UPLOADING)),
        ("monorepo publish", (*ALWAYS, UPLOADING)),
        ("install", ALWAYS),
        ("version", ALWAYS),
        (None, ALWAYS),
    ],
)
def test_only_commands_that_publish_load_the_uploader(command: str | None, needed: tuple[seams.Seam, ...]) -> None:
    assert seams.seams_for(command) == needed


@pytest.mark.parametrize("is_cached", [False, True], ids=["as in 2.0", "cached, as in 2.5"])
def test_a_class_method_is_called_through_us_as_before(monkeypatch: pytest.MonkeyPatch, *, is_cached: bool) -> None:
    def is_available(cls: type) -> str:
        return cls.__name__

    module = ModuleType(ASKING_KEYRING.module)
    method = classmethod(cache(is_available) if is_cached else is_available)
    module.PoetryKeyring = type("PoetryKeyring", (), {"is_available": method})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, ASKING_KEYRING.module, module)
    for _ in range(2):
        assert seams.install(ASKING_KEYRING, lambda original: [original()]) is None
    assert module.PoetryKeyring.is_available() == ["PoetryKeyring"]
    assert module.PoetryKeyring().is_available() == ["PoetryKeyring"]


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
@pytest.mark.parametrize(
    ("method", "sends"),
    [({SENDING_GIT.method: lambda _: None}, True), ({}, False), ({SENDING_GIT.method: property()}, False)],
    ids=["as expected", "missing", "in another shape"],
)
def test_where_git_is_loaded_the_plugin_is_active_if_it_can_sign_that_too(
    monkeypatch: pytest.MonkeyPatch, method: dict[str, object], *, sends: bool
) -> None:
    for seam in (READING, UPLOADING, ASKING_FOR_GIT):
        seams.install(seam, Signing())
    module = ModuleType(SENDING_GIT.module)
    setattr(module, SENDING_GIT.owner, type(SENDING_GIT.owner, (), method))
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
