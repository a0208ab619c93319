"""For who changes ``schema``: write the revision that brings databases there from where they are.

    python -m indexpass.broker.state.migrations "add the place of a session"

The difference is taken between the tables that the revisions make and those of ``schema``. Read the file that was
written: a column that was renamed looks like one that was removed and one that was added.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from alembic import command

from indexpass.broker.settings import Database
from indexpass.broker.state import database
from indexpass.broker.state.migrations import REVISIONS, alembic_config


@click.command()
@click.argument("message", required=False, default="The tables of the first release")
@click.option("--first", is_flag=True, help="Write the first revision anew. Only before the first release.")
def main(message: str, *, first: bool) -> None:
    """Write the next revision: MESSAGE says what it changes, as a sentence without its full stop."""
    written = sorted(REVISIONS.glob("revision_*.py"))
    if first:
        for file in written:
            file.unlink()
        written = []
    with TemporaryDirectory() as folder:
        engine = database.create(Database(f"sqlite:///{Path(folder) / 'empty.sqlite3'}"))
        with engine.begin() as connection:
            config = alembic_config(connection)
            if written:
                command.upgrade(config, "head")
            command.revision(config, message, autogenerate=True, rev_id=f"{len(written) + 1:04}")
        engine.dispose()
    new = REVISIONS / f"revision_{len(written) + 1:04}.py"
    subprocess.run([sys.executable, "-m", "ruff", "format", new], check=True)  # noqa: S603  # our own file


if __name__ == "__main__":
    sys.exit(main())
