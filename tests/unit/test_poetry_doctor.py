"""What the doctor says of each part, from facts alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexpass._credential import Index
from indexpass._doctor.findings import Finding
from indexpass._url import IndexUrl
from indexpass.poetry_plugin.doctor import Facts, Place, examine
from indexpass.poetry_plugin.secrets_in_files import Leak

URL = "https://packages.acme.example/simple/"
UPLOAD_URL = "https://packages.acme.example/legacy/"
ACME = Index("acme", IndexUrl.parse(URL), upload_url=IndexUrl.parse(UPLOAD_URL))
FACTS = Facts(
    versions="indexpass 1 in Poetry 2",
    complaints=(),
    signs=True,
    is_keyring_enabled=False,
    would_open_keyring=False,
    places=(),
    leaks=(),
    indexes=(ACME,),
    general=(),
)
COMPLAINT = "indexpass: this version of Poetry has no usable seam; update indexpass"


def find(facts: Facts, part: str) -> Finding:
    (found,) = [finding for finding in examine(facts) if finding.part == part]
    return found


@pytest.mark.parametrize(
    ("place", "verdict", "hint"),
    [
        (Place("source", "acme", URL), "ok", ""),
        (Place("repository", "up", UPLOAD_URL), "ok", ""),
        (Place("repository", "up", URL), "fault", f"poetry config repositories.up {UPLOAD_URL}"),
        (Place("source", "acme", URL, True), "note", "poetry config --unset http-basic.acme"),  # noqa: FBT003
        (Place("source", "acme", URL.replace("://", "://me:pw@")), "fault", "see secrets"),
        (
            Place("source", "acme", "https://other.example/simple/"),
            "note",
            "poetry indexpass add https://other.example/simple/",
        ),
    ],
    ids=["ours", "upload", "no upload url", "own credentials", "secret in url", "another host, same name"],
)
def test_what_is_said_of_a_source(place: Place, verdict: str, hint: str) -> None:
    found = find(FACTS._replace(places=[place]), f"{place.kind} {place.name}")
    assert (found.verdict, found.hint) == (verdict, hint)
    assert "pw" not in found.message


@pytest.mark.parametrize(
    ("complaints", "is_enabled", "verdict"),
    [((), False, "ok"), ((), True, "ok"), ((COMPLAINT,), True, "ok"), ((COMPLAINT,), False, "fault")],
    ids=["signs, off", "signs, on", "cannot sign, on", "cannot sign, off"],
)
def test_keyring_is_needed_only_where_the_plugin_cannot_sign(
    complaints: tuple[str, ...], *, is_enabled: bool, verdict: str
) -> None:
    facts = FACTS._replace(complaints=complaints, signs=not complaints, is_keyring_enabled=is_enabled)
    assert find(facts, "keyring").verdict == verdict


@pytest.mark.parametrize(("signs", "hint"), [(True, "poetry config keyring.enabled false"), (False, "")])
def test_a_locked_keyring_that_poetry_would_open_is_noted_and_may_go_where_the_plugin_signs(
    *, signs: bool, hint: str
) -> None:
    found = find(FACTS._replace(signs=signs, is_keyring_enabled=True, would_open_keyring=True), "keyring")
    assert (found.verdict, found.hint) == ("note", hint)


def test_a_seam_that_signing_does_not_need_leaves_keyring_as_it_is() -> None:
    assert find(FACTS._replace(complaints=[COMPLAINT]), "keyring").verdict == "ok"


def test_a_seam_that_is_missing_is_a_fault_with_what_to_do() -> None:
    found = find(FACTS._replace(complaints=[COMPLAINT]), "seams")
    assert found == Finding("seams", "fault", "this version of Poetry has no usable seam", "update indexpass")


def test_what_is_the_same_for_every_client_is_said_too() -> None:
    sign_in = Finding("acme", "sign-in", "nobody is signed in", "indexpass login acme")
    assert find(FACTS._replace(general=[sign_in]), "acme") == sign_in


def test_a_credential_in_a_file_is_a_fault_with_the_command_that_removes_it() -> None:
    leak = Leak(Path("pyproject.toml"), 3, "poetry source add acme")
    found = find(FACTS._replace(leaks=[leak]), "secrets")
    assert (found.verdict, found.hint) == ("fault", "poetry source add acme")


def test_a_name_in_the_projects_file_is_no_command() -> None:
    found = find(FACTS._replace(places=[Place("source", "x", "https://other.example/;touch x/")]), "source x")
    assert found.hint == "poetry indexpass add 'https://other.example/;touch x/'"
