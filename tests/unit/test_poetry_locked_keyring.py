"""When Poetry may ask keyring, and when it is kept from asking a desktop that is locked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from indexpass.poetry_plugin.locked_keyring import may_ask, needs_keyring

if TYPE_CHECKING:
    from pathlib import Path

    from indexpass.poetry_plugin.seams import Command

URL = "https://packages.acme.example/simple/"
UPLOAD_URL = "https://packages.acme.example/legacy/"
OTHER_URL = "https://packages.other.example/simple/"
CONFIG = (
    f'[[index]]\nname = "acme"\nurl = "{URL}"\nupload-url = "{UPLOAD_URL}"\nbroker = "https://tokens.acme.example"\n'
)
REPOSITORIES = {"up": {"url": UPLOAD_URL}, "other": {"url": OTHER_URL}}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "config.toml").write_text(CONFIG)
    return {"INDEXPASS_HOME": str(tmp_path)}


class Asked:
    """What we use of a command of Poetry's."""

    def __init__(self, name: str, *sources: str | None, users: object = None, **options: str) -> None:
        self.name = name
        self.option = options.__getitem__
        self.config = {"http-basic": users, "repositories": REPOSITORIES}
        self.get_sources = lambda: [SimpleNamespace(url=url) for url in sources]

    @property
    def poetry(self) -> Asked:
        return self


@pytest.mark.parametrize(
    ("asked", "needs"),
    [
        pytest.param(Asked("add"), True, id="no-source"),
        pytest.param(Asked("add", None), True, id="the-public-index-by-name"),
        pytest.param(Asked("add", URL), False, id="ours"),
        pytest.param(Asked("add", URL, None), False, id="ours-and-the-public-index-by-name"),
        pytest.param(Asked("add", URL, OTHER_URL), True, id="ours-and-another"),
        pytest.param(Asked("self add", URL), False, id="ours-for-poetry-itself"),
        pytest.param(Asked("config", URL), True, id="a-password-to-keep"),
        pytest.param(Asked("add", URL, users={"x": {"username": "me"}}), True, id="a-user-without-password"),
        pytest.param(Asked("add", URL, users={"x": {"username": "me", "password": "p"}}), False, id="a-whole-user"),
        pytest.param(Asked("publish", URL, repository=""), True, id="publish-to-the-public-index"),
        pytest.param(Asked("publish", URL, repository="nonsense"), True, id="publish-to-nowhere"),
        pytest.param(Asked("publish", URL, repository="other"), True, id="publish-to-another"),
        pytest.param(Asked("publish", OTHER_URL, repository="up"), False, id="publish-to-ours"),
    ],
)
def test_keyring_is_needed_for_all_that_is_not_ours(asked: Asked, environ: dict[str, str], *, needs: bool) -> None:
    assert needs_keyring(asked, environ) is needs


@pytest.mark.parametrize(("password", "needs"), [({}, True), ({"POETRY_HTTP_BASIC_X_PASSWORD": "p"}, False)])
def test_a_user_may_be_named_by_a_variable(environ: dict[str, str], password: dict[str, str], *, needs: bool) -> None:
    assert needs_keyring(Asked("add", URL), {**environ, "POETRY_HTTP_BASIC_X_USERNAME": "me", **password}) is needs


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(object(), id="a-command-that-is-not-poetry-s"),
        pytest.param(Asked("monorepo publish", URL), id="a-command-without-the-option"),
        pytest.param(Asked("add", URL, users={"x": "text"}), id="settings-of-another-shape"),
    ],
)
def test_where_it_cannot_be_told_poetry_does_what_it_does_without_us(asked: Command) -> None:
    assert may_ask(asked)
