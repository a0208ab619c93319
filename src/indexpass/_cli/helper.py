"""``indexpass helper``: answers git, Bazel and Docker, each in its own protocol, on stdin and stdout.

``git-credential-indexpass``, ``indexpass-bazel`` and ``docker-credential-indexpass`` are the same commands under the
names by which those programs look for them. None of them asks a person anything.
"""

from __future__ import annotations

import os
import sys

import click

from indexpass._resolve import default_resolver
from indexpass.errors import IndexpassError

MAX_REQUEST_BYTES = 64 * 1024  # git's, Bazel's and Docker's own are a few lines


@click.group(
    epilog="Examples:\n\n\b\n"
    "  git config --global credential.https://github.com/acme.helper '!indexpass helper git'\n"
    """  echo '{"uri": "https://packages.example.com/simple/"}' | indexpass helper bazel get"""
)
def helper() -> None:
    """Answer git, Bazel and Docker in their own credential helper protocols."""


@helper.command(
    short_help="Answer git: git-credential(1).",
    epilog="Examples:\n\n\b\n"
    "  git config --global credential.https://github.com/acme.helper indexpass\n"
    "  git config --global credential.https://github.com.useHttpPath true\n"
    "  printf 'protocol=https\\nhost=github.com\\npath=acme/tools.git\\n\\n' | indexpass helper git get",
)
@click.argument("action")
def git(action: str) -> None:
    """Answer git's question on stdin (git-credential(1)).

    ACTION is get, store or erase, and git says it: an erased credential was refused, and is not handed out again. An
    unknown URL, and whatever goes wrong, is an empty answer, so that git goes on with its other helpers.
    """
    from indexpass._credential_helpers import git as protocol
    from indexpass._terminal import tell

    try:
        question = protocol.parse(_read(stops_at_blank_line=True))
        if question is None or action not in protocol.ACTIONS:
            return
        resolver = default_resolver()
        if action == "erase" and question.password:
            resolver.forget_refused(question.url, question.password)
        elif action == "get":
            credential = resolver.credential(question.url, "read")  # git does not say whether it will push
            if credential:
                click.echo(protocol.write(credential), nl=False)
            elif not question.has_path:
                _explain_missing_path(question.url)
    except IndexpassError as error:
        tell(error.message, error.hint)


@helper.command(
    short_help="Answer Bazel: EngFlow's credential-helper-spec.",
    epilog="Examples:\n\n\b\n"
    "  bazel build --credential_helper=packages.example.com=/path/to/indexpass-bazel //...\n"
    """  echo '{"uri": "https://packages.example.com/simple/"}' | indexpass helper bazel get""",
)
@click.argument("action", type=click.Choice(["get"]))
def bazel(action: str) -> None:  # noqa: ARG001  # there is only one
    """Answer the question on stdin as EngFlow's credential-helper-spec says: a header, and until when it is good.

    A URI that is none of ours gets an answer without headers; one of ours without a credential is an error.
    """
    from indexpass._credential_helpers import bazel as protocol

    credential = default_resolver().credential(protocol.parse(_read()), "read")
    click.echo(protocol.write(credential) if credential else protocol.NOTHING)


@helper.command(
    short_help="Answer Docker: docker-credential-helpers.",
    epilog="Examples:\n\n\b\n"
    """  ~/.docker/config.json: {"credHelpers": {"acme.jfrog.io": "indexpass"}}\n"""
    "  echo acme.jfrog.io | indexpass helper docker get",
)
@click.argument("action", type=click.Choice(["get", "store", "erase", "list"]))
def docker(action: str) -> None:
    """Answer Docker's question on stdin (docker-credential-helpers).

    A registry has a credential if an index on its very host has one that may open it: JFrog, Gitea, Nexus and whatever
    you configure, but no platform that keeps its containers on another host.
    """
    try:
        answer = _answer_docker(action)
    except IndexpassError as error:
        # Docker reads what went wrong from stdout, and knows one text by heart.
        click.echo(f"{error.message}: {error.hint}" if error.hint else error.message)
        sys.exit(1)
    if answer:
        click.echo(answer)


def _answer_docker(action: str) -> str:
    from indexpass import _config
    from indexpass._credential_helpers import docker as protocol
    from indexpass._locations import locate

    if action == "store":
        raise IndexpassError(protocol.READ_ONLY)
    indexes = _config.load(locate(os.environ), os.environ)
    if action == "list":
        return protocol.write_list(indexes)
    named = _read()
    index = protocol.find(named, indexes)
    if action == "erase":
        if index:
            default_resolver().cache.forget(index, "read")
        return ""
    if index is None:
        raise IndexpassError(protocol.NOT_FOUND)
    return protocol.write(named, default_resolver().credential_for(index, "read"))


def run_git() -> None:
    """Be ``git-credential-indexpass``, as git calls it for ``helper = indexpass``."""
    _run("git", "git-credential-indexpass")


def run_bazel() -> None:
    """Be ``indexpass-bazel``, because Bazel calls a program without arguments of its own."""
    _run("bazel", "indexpass-bazel")


def run_docker() -> None:
    """Be ``docker-credential-indexpass``, as Docker calls it for ``"indexpass"``."""
    _run("docker", "docker-credential-indexpass")


def _run(protocol: str, name: str) -> None:
    from indexpass._cli import main

    main(["helper", protocol, *sys.argv[1:]], prog_name=name)


def _read(*, stops_at_blank_line: bool = False) -> str:
    """Return what stands on stdin. Raises IndexpassError if that is more than any of the programs says."""
    stream = sys.stdin.buffer
    data = b""
    while len(data) <= MAX_REQUEST_BYTES:
        line = stream.readline(MAX_REQUEST_BYTES + 1)
        data += line
        if not line or (stops_at_blank_line and line == b"\n"):
            return data.decode(errors="replace")
    raise IndexpassError("the request on stdin is larger than 64 KiB")


def _explain_missing_path(url: str) -> None:
    """Say so if git asks for a host on which only some repositories are ours, because it was not told to say which."""
    from indexpass import _config
    from indexpass._locations import locate
    from indexpass._terminal import tell
    from indexpass._url import IndexUrl
    from indexpass.errors import UrlError

    try:
        origin = IndexUrl.parse(url).origin
    except UrlError:
        return
    indexes = _config.load(locate(os.environ), os.environ)
    if any(index.provider == "github" and index.url.origin == origin for index in indexes):
        tell(
            f"git does not say which repository at {origin} it asks for",
            f"git config --global credential.{origin}.useHttpPath true",
        )
