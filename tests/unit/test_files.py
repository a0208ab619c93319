"""Private files: what is refused on the way in, and what stands on the disk on the way out."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from indexpass._files import DRAFT_SECONDS, MAX_FILE_BYTES, ensure_private_folder, read_private, write_private
from indexpass.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and links are those of POSIX")
as_root = pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root can give a file away")

# A umask of 0 takes nothing away, so the mode on disk is the one that was asked for when the file was made.
WRITE_WITHOUT_UMASK = """
import os, pathlib, sys
from indexpass._files import write_private
os.umask(0)
sys.addaudithook(lambda event, _: sys.exit("the mode came later") if event == "os.chmod" else None)
write_private(pathlib.Path(sys.argv[1]), b"secret")
"""
# A file larger than the limit cannot be written by anyone, not even by root: as good as a full disk.
WRITE_TO_A_FULL_DISK = """
import pathlib, resource, sys
from indexpass._files import write_private
from indexpass.errors import StoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (4, 4))
try:
    write_private(pathlib.Path(sys.argv[1]), b"0123456789")
except StoreError as error:
    print(error.message, error.hint, sep="|")
"""


def run(script: str, path: Path) -> str:
    child = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, check=True, timeout=60, encoding="utf-8"
    )
    return child.stdout


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    return folder


def test_what_is_written_is_read(folder: Path) -> None:
    write_private(folder / "f", b"\x00\r\n\x1a\xff")
    assert read_private(folder / "f") == b"\x00\r\n\x1a\xff"


def test_a_missing_file_is_none(folder: Path) -> None:
    assert read_private(folder / "f") is None


def test_a_missing_folder_is_none(tmp_path: Path) -> None:
    assert read_private(tmp_path / "missing/f") is None


def test_a_file_has_mode_0600_from_its_first_byte(folder: Path) -> None:
    run(WRITE_WITHOUT_UMASK, folder / "f")
    assert mode(folder / "f") == 0o600


def test_a_folder_has_mode_0700_from_its_beginning(tmp_path: Path) -> None:
    run(WRITE_WITHOUT_UMASK, tmp_path / "new/f")
    assert mode(tmp_path / "new") == 0o700


def test_a_second_write_replaces_the_first(folder: Path) -> None:
    write_private(folder / "f", b"a longer first text")
    write_private(folder / "f", b"second")
    assert read_private(folder / "f") == b"second"


def test_a_write_leaves_no_draft(folder: Path) -> None:
    write_private(folder / "f", b"x")
    assert [path.name for path in folder.iterdir()] == ["f"]


@pytest.mark.parametrize(
    ("name", "seconds", "stays"),
    [
        pytest.param("f.123-abcd.new", DRAFT_SECONDS + 60, False, id="of-a-process-that-was-killed"),
        pytest.param("f.123-abcd.new", DRAFT_SECONDS - 60, True, id="of-a-process-that-may-still-write"),
        pytest.param("g.123-abcd.new", DRAFT_SECONDS + 60, True, id="of-another-file"),
        pytest.param("f.new", DRAFT_SECONDS + 60, True, id="of-somebody-else"),
    ],
)
def test_a_write_removes_the_drafts_of_killed_processes(folder: Path, name: str, seconds: float, stays: bool) -> None:  # noqa: FBT001  # a table's column
    draft = folder / name
    draft.write_bytes(b"half")
    os.utime(draft, (time.time() - seconds,) * 2)
    write_private(folder / "f", b"x")
    assert draft.exists() == stays


def test_a_reader_of_the_old_file_is_not_disturbed_by_a_write(folder: Path) -> None:
    write_private(folder / "f", b"old")
    with (folder / "f").open("rb") as reader:
        write_private(folder / "f", b"new")
        assert reader.read() == b"old"


def test_a_full_disk_is_a_store_error_with_a_hint(folder: Path) -> None:
    message, hint = run(WRITE_TO_A_FULL_DISK, folder / "f").split("|")
    assert str(folder / "f") in message
    assert "INDEXPASS_HOME" in hint


def test_a_full_disk_leaves_the_old_file_whole(folder: Path) -> None:
    write_private(folder / "f", b"old and whole")
    run(WRITE_TO_A_FULL_DISK, folder / "f")
    assert read_private(folder / "f") == b"old and whole"


def test_a_full_disk_leaves_no_draft(folder: Path) -> None:
    run(WRITE_TO_A_FULL_DISK, folder / "f")
    assert list(folder.iterdir()) == []


def test_a_write_onto_a_symbolic_link_replaces_the_link_and_not_its_target(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"untouched")
    (folder / "f").symlink_to(target)
    write_private(folder / "f", b"secret")
    assert target.read_bytes() == b"untouched"
    assert not (folder / "f").is_symlink()


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be made"):
        write_private(tmp_path / "file/folder/f", b"x")


def test_a_symbolic_link_is_refused_on_reading(folder: Path) -> None:
    write_private(folder / "target", b"x")
    (folder / "f").symlink_to(folder / "target")
    with pytest.raises(StoreError, match="cannot be opened"):
        read_private(folder / "f")


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
def test_a_file_that_is_open_to_others_is_refused(folder: Path, bits: int) -> None:
    write_private(folder / "f", b"x")
    (folder / "f").chmod(bits)
    with pytest.raises(StoreError, match="open to others") as caught:
        read_private(folder / "f")
    assert caught.value.hint == f"make it yours alone: chmod 600 {folder / 'f'}"


@as_root
def test_a_file_of_someone_else_is_refused(folder: Path) -> None:
    write_private(folder / "f", b"x")
    os.chown(folder / "f", 65534, -1)
    with pytest.raises(StoreError, match="belongs to someone else") as caught:
        read_private(folder / "f")
    assert caught.value.hint == f"chown 0 {folder / 'f'}, or point INDEXPASS_HOME to a folder of yours"


def test_a_file_larger_than_64_kib_is_refused(folder: Path) -> None:
    write_private(folder / "f", b"x" * (MAX_FILE_BYTES + 1))
    with pytest.raises(StoreError, match="larger than 64 KiB"):
        read_private(folder / "f")


def test_a_file_of_64_kib_is_read(folder: Path) -> None:
    write_private(folder / "f", b"x" * MAX_FILE_BYTES)
    assert read_private(folder / "f") == b"x" * MAX_FILE_BYTES


def test_a_folder_in_place_of_the_file_is_refused(folder: Path) -> None:
    (folder / "f").mkdir(mode=0o700)
    with pytest.raises(StoreError, match="not a regular file"):
        read_private(folder / "f")


@pytest.mark.timeout(30)
def test_a_named_pipe_without_a_writer_is_refused_and_does_not_hang(folder: Path) -> None:
    os.mkfifo(folder / "f", 0o600)
    with pytest.raises(StoreError, match="not a regular file"):
        read_private(folder / "f")


def test_a_private_folder_that_stands_already_is_taken(folder: Path) -> None:
    ensure_private_folder(folder)
    assert mode(folder) == 0o700


@pytest.mark.parametrize("bits", [0o750, 0o705, 0o770, 0o777, 0o1777])
def test_a_folder_that_is_open_to_others_is_refused(folder: Path, bits: int) -> None:
    folder.chmod(bits)
    with pytest.raises(StoreError, match="open to others"):
        ensure_private_folder(folder)


@as_root
def test_a_folder_of_someone_else_is_refused(folder: Path) -> None:
    os.chown(folder, 65534, -1)
    with pytest.raises(StoreError, match="belongs to someone else"):
        ensure_private_folder(folder)


def test_a_symbolic_link_to_a_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(StoreError, match="not a folder"):
        ensure_private_folder(link)


def test_nothing_is_written_into_a_folder_that_is_open_to_others(folder: Path) -> None:
    folder.chmod(0o777)
    with pytest.raises(StoreError):
        write_private(folder / "f", b"secret")
    assert list(folder.iterdir()) == []
