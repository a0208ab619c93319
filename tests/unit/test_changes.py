"""Changes to people's files: what is shown, that all or none is made, and what taking them back does."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from indexpass import _changes
from indexpass._changes import Change
from indexpass.errors import ConfigError, StoreError

AFTER = "a\nours\nb\n"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings"
    path.write_text("a\nb\n")
    return path


def make(path: Path, before: str | None, after: str | None, state: Path, *, is_private: bool = False) -> Path:
    return _changes.make([Change(path, before, after, "a test", is_private)], name="test", state=state)


def undo(state: Path) -> list[str]:
    return [undone.result for undone in _changes.undo("test", state=state)]


def test_what_is_shown_is_a_diff_without_what_is_redacted(file: Path) -> None:
    change = Change(file, "a\nhunter2\n", "a\nb\n", "a test")
    lines = list(_changes.show([change], redact=lambda line: line.replace("hunter2", "****")))
    assert lines == [f"--- {file}", f"+++ {file}", "@@ -1,2 +1,2 @@", " a", "-****", "+b"]


def test_what_is_shown_cannot_move_the_cursor_of_a_terminal(file: Path) -> None:
    change = Change(file, None, "a\x1b[2Jb\n", "a test")
    assert list(_changes.show([change], redact=str))[-1] == "+a\\x1b[2Jb"


def test_a_change_is_made_and_taken_back_byte_for_byte(file: Path, state: Path) -> None:
    before = b"\xef\xbb\xbfa\r\n\xff\nb"
    file.write_bytes(before)
    text = _changes.read(file)
    assert text is not None
    make(file, text, text.replace("a", "c"), state)
    assert file.read_bytes() == before.replace(b"a", b"c")
    assert undo(state) == ["restored"]
    assert file.read_bytes() == before


def test_a_file_that_was_not_there_is_gone_again_with_its_folders(tmp_path: Path, state: Path) -> None:
    make(tmp_path / "one" / "two" / "settings", None, "a\n", state)
    assert undo(state) == ["restored"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["state"]


def test_several_changes_of_one_file_are_taken_back_the_latest_first(file: Path, state: Path) -> None:
    make(file, "a\nb\n", AFTER, state)
    make(file, AFTER, f"{AFTER}more\n", state)
    assert undo(state) == ["restored", "restored"]
    assert file.read_text() == "a\nb\n"


def test_only_the_last_change_is_taken_back_if_that_is_asked(file: Path, state: Path) -> None:
    make(file, "a\nb\n", AFTER, state)
    make(file, AFTER, f"{AFTER}more\n", state)
    _changes.undo("test", state=state, only_last=True)
    assert file.read_text() == AFTER


@pytest.mark.parametrize(
    ("texts", "then"),
    [
        (("a\nb\n", AFTER, "a\nours\nb\ntheirs\n"), "a\nb\ntheirs\n"),
        (("a\nb\n", AFTER, "a\nours\ntheirs\nb\n"), "a\ntheirs\nb\n"),
        (("a\nb\nc\n", "a\nours\nc\n", "theirs\na\nours\nc\n"), "theirs\na\nb\nc\n"),
        ((None, "ours\n", "ours\ntheirs\n"), "theirs\n"),
    ],
    ids=["elsewhere", "just below", "above, and a line of ours was another before", "a file that we made"],
)
def test_what_others_have_added_since_stays(
    file: Path, state: Path, texts: tuple[str | None, str, str], then: str
) -> None:
    before, after, now = texts
    file.unlink()
    if before is not None:
        file.write_text(before)
    make(file, before, after, state)
    file.write_text(now)
    assert undo(state) == ["merged"]
    assert file.read_text() == then


@pytest.mark.parametrize(
    ("before", "after", "now"),
    [
        ("a\nb\n", AFTER, "a\nours, and theirs\nb\n"),
        ("a\n", "a\n[ours]\nkey\n", "a\n[ours]\nkey\ntheirs\n"),
    ],
    ids=["the same line", "below a heading of ours"],
)
def test_what_others_have_changed_in_the_same_place_is_left_and_named(
    file: Path, state: Path, before: str, after: str, now: str
) -> None:
    file.write_text(before)
    kept = make(file, before, after, state)
    file.write_text(now)
    (undone,) = _changes.undo("test", state=state)
    assert (undone.result, undone.copy) == ("left", kept / "0.before")
    assert file.read_text() == now
    assert (kept / "0.before").read_text() == before


def test_what_was_left_is_tried_again(file: Path, state: Path) -> None:
    make(file, "a\nb\n", AFTER, state)
    file.write_text("theirs\n")
    undo(state)
    file.write_text(AFTER)
    assert undo(state) == ["restored"]
    assert not _changes.has_kept("test", state=state)


def test_nothing_is_made_if_one_file_has_just_been_changed_by_others(file: Path, state: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    changes = [Change(other, None, "a\n", "a test"), Change(file, "not so\n", "b\n", "a test")]
    with pytest.raises(ConfigError, match="just been changed"):
        _changes.make(changes, name="test", state=state)
    assert not other.exists()
    assert not _changes.has_kept("test", state=state)


def test_what_was_made_is_taken_back_if_a_later_file_cannot_be_written(file: Path, state: Path, tmp_path: Path) -> None:
    new = tmp_path / "new" / "settings"
    changes = [
        Change(file, "a\nb\n", AFTER, "a test"),
        Change(new, None, "a\n", "a test"),
        Change(tmp_path / ("x" * 250), None, "b\n", "a test"),  # no file system takes a longer name beside it
    ]
    with pytest.raises(StoreError, match="cannot be written"):
        _changes.make(changes, name="test", state=state)
    assert file.read_text() == "a\nb\n"
    assert not new.parent.exists()
    assert not _changes.has_kept("test", state=state)


def test_an_old_file_keeps_its_mode(file: Path, state: Path) -> None:
    file.chmod(0o640)
    make(file, "a\nb\n", AFTER, state)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_new_private_file_is_this_users_alone(tmp_path: Path, state: Path) -> None:
    make(tmp_path / "new", None, "a\n", state, is_private=True)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


def test_the_copies_are_for_this_user_alone(file: Path, state: Path) -> None:
    kept = make(file, "a\nb\n", AFTER, state)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept.iterdir()} == {0o600}


def test_a_link_stays_a_link(file: Path, state: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    make(link, "a\nb\n", AFTER, state)
    assert link.is_symlink()
    assert file.read_text() == AFTER


def test_a_link_to_somebody_elses_file_is_refused(file: Path, state: Path, tmp_path: Path) -> None:
    foreign = file
    if os.geteuid() == 0:
        os.chown(file, 12345, 12345)
    else:
        foreign = Path("/etc/passwd")
    before = foreign.read_text()
    link = tmp_path / "link"
    link.symlink_to(foreign)
    with pytest.raises(ConfigError, match="which is not yours"):
        make(link, before, AFTER, state)
    assert foreign.read_text() == before


def test_links_in_a_circle_are_an_error_with_words(state: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "link")
    with pytest.raises(ConfigError):
        make(tmp_path / "link", None, "a\n", state)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not a regular file|cannot be read"):
        _changes.read(tmp_path)


def test_a_journal_that_is_broken_changes_nothing(file: Path, state: Path) -> None:
    kept = make(file, "a\nb\n", AFTER, state)
    (kept / "journal.json").write_text('{"version": 2}')
    with pytest.raises(StoreError, match="is broken"):
        undo(state)
    assert file.read_text() == AFTER


def test_a_change_that_was_killed_before_it_began_leaves_nothing_to_take_back(file: Path, state: Path) -> None:
    kept = make(file, "a\nb\n", AFTER, state)
    file.write_text("a\nb\n")
    (kept / "journal.json").unlink()
    assert undo(state) == []
    assert file.read_text() == "a\nb\n"


def test_a_change_that_could_not_be_taken_back_at_once_can_be_later(file: Path, state: Path) -> None:
    gone = file.parent / "gone"
    gone.mkdir()
    other = gone / "settings"
    other.write_text("a\n")
    moved = file.parent / "moved"

    class Moving(Change):
        """A change whose folder is away by the time that it is to be made, and so is the first one's."""

        @property
        def mode(self) -> int:
            gone.rename(moved)
            gone.write_text("in the way")
            raise OSError

    with pytest.raises(OSError, match=r"^$"):
        _changes.make(
            [Change(other, "a\n", "b\n", "a test"), Moving(file, "a\nb\n", AFTER, "a test")], name="test", state=state
        )
    gone.unlink()
    moved.rename(gone)
    assert undo(state) == ["restored", "restored"]
    assert other.read_text() == "a\n"


