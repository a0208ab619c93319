"""``indexpass scan`` as a person, a script, a CI system and a code scanner meet it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

from indexpass import _cli
from indexpass._leaks.leak import RULES

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "canary-51c7"
HOST = "packages.acme.example"
DIRTY = f"--index-url https://me:{SECRET}@{HOST}/simple/\n"
CLEAN = f"--index-url https://__token__@{HOST}/simple/\n"
CONFIG = f'[[index]]\nname = "acme"\nurl = "https://{HOST}/simple/"\nbroker = "https://tokens.acme.example"\n'
NETRC = f"machine {HOST} login me password {SECRET}\nmachine ftp.example login a password {SECRET}-2\n"


class Place(NamedTuple):
    """A user's home and a project, in which the commands run."""

    home: Path
    project: Path

    def put(self, name: str, text: str = DIRTY) -> Path:
        file = self.project / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
        return file

    def scan(self, *words: str, says: str | None = None, **environ: str) -> Result:
        own = {"HOME": str(self.home), "USERPROFILE": str(self.home), "INDEXPASS_HOME": str(self.home / "indexpass")}
        away = {name: None for name in os.environ if name.startswith(("INDEXPASS_", "PIP_", "UV_", "XDG_", "VIRTUAL_"))}
        result = CliRunner().invoke(_cli.main, ["scan", *words], input=says, env={**away, **own, **environ})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        assert SECRET not in result.output
        return result


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path / "home", tmp_path / "project")
    (made.home / "indexpass").mkdir(parents=True, mode=0o700)
    (made.home / "indexpass").chmod(0o700)
    (made.home / "indexpass/config.toml").write_text(CONFIG, encoding="utf-8")
    made.project.mkdir()
    monkeypatch.chdir(made.project)
    return made


def test_a_secret_is_told_with_its_place_and_what_to_write(place: Place) -> None:
    place.put("sub/requirements.txt", f"# first\n{DIRTY}")
    result = place.scan(".")
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first.startswith(f"sub/requirements.txt:2:24: password in a URL of {HOST}, user me [")
    assert second == f"    write __token__@{HOST} there: the client asks keyring"
    assert f"where {HOST} issued it" in result.stderr
    assert "indexpass scan . --fix" in result.stderr


def test_where_nothing_is_found_it_ends_well(place: Place) -> None:
    place.put("requirements.txt", CLEAN)
    result = place.scan(".")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "No secret of a package index found.\n"


def test_without_a_path_the_user_s_own_files_and_the_environment_are_searched_too(place: Place) -> None:
    place.put("requirements.txt")
    (place.home / ".netrc").write_text(NETRC, encoding="utf-8")
    result = place.scan("--json", UV_INDEX_ACME_PASSWORD=SECRET, PIP_INDEX_URL=DIRTY.split()[1])
    leaks = json.loads(result.stdout)["leaks"]
    assert [(leak["file"], leak["setting"]) for leak in leaks][:2] == [
        ("requirements.txt", None),
        (str(place.home / ".netrc"), None),
    ]
    assert {leak["setting"] for leak in leaks[2:]} == {"UV_INDEX_ACME_PASSWORD", "PIP_INDEX_URL"}


def test_with_a_path_nothing_else_is_searched(place: Place) -> None:
    (place.home / ".netrc").write_text(NETRC, encoding="utf-8")
    assert place.scan(".", UV_INDEX_ACME_PASSWORD=SECRET).exit_code == 0


def test_quiet_says_it_by_the_exit_code_alone(place: Place) -> None:
    place.put("requirements.txt")
    result = place.scan("--quiet", ".")
    assert (result.exit_code, result.output) == (1, "")


@pytest.mark.parametrize("words", [["nowhere.txt"], ["--undo", "."], ["--undo", "--fix"], ["--format", "xml"]])
def test_wrong_usage_is_told_apart_from_something_found(place: Place, words: list[str]) -> None:
    assert place.scan(*words).exit_code == 2


def test_what_could_not_be_searched_is_said_and_is_no_success(place: Place) -> None:
    place.put("requirements.txt", f"-r {'a' * 300}\n")
    result = place.scan(".")
    assert result.exit_code == 1
    assert "not searched: " in result.stderr


def test_a_broken_configuration_hinders_no_search(place: Place) -> None:
    (place.home / "indexpass/config.toml").write_text("[", encoding="utf-8")
    place.put("requirements.txt")
    result = place.scan(".")
    assert result.exit_code == 1
    assert "requirements.txt:1" in result.stdout


# Mending


def test_fix_shows_the_change_asks_and_makes_it(place: Place) -> None:
    file = place.put("requirements.txt")
    result = place.scan(".", "--fix", says="y\n")
    assert result.exit_code == 0
    assert file.read_text(encoding="utf-8") == CLEAN
    assert f"-{DIRTY}".replace(SECRET, "****") in result.stderr
    assert f"+{CLEAN}" in result.stderr


