"""Where indexes come from, and what a wrong file is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from indexpass import _config
from indexpass._locations import Locations
from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ACME = """
[[index]]
name = "acme"
url = "https://packages.acme.example/simple/"
broker = "https://tokens.acme.example"
"""
CANARY = "canary-4c1f"


@pytest.fixture
def places(tmp_path: Path) -> Locations:
    return Locations(
        site_file=tmp_path / "site/config.toml",
        user_file=tmp_path / "user/config.toml",
        credentials=tmp_path / "credentials",
        sessions=tmp_path / "sessions",
    )


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def table(name: str, host: str, broker: str = "https://tokens.acme.example") -> str:
    return f'[[index]]\nname = "{name}"\nurl = "https://{host}/simple/"\nbroker = "{broker}"\n'


def names(places: Locations, environ: Mapping[str, str] | None = None) -> list[str]:
    return [index.name for index in _config.load(places, environ or {})]


def error_for(places: Locations, environ: Mapping[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        _config.load(places, environ or {})
    return caught.value


def test_no_file_and_no_variable_mean_no_index(places: Locations) -> None:
    assert _config.load(places, {}) == ()


def test_an_empty_file_means_no_index(places: Locations) -> None:
    write(places.user_file, "")
    assert _config.load(places, {}) == ()


def test_every_key_reaches_the_index(places: Locations) -> None:
    write(
        places.user_file,
        """
        [[index]]
        name = "acme"
        url = "https://packages.acme.example/simple"
        upload-url = "https://packages.acme.example/legacy"
        files-url = "https://files.acme.example"
        provider = "broker"
        broker = "https://tokens.acme.example/"
        """,
    )
    (index,) = _config.load(places, {})
    assert (index.name, str(index.url), str(index.upload_url), str(index.files_url), index.provider, index.options) == (
        "acme",
        "https://packages.acme.example/simple/",
        "https://packages.acme.example/legacy/",
        "https://files.acme.example/",
        "broker",
        {"broker": "https://tokens.acme.example"},
    )


def test_keys_that_are_left_out_have_their_defaults(places: Locations) -> None:
    write(places.user_file, ACME)
    (index,) = _config.load(places, {})
    assert (index.upload_url, index.files_url, index.provider) == (None, None, "broker")


def test_a_provider_of_others_takes_whatever_it_takes(places: Locations) -> None:
    text = '[[index]]\nname = "a"\nurl = "https://a.example/"\nprovider = "others"\nshelf = "top"'
    write(places.user_file, text)
    (index,) = _config.load(places, {})
    assert (index.provider, index.options) == ("others", {"shelf": "top"})


def test_a_variable_holds_what_a_provider_takes(places: Locations) -> None:
    environ = {
        "INDEXPASS_INDEX_URL": "https://a.example/simple/",
        "INDEXPASS_PROVIDER": "others",
        "INDEXPASS_OPTIONS": "shelf=top 'row=the second'",
    }
    (index,) = _config.load(places, environ)
    assert (index.provider, index.options) == ("others", {"shelf": "top", "row": "the second"})


@pytest.mark.parametrize("text", ["shelf", "'shelf=top"], ids=["no-value", "an-open-quote"])
def test_a_variable_of_options_that_is_no_list_is_refused(places: Locations, text: str) -> None:
    environ = {"INDEXPASS_INDEX_URL": "https://a.example/", "INDEXPASS_PROVIDER": "x", "INDEXPASS_OPTIONS": text}
    assert "key=value" in error_for(places, environ).message


def test_the_environment_configures_an_index_by_itself(places: Locations) -> None:
    environ = {
        "INDEXPASS_INDEX_URL": "https://a.example/simple/",
        "INDEXPASS_UPLOAD_URL": "https://a.example/legacy/",
        "INDEXPASS_FILES_URL": "https://files.example/",
        "INDEXPASS_BROKER": "https://tokens.example",
    }
    (index,) = _config.load(places, environ)
    assert (index.name, str(index.url), str(index.upload_url), str(index.files_url), index.options["broker"]) == (
        "environment",
        "https://a.example/simple/",
        "https://a.example/legacy/",
        "https://files.example/",
        "https://tokens.example",
    )


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"INDEXPASS_INDEX_URL": ""}, id="an-empty-url"),
        pytest.param({"INDEXPASS_BROKER": "https://tokens.example"}, id="a-broker-without-a-url"),
    ],
)
def test_without_an_index_url_the_environment_configures_nothing(places: Locations, environ: dict[str, str]) -> None:
    assert _config.load(places, environ) == ()


def test_the_most_authoritative_index_comes_first(places: Locations) -> None:
    write(places.site_file, table("site", "site.example"))
    write(places.user_file, table("user", "user.example"))
    environ = {"INDEXPASS_INDEX_URL": "https://env.example/", "INDEXPASS_BROKER": "https://tokens.example"}
    assert names(places, environ) == ["environment", "user", "site"]


def test_the_user_beats_the_site_on_a_name(places: Locations) -> None:
    write(places.site_file, table("acme", "site.example"))
    write(places.user_file, table("acme", "user.example"))
    assert [str(index.url) for index in _config.load(places, {})] == ["https://user.example/simple/"]


def test_the_user_beats_the_site_on_a_url(places: Locations) -> None:
    write(places.site_file, table("site", "a.example"))
    write(places.user_file, table("user", "a.example"))
    assert names(places) == ["user"]


def test_the_environment_beats_the_user_on_a_url(places: Locations) -> None:
    write(places.user_file, table("user", "a.example"))
    environ = {"INDEXPASS_INDEX_URL": "https://a.example/simple", "INDEXPASS_BROKER": "https://tokens.example"}
    assert names(places, environ) == ["environment"]


def test_nothing_is_read_from_the_working_directory(
    places: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    for name in ("config.toml", "indexpass.toml", ".indexpass.toml", "indexpass/config.toml", "pyproject.toml"):
        (project / name).parent.mkdir(exist_ok=True, parents=True)
        (project / name).write_text(ACME, encoding="utf-8")
    monkeypatch.chdir(project)
    assert _config.load(places, {}) == ()


def test_a_changed_file_is_read_again(places: Locations) -> None:
    write(places.user_file, table("one", "one.example"))
    _config.load(places, {})
    write(places.user_file, table("one", "one.example") + table("two", "two.example"))
    assert names(places) == ["one", "two"]


def test_a_file_that_appears_is_read(places: Locations) -> None:
    _config.load(places, {})
    write(places.site_file, table("site", "site.example"))
    assert names(places) == ["site"]


def test_a_file_that_disappears_is_forgotten(places: Locations) -> None:
    write(places.user_file, ACME)
    _config.load(places, {})
    places.user_file.unlink()
    assert names(places) == []


def test_a_changed_variable_is_noticed(places: Locations) -> None:
    environ = {"INDEXPASS_INDEX_URL": "https://a.example/", "INDEXPASS_BROKER": "https://tokens.example"}
    _config.load(places, environ)
    environ["INDEXPASS_INDEX_URL"] = "https://b.example/"
    assert [str(index.url) for index in _config.load(places, environ)] == ["https://b.example/"]


def test_an_unchanged_configuration_is_not_made_again(places: Locations) -> None:
    write(places.user_file, ACME)
    assert _config.load(places, {}) is _config.load(places, {})


def test_a_corrected_file_is_read_again(places: Locations) -> None:
    write(places.user_file, "[[index]")
    error_for(places)
    write(places.user_file, ACME)
    assert names(places) == ["acme"]


@pytest.mark.parametrize(
    ("text", "key", "fix"),
    [
        pytest.param("[[index]", "not valid TOML", "correct it in an editor", id="not-toml"),
        pytest.param('indexes = "x"', "'indexes'", "known keys are index, interactive", id="unknown-top-level-key"),
        pytest.param('interactive = "always"', "'interactive'", "never, device", id="unknown-interactive"),
        pytest.param("interactive = true", "'interactive'", "in quotes", id="interactive-as-a-boolean"),
        pytest.param("[index]\n", "'index'", "two brackets", id="one-bracket"),
        pytest.param('index = ["x"]', "'index'", "two brackets", id="a-list-of-texts"),
        pytest.param('[[index]]\nurl = "https://a.example/"', "'name'", "name = ", id="no-name"),
        pytest.param('[[index]]\nname = "a"', "'url'", "url = ", id="no-url"),
        pytest.param("[[index]]\nname = 5", "'name'", 'name = "…"', id="a-number-for-a-text"),
        pytest.param('[[index]]\nname = ""', "'name'", 'name = "…"', id="an-empty-text"),
        pytest.param('[[index]]\nname = "a\\u001b[2J"', "'name'", 'name = "…"', id="a-terminal-escape"),
        pytest.param(f'{ACME}user = "eve"', "'user'", "known keys are name, url", id="unknown-key"),
        pytest.param(
            '[[index]]\nname = "a"\nurl = "https://a.example/simple/"',
            "'broker'",
            "indexpass add https://a.example/simple/",
            id="no-broker",
        ),
        pytest.param(
            '[[index]]\nname = "a"\nurl = "http://a.example/"', "'url'", "use https", id="http-beyond-loopback"
        ),
        pytest.param(
            '[[index]]\nname = "a"\nurl = "https://a.example/?a=b"', "'url'", "end the URL before", id="a-query"
        ),
        pytest.param(
            '[[index]]\nname = "a"\nurl = "https://a.example/#a"', "'url'", "end the URL before", id="a-fragment"
        ),
        pytest.param(
            '[[index]]\nname = "a"\nurl = "https://a.example/"\nupload-url = "https://eve:x@a.example/"',
            "'upload-url'",
            "revoke that secret",
            id="a-password-in-the-upload-url",
        ),
    ],
)
def test_an_error_names_the_file_the_key_and_the_fix(places: Locations, text: str, key: str, fix: str) -> None:
    path = write(places.user_file, text)
    error = error_for(places)
    assert str(path) in error.message
    assert key in error.message
    assert fix in error.hint


def test_an_error_in_a_table_names_its_number(places: Locations) -> None:
    write(places.user_file, ACME + "[[index]]\nname = 5\n")
    assert "[[index]] 2" in error_for(places).message


def test_an_error_in_a_variable_says_that_it_is_one(places: Locations) -> None:
    error = error_for(places, {"INDEXPASS_INDEX_URL": "http://a.example/", "INDEXPASS_BROKER": "https://b.example"})
    assert "INDEXPASS_" in error.message


def test_a_wrong_site_file_is_named(places: Locations) -> None:
    path = write(places.site_file, "[[index]")
    write(places.user_file, ACME)
    assert str(path) in error_for(places).message


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(table("acme", "other.example"), id="the-same-name"),
        pytest.param(table("other", "packages.acme.example"), id="the-same-url"),
    ],
)
def test_two_equal_indexes_in_one_file_are_refused(places: Locations, second: str) -> None:
    write(places.user_file, ACME + second)
    assert "have the same name or url" in error_for(places).message


def test_a_file_larger_than_1_mib_is_refused(places: Locations) -> None:
    path = write(places.user_file, "#" * (_config.MAX_CONFIG_BYTES + 1))
    error = error_for(places)
    assert str(path) in error.message
    assert "1 MiB" in error.message


def test_a_file_that_is_not_utf8_is_refused(places: Locations) -> None:
    places.user_file.parent.mkdir()
    places.user_file.write_bytes(b'[[index]]\nname = "\xff"\n')
    assert str(places.user_file) in error_for(places).message


def test_a_folder_in_place_of_the_file_is_refused(places: Locations) -> None:
    places.user_file.mkdir(parents=True)
    assert str(places.user_file) in error_for(places).message


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"https://eve:{CANARY}@a.example/", id="user-and-password"),
        pytest.param(f"https://{CANARY}@a.example/", id="token-as-the-user"),
        pytest.param(f"https://eve:{CANARY}/x@a.example/", id="password-with-a-slash"),
        pytest.param(f"https://eve:{CANARY}?x@a.example/", id="password-with-a-question-mark"),
        pytest.param(f"https://eve:{CANARY}#x@a.example/", id="password-with-a-hash"),
        pytest.param(f"https://eve:x@{CANARY}@a.example/", id="password-with-an-at-sign"),
        pytest.param(f"https://eve:{CANARY} @a.example/", id="password-with-a-space"),
        pytest.param(f"https://eve:{CANARY}[@a.example/", id="password-with-a-bracket"),
        pytest.param(f"eve:{CANARY}@a.example/", id="no-scheme"),
        pytest.param(f"https://a.example/?token={CANARY}", id="token-in-the-query"),
        pytest.param(f"https://a.example/#{CANARY}", id="token-in-the-fragment"),
    ],
)
@pytest.mark.parametrize("key", ["url", "broker"])
def test_a_secret_in_a_url_is_refused_and_not_repeated(places: Locations, url: str, key: str) -> None:
    urls = {"url": "https://a.example/", "broker": "https://b.example", key: url}
    write(places.user_file, f'[[index]]\nname = "a"\nurl = "{urls["url"]}"\nbroker = "{urls["broker"]}"')
    error = error_for(places)
    assert CANARY not in f"{error!r} {error} {error.hint} {error.__cause__!r}"


def test_variables_without_a_broker_say_which_variable_is_missing(places: Locations) -> None:
    error = error_for(places, {"INDEXPASS_INDEX_URL": "https://a.example/simple/"})
    assert error.hint == "export INDEXPASS_BROKER=https://…"


@pytest.mark.parametrize(
    ("text", "may"),
    [("", False), ('interactive = "never"', False), ('interactive = "device"', True)],
    ids=["silent", "never", "device"],
)
def test_only_who_opts_in_is_asked_inside_clients(places: Locations, text: str, may: bool) -> None:  # noqa: FBT001
    write(places.user_file, text)
    assert _config.may_sign_in_inside_clients(places) is may


def test_the_site_cannot_opt_a_user_in(places: Locations) -> None:
    write(places.site_file, 'interactive = "device"')
    assert _config.may_sign_in_inside_clients(places) is False
