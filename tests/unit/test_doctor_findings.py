"""How findings are shown, and what the command ends with."""

from __future__ import annotations

import click
import pytest

from indexpass._doctor.findings import Finding, Verdict, exit_code, render, with_tilde

LONG = "keyring 25.7.0 in ~/a-rather-long-name/of-a-folder/with-many-hyphens/bin/python asks indexpass first"
HINT = "/home/alice/venvs/work/bin/python -m pip config set global.keyring-provider subprocess"


def shown(*findings: Finding, width: int | None = 80) -> list[str]:
    return [click.unstyle(line) for text in render(findings, width) for line in text.split("\n")]


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([], 0),
        (["ok", "note"], 0),
        (["ok", "sign-in", "note"], 3),
        (["sign-in", "fault"], 1),
    ],
    ids=["nothing", "notes", "sign-in", "fault"],
)
def test_the_exit_code_says_whether_something_is_broken_or_only_a_sign_in_is_missing(
    verdicts: list[Verdict], code: int
) -> None:
    assert exit_code([Finding("pip", verdict, "…") for verdict in verdicts]) == code


def test_a_message_goes_on_in_its_column_within_80_columns() -> None:
    first, *rest = shown(Finding("pip", "note", LONG))
    assert all(len(line) <= 80 for line in (first, *rest))
    assert rest
    assert {line.index(line.strip()) for line in rest} == {first.index("keyring")}
    assert any("/with-many-hyphens/bin/python" in line for line in rest), "a path is not broken"


def test_a_hint_is_one_line_that_can_be_pasted() -> None:
    assert shown(Finding("pip", "fault", LONG, HINT))[-1].strip() == f"→ {HINT}"


def test_on_a_pipe_each_message_is_one_line() -> None:
    assert len(shown(Finding("pip", "note", LONG), width=None)) == 1


def test_a_long_name_has_a_line_of_its_own() -> None:
    first, second = shown(Finding("an-index-with-a-long-name", "ok", "alice"))
    assert first.endswith("an-index-with-a-long-name")
    assert second.strip() == "alice"


def test_what_comes_from_outside_cannot_move_the_cursor() -> None:
    assert "\x1b" not in "".join(shown(Finding("a\x1b[2J", "ok", "b\x1b[2J", "c\x1b[2J")))


@pytest.mark.parametrize(
    ("path", "shown_as"),
    [
        ("/home/alice/bin/pip", "~/bin/pip"),
        ("/home/alicebob/bin/pip", "/home/alicebob/bin/pip"),
        ("/bin/pip", "/bin/pip"),
    ],
    ids=["own", "a longer name", "elsewhere"],
)
def test_the_home_folder_is_written_short(monkeypatch: pytest.MonkeyPatch, path: str, shown_as: str) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    assert with_tilde(path) == shown_as
