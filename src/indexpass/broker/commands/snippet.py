"""``broker snippet``: print the configuration of the proxy in front of the indexes.

This function reads options and prints; the text is made elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from indexpass.broker.commands.folder import folder_argument
from indexpass.broker.settings import file as settings_file
from indexpass.broker.snippets import PROXIES, Proxy, write_snippet

if TYPE_CHECKING:
    from pathlib import Path


@click.command(short_help="Print how PROXY guards the indexes.")
@click.argument("proxy", type=click.Choice(PROXIES))
@folder_argument
@click.option("--index", "index_name", metavar="NAME", help="Only this index, in place of all.")
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    metavar="[NAME=]URL",
    help="Where the index itself listens, such as http://127.0.0.1:8081.",
)
@click.option("--broker-url", metavar="URL", help="Where the proxy reaches the broker, if not where it listens.")
@click.option("--cache", is_flag=True, help="nginx only: keep each yes of the broker for three seconds.")
def snippet(  # noqa: PLR0913  # one for each option
    proxy: Proxy,
    folder: Path,
    index_name: str | None,
    upstreams: tuple[str, ...],
    broker_url: str | None,
    *,
    cache: bool,
) -> None:
    """Print the configuration by which PROXY guards the indexes: nginx, traefik, caddy or apache.

    It is made from broker.toml in FOLDER, for the indexes that are not on the broker's own host. Where nobody says
    where they listen, the first is taken to be at http://127.0.0.1:8081, the next on the next port.

    \b
    Example:
      indexpass broker snippet nginx ./broker > /etc/nginx/conf.d/indexpass.conf
      indexpass broker snippet caddy ./broker --index acme --upstream http://127.0.0.1:9000
    """  # noqa: D301  # click wants the character itself
    if cache and proxy != "nginx":
        raise click.UsageError("--cache is for nginx only")
    settings = settings_file.load(folder.absolute())
    text = write_snippet(
        proxy, settings, index_name=index_name, upstreams=upstreams, broker_url=broker_url, has_cache=cache
    )
    click.echo(text, nl=False)
