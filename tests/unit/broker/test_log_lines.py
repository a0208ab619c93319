from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Several processes write long records of many lines to one pipe, each line of one letter.
WRITE = """
import logging, os
from indexpass.broker import log

log.begin("plain", "info")
for letter in "abcd":
    if os.fork() == 0:
        for _ in range(50):
            logging.getLogger("indexpass.test").info("%s", "\\n".join([letter * 300] * 40))
        os._exit(0)
for _ in range(4):
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")
def test_lines_of_several_processes_are_never_mixed() -> None:
    done = subprocess.run([sys.executable, "-c", WRITE], capture_output=True, text=True, timeout=60, check=True)
    lines = done.stderr.splitlines()
    assert (len(lines), {line for line in lines if line not in {letter * 300 for letter in "abcd"}}) == (8000, set())
