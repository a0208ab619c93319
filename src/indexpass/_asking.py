"""A question that a person answers with yes or no. This module never decides what is asked."""

from __future__ import annotations

import click

from indexpass.errors import IndexpassError


def is_agreed(question: str) -> bool:
    """Ask, and return whether the answer is yes. Raises IndexpassError if nobody is there to answer."""
    try:
        return click.confirm(question, err=True)
    except click.Abort as gone:
        if not isinstance(gone.__context__, EOFError):  # but Ctrl-C
            raise
        click.echo(err=True)
        raise IndexpassError(
            "nobody is there to answer", hint="look at what is shown above, then run it again with --yes"
        ) from None


def require_yes(question: str) -> None:
    """Ask, and end the command as Ctrl-C does unless the answer is yes. Raises IndexpassError if nobody is there."""
    if not is_agreed(question):
        raise click.Abort
