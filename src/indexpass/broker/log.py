"""The log: lines on standard error, plain or as JSON.

Our own loggers speak at the level that was asked for. Everybody else's, of the libraries below us, speak from warnings
on whatever was asked: what they would print at ``debug`` nobody here can promise to be free of secrets.
"""

from __future__ import annotations

import json
import logging
import sys
from io import StringIO
from typing import Literal, TextIO

from indexpass.broker.state.audit import LOGGER as AUDIT_LOGGER
from indexpass.broker.state.audit import rfc3339

PIPE_BYTES = 4096  # Linux keeps a write of so much in one piece, where several processes write to one pipe
Format = Literal["plain", "json"]
Level = Literal["debug", "info", "warning"]


def begin(form: Format, level: Level, stream: TextIO = sys.stderr) -> None:
    """Write the log of this process to ``stream`` from now on."""
    handler = logging.StreamHandler(_WholeLines(stream))
    handler.setFormatter(_Json() if form == "json" else logging.Formatter("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("indexpass").setLevel(level.upper())


class _WholeLines:
    """Writes what has many lines in pieces of whole lines: those of other processes come between them, never within."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        piece, length = "", 0
        for line in StringIO(text):
            line_bytes = len(line.encode(errors="replace"))
            if piece and length + line_bytes > PIPE_BYTES:
                self._write(piece)
                piece, length = "", 0
            piece += line
            length += line_bytes
        self._write(piece)

    def flush(self) -> None:
        self._stream.flush()

    def _write(self, piece: str) -> None:
        self._stream.write(piece)
        self._stream.flush()


class _Json(logging.Formatter):
    """One JSON object a line. A line of the audit is one already, and stays as it is."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name == AUDIT_LOGGER:
            return record.getMessage()
        members = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return json.dumps(members)
