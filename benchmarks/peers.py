"""The other keyring backends that hand out index credentials: how each is installed, and how it meets its double.

Each has an environment and a home of its own, with the same Python and the same keyring. What cannot be measured
honestly is left out, with the reason in words. Nothing here measures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from environments import FOREIGN_URL, Environments, environ, install_peer
from measure import Case, ask_keyring, ends_as_it_should
from platform_double import TOKEN, unsigned_jwt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Peer(NamedTuple):
    """One backend. In ``url`` and ``variables``, ``{double}`` is host and port of the doubles, ``{home}`` its home.

    ``files`` are written into its home, those in ``bin`` as programs; ``keeps`` is the file in which it keeps a
    credential for later runs, if it does; ``unmeasured`` says why its own index is not asked for.
    """

    name: str
    url: str = ""
    username: str = ""
    variables: Mapping[str, str] = {}
    files: Mapping[str, str] = {}
    keeps: str = ""
    unmeasured: str = ""


PEERS = (
    Peer(
        "keyrings.google-artifactregistry-auth",
        url="https://europe-python.pkg.dev/acme/private/simple/",
        variables={"GCE_METADATA_HOST": "{double}", "GCE_METADATA_IP": "{double}"},
    ),
    Peer(
        "keyrings.codeartifact",
        url="https://acme-123456789012.d.codeartifact.eu-west-1.amazonaws.com/pypi/private/simple/",
        variables={
            "AWS_ENDPOINT_URL_CODEARTIFACT": "http://{double}",
            "AWS_ACCESS_KEY_ID": "made-up",
            "AWS_SECRET_ACCESS_KEY": "made-up",
        },
    ),
    Peer(
        "artifacts-keyring-nofuss",
        # Over http, so that a proxy on loopback can stand for the feed. A service's own token, which needs no exchange.
        url="http://pkgs.dev.azure.com/acme/_packaging/private/pypi/simple/",
        variables={"HTTP_PROXY": "http://{double}", "ARTIFACTS_KEYRING_NOFUSS_TOKEN": unsigned_jwt(idtyp="app")},
    ),
    Peer("artifacts-keyring", unmeasured="its .NET program would need a signed-in account"),
    Peer(
        "keyrings-chainguard-libraries",
        url="https://libraries.cgr.dev/python/simple/",
        files={"bin/chainctl": f"#!/bin/sh\necho {TOKEN}\n"},  # the real one is a program of many megabytes
    ),
    Peer("cloudsmith-keyring", unmeasured="its sign-in is kept in a desktop keyring, and a server has none"),
    Peer(
        "posit-keyring",
        url="http://{double}/private/latest/simple",
        username="__token__",  # it answers nobody who asks without
        variables={
            "PACKAGEMANAGER_ADDRESS": "http://{double}",
            "PACKAGEMANAGER_IDENTITY_TOKEN_FILE": "{home}/identity-token",
        },
        files={"identity-token": unsigned_jwt(sub="robot")},
        keeps=".ppm/tokens.toml",
    ),
)


class Invited(NamedTuple):
    """The peers that can be measured: their versions, their cases, and one line about each thing left out."""

    versions: dict[str, str]
    cases: list[Case]
    left_out: list[str]


def invite(folder: Path, environments: Environments, *, double: str) -> Invited:
    """Install every peer and run each of its cases once. A peer that does not end them as it should is left out."""
    invited = Invited({}, [], [])
    for peer in PEERS:
        home = folder / peer.name / "home"
        installed = install_peer(folder / peer.name / "environment", peer.name, environments)
        if installed is None:
            invited.left_out.append(f"{peer.name}: cannot be installed here")
            continue
        cases = _cases(peer, installed.programs, home, double)
        if not all(ends_as_it_should(case) for case in cases):
            invited.left_out.append(f"{peer.name}: does not answer as it should")
            continue
        invited.versions[peer.name] = installed.version
        invited.cases.extend(cases)
        if peer.unmeasured:
            invited.left_out.append(f"{peer.name}, own index: {peer.unmeasured}")
    return invited


def _cases(peer: Peer, programs: Path, home: Path, double: str) -> list[Case]:
    home.mkdir()
    for name, content in peer.files.items():
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(0o700)
    variables = {name: value.format(double=double, home=home) for name, value in peer.variables.items()}
    seen = environ(home, **variables)
    seen["PATH"] = f"{home / 'bin'}:{seen['PATH']}"
    cases = [Case(peer.name, "foreign", ask_keyring(programs, FOREIGN_URL), seen, status=1, may_fail=True)]
    if peer.url:
        own = ask_keyring(programs, peer.url.format(double=double), peer.username)
        kept = home / peer.keeps if peer.keeps else None
        cases.append(Case(peer.name, "first", own, seen, status=0, forgets=kept, may_fail=True))
        if kept:
            cases.append(Case(peer.name, "later", own, seen, status=0, may_fail=True))
    return cases