def test_who_is_killed_while_the_copies_are_removed_has_nothing_more_to_take_back(file: Path, state: Path) -> None:
    kept = make(file, "a\nb\n", AFTER, state)
    file.write_text("a\nb\n")
    (kept / "journal.json").unlink()  # goes first
    assert undo(state) == []
    assert file.read_text() == "a\nb\n"
    assert not kept.exists()


@pytest.mark.timeout(20)  # to compare each line with each would take minutes
def test_a_long_file_of_lines_that_are_alike_is_merged_in_time() -> None:
    lines = [f"{line}\n" for number in range(10_000) for line in ("[[package]]", f"name = {number}", "files = [", "]")]
    before, after = "".join(["secret\n", *lines]), "".join(["clean\n", *lines])
    change = Change(Path("poetry.lock"), before, after, "a test")
    assert _changes.merge_lines(change, f"{after}more\n") == f"{before}more\n"


def test_what_a_killed_process_was_writing_is_removed_with_its_change(file: Path, state: Path) -> None:
    make(file, "a\nb\n", AFTER, state)
    draft, strange = (file.with_name(f"{file.name}.{end}") for end in ("123-0a1b2c3d.new", "new"))
    for each in (draft, strange):
        each.write_text("a secret")
    undo(state)
    assert (draft.exists(), strange.exists()) == (False, True)
