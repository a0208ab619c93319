"""The argument that all of these commands share: the broker's folder."""

from __future__ import annotations

from pathlib import Path

import click
import platformdirs

folder_argument = click.argument(
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="INDEXPASS_BROKER_HOME",
    default=lambda: platformdirs.user_data_path("indexpass") / "broker",
)
