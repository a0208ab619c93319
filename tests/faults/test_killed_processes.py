"""A client is killed at any moment of a mint: the next one works, and finds no half file and no lock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import filelock
import pytest

from indexpass._files import read_private, write_private

if TYPE_CHECKING:
    from conftest import Machine, SignedIn

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="SIGKILL and the lock that ends with its process are POSIX's"
)
MAX_MOMENTS = 150  # an answer that is asked for takes far fewer steps
# Runs the real command, and dies at the n-th step that touches the user's folder, a socket or a lock.
DIE_AT = """
import os, signal, sys

home, left, *words = sys.argv[1:]
left = int(left)

def count(event, arguments):
    global left
    if event.startswith(("socket.connect", "fcntl.")) or any(str(argument).startswith(home) for argument in arguments):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

from keyring.cli import main
sys.addaudithook(count)
main(words)
"""

# Replaces a private file, and dies before the n-th call of the function that writes it.
DIE_WRITING = """
import os, pathlib, signal, sys
from indexpass import _files

path, left = pathlib.Path(sys.argv[1]), int(sys.argv[2])

def count(frame, event, _):
    global left
    if event == "c_call" and frame.f_code is _files.write_whole.__code__:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.setprofile(count)
_files.write_private(path, b"new" * 1000)
"""


def assert_nothing_is_half_done(machine: Machine) -> None:
    for path in machine.home.rglob("*"):
        if path.suffix in {".credential", ".session", ".failure"}:
            assert isinstance(json.loads(path.read_bytes()), dict), path.name
        if path.suffix == ".lock":
            with filelock.FileLock(path, timeout=0):
                pass


def test_a_client_that_is_killed_at_any_step_of_a_mint_costs_nothing(signed_in: SignedIn) -> None:
    machine = signed_in.machine
    survived = False
    for moment in range(1, MAX_MOMENTS):
        words = (str(machine.home), str(moment), "get", machine.index, "--mode", "creds")
        killed = machine.run(sys.executable, "-c", DIE_AT, *words)
        survived = killed.code == 0
        assert survived or killed.code == -signal.SIGKILL, killed.err
        assert_nothing_is_half_done(machine)
        assert signed_in.opens(machine.keyring().secret), f"killed at step {moment}"
        machine.held.unlink()
        if survived:
            break
    assert survived, "it never came to its end"


@pytest.mark.parametrize("milliseconds", [20, 60, 100, 150, 200, 250, 300, 400])
def test_a_client_that_is_killed_after_some_time_costs_nothing(signed_in: SignedIn, milliseconds: int) -> None:
    machine = signed_in.machine
    with machine.start(sys.executable, "-m", "keyring", "get", machine.index, "--mode", "creds") as process:
        try:
            process.wait(milliseconds / 1000)
        except subprocess.TimeoutExpired:
            process.kill()
    assert_nothing_is_half_done(machine)
    assert signed_in.opens(machine.keyring().secret)


def test_a_write_that_is_killed_at_any_step_leaves_the_old_file_or_the_new(machine: Machine) -> None:
    path = machine.home / "private" / "file"
    endings = []
    for moment in range(1, MAX_MOMENTS):
        write_private(path, b"old")
        killed = machine.run(sys.executable, "-c", DIE_WRITING, path, str(moment))
        endings.append((killed.code, read_private(path)))
        if killed.code == 0:
            break
    assert len(endings) > 3, "it was not killed in the middle"
    assert {content for _, content in endings} == {b"old", b"new" * 1000}
