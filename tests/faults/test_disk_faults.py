"""What stands on the disk is damaged, somebody else's or full: a clear word, the client goes on, nothing is lost."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from indexpass._credential import Credential
from indexpass._secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Machine, SignedIn
    from servers.brokers import StartBroker
    from servers.issuers import Issuer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes, links and limits are those of POSIX")
IS_ROOT = os.name == "posix" and os.geteuid() == 0
as_root = pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
NOBODY = 65534
HOUR = 3600.0


def fill_with_garbage(path: Path) -> None:
    path.write_bytes(b"\xff\x00{garbage")


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def open_to_the_group(path: Path) -> None:
    path.chmod(path.stat().st_mode | stat.S_IRGRP)


def give_away(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY)


def link(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("elsewhere")))


def put_a_pipe_there(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def send_to_the_future(path: Path) -> None:
    entry = json.loads(path.read_bytes())
    path.write_text(
        json.dumps({**entry, "issued_at": entry["issued_at"] + HOUR, "expires_at": entry["expires_at"] + HOUR})
    )


SPOILS = [
    pytest.param(fill_with_garbage, id="garbage"),
    pytest.param(cut_in_half, id="half"),
    pytest.param(empty, id="empty"),
    pytest.param(open_to_the_group, id="readable-by-the-group"),
    pytest.param(give_away, id="of-someone-else", marks=as_root),
    pytest.param(link, id="symbolic-link"),
    pytest.param(put_a_pipe_there, id="pipe"),
    pytest.param(send_to_the_future, id="from-the-future"),
]


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_spoiled_credential_costs_one_new_one(signed_in: SignedIn, spoil: Callable[[Path], None]) -> None:
    machine = signed_in.machine
    machine.keyring()
    spoil(machine.held)
    answers = [machine.keyring().secret for _ in range(2)]
    assert (signed_in.mints, len(set(answers)), signed_in.opens(answers[0])) == (2, 1, True)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(fill_with_garbage, "indexpass login acme", id="garbage"),
        pytest.param(cut_in_half, "indexpass login acme", id="half"),
        pytest.param(empty, "indexpass login acme", id="empty"),
        pytest.param(open_to_the_group, "chmod 600", id="readable-by-the-group"),
        pytest.param(give_away, "belongs to someone else", id="of-someone-else", marks=as_root),
        pytest.param(link, "rm -f", id="symbolic-link"),
        pytest.param(put_a_pipe_there, "rm -rf", id="pipe"),
    ],
)
def test_a_spoiled_session_is_explained_in_one_line(
    signed_in: SignedIn, spoil: Callable[[Path], None], words: str
) -> None:
    (session,) = signed_in.machine.sessions.glob("*.session")
    spoil(session)
    signed_in.machine.keyring().assert_explained(words)


def open_the_folder_to_the_group(folder: Path) -> None:
    folder.chmod(0o770)


def link_the_folder(folder: Path) -> None:
    folder.symlink_to(folder.rename(folder.with_name("elsewhere")))


def put_a_file_in_its_place(folder: Path) -> None:
    folder.rmdir()
    folder.write_bytes(b"")


FOLDERS = [
    pytest.param(open_the_folder_to_the_group, id="open-to-the-group"),
    pytest.param(give_away, id="of-someone-else", marks=as_root),
    pytest.param(link_the_folder, id="symbolic-link"),
    pytest.param(put_a_file_in_its_place, id="a-file"),
]


@pytest.mark.parametrize("spoil", FOLDERS)
def test_a_folder_that_cannot_keep_credentials_is_named_and_the_client_gets_one(
    signed_in: SignedIn, spoil: Callable[[Path], None]
) -> None:
    machine = signed_in.machine
    machine.credentials.mkdir(mode=0o700)
    spoil(machine.credentials)
    done = machine.keyring()
    assert signed_in.opens(done.secret)
    assert str(machine.credentials) in done.err


@pytest.mark.parametrize("spoil", FOLDERS[:3])
def test_no_secret_is_put_into_a_folder_that_is_not_ours_alone(
    signed_in: SignedIn, spoil: Callable[[Path], None]
) -> None:
    machine = signed_in.machine
    machine.credentials.mkdir(mode=0o700)
    spoil(machine.credentials)
    assert machine.keyring().secret
    assert list(machine.credentials.iterdir()) == []


@pytest.fixture
def tiny_disk(machine: Machine) -> Iterator[Path]:
    """Put the user's files on a disk of 256 KiB."""
    mounted = (
        IS_ROOT
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", machine.home],
            capture_output=True,
            check=False,
        ).returncode
    )
    if not mounted:
        pytest.skip("only root may mount a disk, and not in every container")
    yield machine.home
    subprocess.run(["umount", "--lazy", machine.home], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


def test_a_full_disk_is_explained_and_costs_no_session(tiny_disk: Path, signed_in: SignedIn) -> None:
    filler = fill(tiny_disk)
    signed_in.machine.keyring().assert_explained("No space left", "free some disk space")
    signed_in.broker.clock.advance(60)  # a refresh token that was spent would now be taken for a stolen one
    filler.unlink()
    assert signed_in.opens(signed_in.machine.keyring().secret)


def test_a_limit_on_file_size_is_explained_and_costs_no_session(signed_in: SignedIn) -> None:
    machine = signed_in.machine
    machine.before = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")  # as good as a full disk, and for everybody
    machine.keyring().assert_explained("File too large", "free some disk space")
    signed_in.broker.clock.advance(60)
    machine.before = ()
    assert signed_in.opens(machine.keyring().secret)


def test_a_full_disk_does_not_keep_ci_from_its_credential(
    start_broker: StartBroker, issuer: Issuer, machine: Machine
) -> None:
    broker = start_broker(issuer.reading_policy)
    machine.configure(broker.index, broker.url)
    machine.before = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")
    done = machine.keyring(INDEXPASS_IDENTITY_TOKEN=issuer.token(aud=broker.url).reveal())
    assert broker.get("/simple/", done.secret).status_code == 200
    assert "free some disk space" in done.err or "cannot be written" in done.err


def test_a_full_disk_leaves_the_held_credential_whole(machine: Machine) -> None:
    machine.configure("http://127.0.0.1:9/simple/", "http://127.0.0.1:9")
    now = 1_700_000_000.0
    machine.hold(Credential("__token__", Secret("old"), now, None))
    machine.before = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")
    assert machine.keyring().secret == "old"
