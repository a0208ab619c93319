"""Which files are read, by name, in folders and by inclusion; and that nothing in a folder can hold the search up."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from indexpass._leaks.files import MAX_BYTES, MAX_INCLUDED, Search

if TYPE_CHECKING:
    from pathlib import Path

DIRTY = "https://me:canary-51c7@packages.acme.example/simple/\n"


def found(*paths: Path) -> tuple[list[str], list[str]]:
    """Return the names of the files with a secret in them, and of those that could not be read."""
    search = Search(frozenset())
    looked = [each.path.name for each in search.look([(path, None) for path in paths]) if each.leaks]
    return looked, [f"{each.path.name}: {each.reason}" for each in search.unread]


def put(file: Path, text: str = DIRTY) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", newline="")
    return file


def test_a_folder_is_searched_for_what_tools_read(tmp_path: Path) -> None:
    for name in ("pip.conf", "a/requirements.txt", ".github/workflows/ci.yml", ".git/config", "README.md"):
        put(tmp_path / name)
    put(tmp_path / ".git/modules/sub/config")
    assert found(tmp_path) == (["config", "config", "pip.conf", "ci.yml", "requirements.txt"], [])


@pytest.mark.parametrize(
    "name",
    [
        ".git/objects/requirements.txt",
        "node_modules/a/requirements.txt",
        ".tox/requirements.txt",
        ".venv/requirements.txt",
        "a/cache/requirements.txt",
    ],
)
def test_what_others_have_written_is_passed_over(tmp_path: Path, name: str) -> None:
    put(tmp_path / name)
    put(tmp_path / ".venv/pyvenv.cfg", "")
    put(tmp_path / "a/cache/CACHEDIR.TAG", "")
    assert found(tmp_path) == ([], [])


def test_a_file_that_is_named_is_searched_whatever_its_name(tmp_path: Path) -> None:
    assert found(put(tmp_path / "README.md")) == (["README.md"], [])


@pytest.mark.parametrize(
    "line",
    [
        "-r b.in",
        "-rb.in",
        "  --requirement b.in",
        "--requirement=b.in  # more",
        "-c b.in",
        "--constraint b.in",
        '-r "b.in"',
    ],
)
def test_what_a_requirements_file_includes_is_searched_too(tmp_path: Path, line: str) -> None:
    put(tmp_path / "b.in")
    assert found(put(tmp_path / "requirements.txt", f"{line}\r\n")) == (["b.in"], [])


def test_files_that_include_each_other_are_read_once(tmp_path: Path) -> None:
    put(tmp_path / "b.in", f"-r requirements.txt\n-r ./sub/../b.in\n{DIRTY}")
    (tmp_path / "sub").mkdir()
    assert found(put(tmp_path / "requirements.txt", f"-r b.in\n{DIRTY}")) == (["requirements.txt", "b.in"], [])


def test_what_is_included_from_elsewhere_is_told_and_not_mended(tmp_path: Path) -> None:
    put(tmp_path / "other.txt")
    inside = put(tmp_path / "project/sub.txt")
    put(tmp_path / "project/requirements.txt", "-r ../other.txt\n-r sub.txt\n")
    looked = list(Search(frozenset()).look([(tmp_path / "project", None)]))
    assert {each.path.name: each.may_be_mended for each in looked if each.leaks} == {
        inside.name: True,
        "other.txt": False,
    }


def test_inclusions_without_end_end(tmp_path: Path) -> None:
    for number in range(MAX_INCLUDED + 2):
        put(tmp_path / f"{number}.in", f"-r {number + 1}.in\n")
    _, unread = found(put(tmp_path / "requirements.txt", "-r 0.in\n"))
    assert unread == [f"{MAX_INCLUDED}.in: more than {MAX_INCLUDED} files are included"]


@pytest.mark.skipif(os.name != "posix", reason="links and pipes are those of POSIX")
def test_links_and_pipes_hold_nothing_up(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    put(folder / "a/requirements.txt")
    (folder / "loop").symlink_to(folder)
    (folder / "pip.conf").symlink_to("pip.conf")
    os.mkfifo(folder / "uv.toml")
    assert found(folder) == (["requirements.txt"], ["uv.toml: it is no regular file"])


@pytest.mark.skipif(os.name != "posix", reason="links are those of POSIX")
def test_a_link_that_is_named_is_followed_unless_it_leads_in_a_circle(tmp_path: Path) -> None:
    put(tmp_path / "dotfiles/pip.conf")
    (tmp_path / "pip.conf").symlink_to("dotfiles/pip.conf")
    (tmp_path / "pip.ini").symlink_to("pip.ini")
    looked, unread = found(tmp_path / "pip.conf", tmp_path / "pip.ini")
    assert looked == ["pip.conf"]
    assert [each.partition(":")[0] for each in unread] == ["pip.ini"]


@pytest.mark.skipif(os.name != "posix", reason="names of any length are those of Windows")
def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    name = "a" * 300
    assert found(put(tmp_path / "requirements.txt", f"-r {name}\n")) == ([], [f"{name}: file name too long"])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_a_file_may_be_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "pip.conf").write_bytes(f"# übung\r\n{DIRTY}".encode(encoding))
    assert found(tmp_path) == (["pip.conf"], [])


def test_a_file_in_utf_16_is_not_rewritten(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_bytes(DIRTY.encode("utf-16"))
    assert [each.may_be_mended for each in Search(frozenset()).look([(tmp_path, None)])] == [False]


def test_a_binary_file_is_not_searched_which_is_said(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_bytes(b"\0\1" + DIRTY.encode())
    assert found(tmp_path) == ([], ["pip.conf: it is binary"])


def test_a_file_without_end_is_read_no_further_which_is_said(tmp_path: Path) -> None:
    with (tmp_path / "pip.conf").open("wb") as file:
        file.write(b" " * MAX_BYTES + DIRTY.encode())
    assert found(tmp_path) == ([], ["pip.conf: only the first 16 MiB were searched"])


@pytest.mark.skipif(os.name != "posix", reason="links are those of POSIX")
@pytest.mark.parametrize("name", ["circle.in", "a\0b"], ids=["circle", "NUL"])
def test_an_inclusion_that_leads_nowhere_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "circle.in").symlink_to("circle.in")
    _, unread = found(put(tmp_path / "requirements.txt", f"{' ' * 9000}\n-r {name}\n"))
    assert [each.partition(":")[0] for each in unread] == [name]


def test_a_folder_without_end_is_left(tmp_path: Path) -> None:
    for name in ("a/pip.conf", "b/pip.conf", "c/pip.conf"):
        put(tmp_path / name)
    search = Search(frozenset(), max_names=2)
    assert list(search.look([(tmp_path, None)])) == []
    assert [each.reason for each in search.unread] == [
        f"{tmp_path} has more than 2 files: name the folders that matter"
    ]


def test_a_line_without_end_takes_no_time_without_end(tmp_path: Path) -> None:
    hostile = "https://" + "a" * 3_000 + ":" + "https://u:p@h" * 3_000 + 'password = "' * 3_000 + "machine a " * 3_000
    for name in ("requirements.txt", "auth.toml", ".netrc", ".env", "noxfile.py", ".pypirc"):
        put(tmp_path / name, hostile)
    assert len(found(tmp_path)[0]) == 6


@pytest.mark.timeout(20)  # a search whose time grows with the third power of a line's length takes hours
def test_an_inclusion_of_nothing_but_space_takes_no_time_without_end(tmp_path: Path) -> None:
    assert found(put(tmp_path / "requirements.txt", f"-r{' ' * 20_000}\rx\n")) == ([], [])
