"""``indexpass token``: one credential on stdout, for scripts that no helper reaches."""

from __future__ import annotations

import json

import click

from indexpass._cli.selection import chosen, complete_index
from indexpass._resolve import default_resolver
from indexpass._waiting import waiting


@click.command(
    epilog="Examples:\n\n\b\n  indexpass token acme\n  indexpass token --upload acme\n  indexpass token --json"
)
@click.argument("index", required=False, metavar="[INDEX]", shell_complete=complete_index)
@click.option("--upload", is_flag=True, help="A credential for uploading instead of reading.")
@click.option("--json", "as_json", is_flag=True, help="Print user name, secret, and expiry (seconds since the epoch).")
def token(index: str | None, *, upload: bool, as_json: bool) -> None:
    """Print the secret for INDEX (a name or URL; needed only if there are several indexes) on stdout.

    Prefer what asks for itself: keyring, the Poetry plugin. A secret on stdout is yours to guard.
    """
    wanted = chosen(index)
    with waiting(f"asking for a credential for {wanted.name}"):
        credential = default_resolver().credential_for(wanted, "upload" if upload else "read")
    secret = credential.secret.reveal()  # printing it is what this command is for
    if as_json:
        entry = {"version": 1, "username": credential.username, "password": secret, "expires_at": credential.expires_at}
        click.echo(json.dumps(entry))
    else:
        click.echo(secret)
