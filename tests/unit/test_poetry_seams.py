"""The seams, against a stand-in for Poetry's modules; the real ones are exercised end to end."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest
import requests

from indexpass.poetry_plugin import seams
from indexpass.poetry_plugin.seams import READING, UPLOADING


class Authenticator:
    def create_session(self) -> requests.Session:
        return requests.Session()


class Uploader:
    def make_session(self) -> requests.Session:
        return requests.Session()


@pytest.fixture
def poetry(monkeypatch: pytest.MonkeyPatch) -> dict[str, type]:
    """Put fresh copies of the stand-in classes where Poetry keeps its own."""
    classes: dict[str, type] = {}
    for seam, original in ((READING, Authenticator), (UPLOADING, Uploader)):
        classes[seam.owner] = type(seam.owner, (), {seam.method: vars(original)[seam.method]})
        module = ModuleType(seam.module)
        setattr(module, seam.owner, classes[seam.owner])
        monkeypatch.setitem(sys.modules, seam.module, module)
    return classes


def create(poetry: dict[str, type]) -> object:
    return poetry["Authenticator"]().create_session()


def test_a_session_that_poetry_creates_is_signed(poetry: dict[str, type]) -> None:
    signed: list[object] = []
    seams.install(READING, signed.append)
    assert [create(poetry)] == signed


@pytest.mark.usefixtures("poetry")
def test_a_seam_that_is_there_is_installed_without_a_word() -> None:
    assert seams.install(UPLOADING, lambda _: None) is None


def test_installing_twice_signs_once(poetry: dict[str, type]) -> None:
    signed: list[object] = []
    seams.install(READING, signed.append)
    seams.install(READING, signed.append)
    create(poetry)
    assert len(signed) == 1


def test_a_seam_that_another_plugin_has_wrapped_is_installed_around_it(poetry: dict[str, type]) -> None:
    original = Authenticator.create_session

    def wrapped(self: Authenticator, pool_size: int = 1) -> requests.Session:
        session = original(self)
        session.headers["X-Pool-Size"] = str(pool_size)
        return session

    del wrapped.__annotations__["return"]
    poetry["Authenticator"].create_session = wrapped  # type: ignore[attr-defined]
    signed: list[object] = []
    seams.install(READING, signed.append)
    session = poetry["Authenticator"]().create_session(pool_size=7)
    assert (signed, session.headers["X-Pool-Size"]) == ([session], "7")


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
    complaint = seams.install(READING, lambda _: None)
    assert complaint
    assert "poetry.utils.authenticator.Authenticator.create_session" in complaint
    assert "\n" not in complaint


def test_a_seam_that_has_changed_is_left_as_it_is(poetry: dict[str, type], monkeypatch: pytest.MonkeyPatch) -> None:
    make_it_a_property(monkeypatch)
    seams.install(READING, lambda _: None)
    assert isinstance(vars(poetry["Authenticator"])["create_session"], property)


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("publish", (READING, UPLOADING)),
        ("monorepo publish", (READING, UPLOADING)),
        ("install", (READING,)),
        ("version", (READING,)),
        (None, (READING,)),
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
    seams.install(READING, lambda _: None)
    assert not seams.is_active()


@pytest.mark.usefixtures("poetry")
def test_with_every_loaded_seam_in_place_the_plugin_is_active() -> None:
    seams.install(READING, lambda _: None)
    seams.install(UPLOADING, lambda _: None)
    assert seams.is_active()


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
