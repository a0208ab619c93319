"""``indexpass demo``: see the whole product work once, on this machine, with the real clients."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import uv  # noqa: F401  # tells at once whether the extra "demo" is there

from indexpass._demo.environments import prepare
from indexpass._demo.evidence import look_for_secrets
from indexpass._demo.play import perform
from indexpass._demo.stage import Stage
from indexpass._demo.watch import Watch

if TYPE_CHECKING:
    from indexpass._demo.play import Scene


@click.command(epilog="Examples:\n\n\b\n  indexpass demo\n  indexpass demo --keep")
@click.option("--keep", is_flag=True, help="Leave it running at the end, and say how to use it by hand.")
def demo(*, keep: bool) -> None:
    """Run a broker, a private index, pip, uv and Poetry together on this machine, then clean up.

    Needs a package index that has Poetry, for the set-up. Everything happens in a temporary folder and on free
    loopback ports; nothing of yours is read or changed. Fails if any step fails, or if a secret is found in any URL,
    command line, environment, configuration file, lock file or log of the run.
    """
    folder = Path(tempfile.mkdtemp(prefix="indexpass-demo-")).resolve()
    stage = Stage(folder, say=_say)
    try:
        stage.title("Set-up")
        programs = prepare(stage)
        began = time.monotonic()
        watch = Watch(stage.home / "indexpass")
        watch.start()
        scene = perform(stage, programs, watch)
        watch.stop()
        look_for_secrets(stage, watch)
        stage.title(f"All steps worked, and no secret is anywhere. {time.monotonic() - began:.0f} s after set-up.")
        if keep:
            _stay(scene)
    finally:
        stage.close()
        shutil.rmtree(folder, ignore_errors=True)


def _say(line: str) -> None:
    if line.startswith("  "):
        click.secho(line, dim=not line.startswith("  $"))
    else:
        click.secho(line, bold=True)


def _stay(scene: Scene) -> None:
    """Say how to use what runs, and wait for Ctrl-C."""
    stage = scene.stage
    stage.title("It goes on running. In another terminal:")
    environ = stage.environ()
    for name in ("HOME", "INDEXPASS_HOME", "XDG_CONFIG_HOME", "PIP_CONFIG_FILE"):
        click.echo(f"  export {name}={environ[name]}")
    click.echo(f'  export PATH="{scene.programs.ours}:{scene.programs.poetry}:$PATH"')
    click.echo("  indexpass status")
    click.echo(f"  {scene.programs.pip_alone / 'pip'} download --keyring-provider subprocess --no-cache-dir \\")
    click.echo(f"    --index-url {scene.index} acme-hello")
    click.echo(
        f"  indexpass broker user add NAME {stage.folder / 'broker'}   # and sign in as NAME: indexpass login acme"
    )
    click.echo(f"The broker's settings are in {stage.folder / 'broker'}, what was printed in {stage.logs}.")
    click.secho("Ctrl-C ends it and removes everything.", bold=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo()
