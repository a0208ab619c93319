from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from indexpass.broker.state.database import DatabaseAway
from indexpass.broker.state.store import Store
from indexpass.broker.state.turns import Turns

if TYPE_CHECKING:
    from pathlib import Path

on_posix = pytest.mark.skipif(os.name != "posix", reason="the lock among processes is POSIX's")
HOLD = """
import sys
from pathlib import Path
from indexpass.broker.state.turns import Turns

with Turns(Path(sys.argv[1])).taken(60):
    print("taken", flush=True)
    sys.stdin.read()
"""


@on_posix
def test_the_turn_of_another_process_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with closing(Turns(tmp_path)) as turns:
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout
            assert other.stdout.readline() == "taken\n"
            with pytest.raises(TimeoutError), turns.taken(0.1):
                pass
            other.kill()
        with turns.taken(60):  # who dies gives it up
            pass


@on_posix
def test_a_store_whose_turn_does_not_come_says_so(tmp_path: Path) -> None:
    with closing(Store(f"sqlite:///{tmp_path / 'broker.sqlite3'}")) as store, closing(Turns(tmp_path)) as others:
        with others.taken(60), pytest.raises(DatabaseAway, match="too many wait"), store.writing():
            pass
        with store.writing() as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1


def test_a_folder_that_cannot_be_locked_leaves_the_turns_of_threads(tmp_path: Path) -> None:
    with closing(Turns(tmp_path / "missing")) as turns, turns.taken(60), pytest.raises(TimeoutError), turns.taken(0.01):
        pass


def test_a_turn_is_given_up_when_the_work_fails(tmp_path: Path) -> None:
    with closing(Turns(tmp_path)) as turns:
        with pytest.raises(ZeroDivisionError), turns.taken(60):
            raise ZeroDivisionError
        with turns.taken(0):
            pass