def test_who_says_no_keeps_the_file(place: Place) -> None:
    file = place.put("requirements.txt")
    assert place.scan(".", "--fix", says="n\n").exit_code == 1
    assert file.read_text(encoding="utf-8") == DIRTY


def test_a_quiet_fix_that_asks_nothing_says_nothing(place: Place) -> None:
    file = place.put("requirements.txt")
    result = place.scan(".", "--fix", "--yes", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert file.read_text(encoding="utf-8") == CLEAN


def test_where_nobody_answers_the_hint_is_yes(place: Place) -> None:
    file = place.put("requirements.txt")
    result = place.scan(".", "--fix", says="")
    assert result.exit_code == 1
    assert "--yes" in result.stderr
    assert file.read_text(encoding="utf-8") == DIRTY


def test_undo_puts_every_file_back_byte_for_byte(place: Place) -> None:
    old = f"# \xfcbung\r\n{DIRTY}".encode("latin-1")
    file = place.put("requirements.txt")
    file.write_bytes(old)
    (place.home / ".netrc").write_text(NETRC, encoding="utf-8")
    assert place.scan("--fix", "--yes").exit_code == 0
    assert SECRET not in file.read_text(encoding="latin-1")
    assert place.scan("--undo").exit_code == 0
    assert file.read_bytes() == old
    assert (place.home / ".netrc").read_text(encoding="utf-8") == NETRC


def test_undo_without_anything_to_undo_says_so(place: Place) -> None:
    result = place.scan("--undo")
    assert (result.exit_code, result.stderr.partition(":")[0]) == (0, "Nothing to undo")


def test_a_file_that_was_changed_since_is_left_and_named(place: Place) -> None:
    file = place.put("requirements.txt")
    place.scan("--fix", "--yes", ".")
    file.write_text("acme\n", encoding="utf-8")
    result = place.scan("--undo")
    assert result.exit_code == 1
    assert "requirements.txt: changed since, and left alone" in result.stderr
    assert file.read_text(encoding="utf-8") == "acme\n"


def test_what_only_people_can_mend_is_left_and_is_no_success(place: Place) -> None:
    place.put(".env", f"TWINE_PASSWORD={SECRET}\n{DIRTY}")
    result = place.scan("--fix", "--yes", "--json", ".")
    assert result.exit_code == 1
    assert [leak["fixed"] for leak in json.loads(result.stdout)["leaks"]] == [False, True]


def test_the_secrets_that_others_have_in_the_same_file_are_not_shown(place: Place) -> None:
    place.put(".netrc", NETRC.replace(f"{SECRET}-2", "other-1"))
    place.put(".env", f"MINE=other-2\nA={DIRTY}API_KEY=other-3 B={DIRTY}")
    result = place.scan("--fix", "--yes", ".")
    assert "machine" in result.stderr
    assert "other-" not in result.output


def test_an_index_that_keyring_does_not_know_yet_is_named(place: Place) -> None:
    place.put("requirements.txt", DIRTY.replace("packages", "other") + DIRTY)
    result = place.scan("--fix", "--yes", ".")
    assert "Not configured yet: other.acme.example." in result.stderr


# For code scanners


def sarif(result: Result) -> Any:  # noqa: ANN401  # JSON
    return json.loads(result.stdout)


def test_sarif_has_what_the_standard_demands(place: Place) -> None:
    place.put("sub dir/requirements.txt", f"\n{DIRTY}")
    place.put("requirements.txt", f"-r {'a' * 300}\n")
    log = sarif(place.scan("--format", "sarif", "."))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert run["tool"]["driver"]["name"] == "indexpass"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(RULES)
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "password-in-url"
    assert result["level"] in ("none", "note", "warning", "error")
    assert result["message"]["text"]
    (location,) = result["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "sub%20dir/requirements.txt"
    assert location["physicalLocation"]["region"] == {"startLine": 2, "startColumn": 24}
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "file name too long" in invocation["toolExecutionNotifications"][0]["message"]["text"]


def test_a_variable_is_a_logical_location_in_sarif(place: Place) -> None:
    (run,) = sarif(place.scan("--format", "sarif", TWINE_PASSWORD=SECRET))["runs"]
    (location,) = run["results"][0]["locations"]
    assert location["logicalLocations"] == [{"name": "TWINE_PASSWORD", "kind": "variable"}]


def test_what_is_fixed_is_in_no_sarif_log(place: Place) -> None:
    place.put("requirements.txt")
    (run,) = sarif(place.scan("--format", "sarif", "--fix", "--yes", "."))["runs"]
    assert run["results"] == []
