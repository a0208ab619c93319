"""``broker init`` and ``broker serve``: make a broker, and run it.

These functions read options and print; what they do is done elsewhere.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import get_args

import click

from indexpass._http import HttpClient
from indexpass.broker import log, serve, workers
from indexpass.broker.commands.folder import folder_argument
from indexpass.broker.service import Broker
from indexpass.broker.settings import Settings, starter, values
from indexpass.broker.settings import file as settings_file
from indexpass.errors import ConfigError


@click.command(short_help="Make a broker in FOLDER.")
@folder_argument
@click.option("--issuer", required=True, metavar="URL", help="The broker's own URL: https, or http on loopback.")
@click.option("--index-name", required=True, metavar="NAME", help="What the index is called, such as acme.")
def init(folder: Path, issuer: str, index_name: str) -> None:
    """Make a broker in FOLDER: a commented broker.toml, a signing key and a database.

    \b
    Example:
      indexpass broker init ./broker --issuer https://packages.acme.example --index-name acme
    """  # noqa: D301  # click wants the character itself
    folder = folder.absolute()
    settings = Broker.create(folder, starter.text(issuer, index_name))
    click.echo(f"Made a broker in {folder}. It guards {settings.indexes[0].url}")
    click.echo(f"Next: indexpass broker user add NAME {folder}", err=True)
    click.echo(f"      indexpass broker serve {folder} --packages DIR", err=True)


@click.command(name="serve", short_help="Serve the broker in FOLDER until it is told to stop.")
@folder_argument
@click.option("--listen", metavar="HOST:PORT", help="Where to listen, in place of what broker.toml says.")
@click.option(
    "--packages",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Serve the indexes on the broker's own host too: each the packages in DIR/NAME.",
)
@click.option("--tls-certificate", type=click.Path(path_type=Path, dir_okay=False), help="PEM file; speak TLS.")
@click.option("--tls-key", type=click.Path(path_type=Path, dir_okay=False), help="PEM file of the certificate's key.")
@click.option(
    "--workers",
    "count",
    type=click.IntRange(1, workers.MAX_WORKERS),
    default=1,
    show_default=True,
    metavar="N",
    help="Serve in so many processes, one for each core (Linux).",
)
@click.option("--access-log", is_flag=True, help="Print method, path and status of each request.")
@click.option("--log-format", type=click.Choice(get_args(log.Format)), default="plain", show_default=True)
@click.option("--log-level", type=click.Choice(get_args(log.Level)), default="info", show_default=True)
def serve_command(  # noqa: PLR0913  # one for each option
    folder: Path,
    listen: str | None,
    packages: Path | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    *,
    count: int,
    access_log: bool,
    log_format: log.Format,
    log_level: log.Level,
) -> None:
    """Serve the broker in FOLDER until it is told to stop (SIGTERM or Ctrl-C).

    The log goes to standard error; the audit is part of it, one line of JSON for each decision.

    \b
    Example:
      indexpass broker serve ./broker --packages ./packages
      indexpass broker serve ./broker --listen 0.0.0.0:8443 --tls-certificate tls.crt --tls-key tls.key
      indexpass broker serve ./broker --workers 2
    """  # noqa: D301  # click wants the character itself
    log.begin(log_format, log_level)
    folder = folder.absolute()

    def serving(settings: Settings) -> serve.Serving:
        return serve.Serving(
            address=_parsed_listen(listen) if listen else settings.listen,
            packages=packages.absolute() if packages else None,
            tls=serve.tls_files(tls_certificate or settings.tls_certificate, tls_key or settings.tls_key),
            has_access_log=access_log,
        )

    def open_broker(settings: Settings | None = None) -> Broker:
        return Broker.open(folder, http=HttpClient(), settings=settings)

    if count == 1:
        with closing(open_broker()) as opened:
            serve.run(opened, serving(opened.settings))
    else:
        settings = settings_file.load(folder)
        serve.run_workers(count, settings, serving(settings), open_broker)


def _parsed_listen(text: str) -> tuple[str, int]:
    try:
        return values.parse_listen(text)
    except ValueError as error:
        raise ConfigError(f"--listen: {error}", hint="for example: --listen 127.0.0.1:8443") from error
