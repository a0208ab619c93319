"""A netrc file's text: our credentials, and what the person's own file says of other hosts.

A netrc knows hosts and no paths, so two indexes on one host are a tie, which nobody wins. This module writes nothing.
"""

from __future__ import annotations

import netrc
import re
from pathlib import Path
from typing import TYPE_CHECKING

from indexpass.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from indexpass._exec.forms import Handed

MAX_NETRC_BYTES = 1024 * 1024
# What every reader takes for one word: they differ in quotes, backslashes and comments.
_WORD = re.compile(r"(?!#)[!#-\[\]-~]+")


def write(handed: Sequence[Handed], own: Mapping[str, tuple[str, str, str]]) -> str:
    """Return the text. This reveals the secrets.

    ``own`` are the person's other entries by host: user name, account, password. Raises ConfigError for two indexes on
    one host with different credentials, and for what cannot be written so that all readers agree.
    """
    ours: dict[str, tuple[str, str]] = {}
    for index, credential in handed:
        host = index.url.origin.host
        entry = (credential.username, credential.secret.reveal())
        if ours.setdefault(host, entry) != entry:
            raise ConfigError(
                f"a netrc file cannot tell the indexes at {host} apart", hint="name the one you need: --index NAME"
            )
        if not all(_WORD.fullmatch(word) for word in (host, *entry)):
            raise ConfigError(
                f"the credential for {index.url} cannot be written into a netrc file", hint="try another form: --as uv"
            )
    return "".join(_entries({host: (login, "", password) for host, (login, password) in ours.items()}, own))


def _entries(ours: Mapping[str, tuple[str, str, str]], own: Mapping[str, tuple[str, str, str]]) -> Iterator[str]:
    # A default has to be the last: readers stop there.
    for host, (login, account, password) in sorted({**own, **ours}.items(), key=lambda entry: entry[0] == "default"):
        words = {"login": login, "account": account, "password": password}
        if _WORD.fullmatch(host) and all(not word or _WORD.fullmatch(word) for word in words.values()):
            start = "default" if host == "default" else f"machine {host}"
            yield " ".join([start, *(f"{key} {word}" for key, word in words.items() if word)]) + "\n"


def read_own(environ: Mapping[str, str]) -> tuple[Mapping[str, tuple[str, str, str]], str]:
    """Return the entries of the file that the command would read without us, and why there are none if it is broken."""
    path = _find_own(environ)
    if path is None:
        return {}, ""
    try:
        if path.stat().st_size > MAX_NETRC_BYTES:
            return {}, f"{path} is larger than 1 MiB"
        hosts = netrc.netrc(path).hosts
    except netrc.NetrcParseError as error:
        return {}, f"{path} cannot be read: line {error.lineno} is wrong"  # its text could quote a password
    except (OSError, ValueError) as error:
        return {}, f"{path} cannot be read: {type(error).__name__}"
    return {
        host: (login or "", account or "", password or "") for host, (login, account, password) in hosts.items()
    }, ""


def _find_own(environ: Mapping[str, str]) -> Path | None:
    """Return what requests and uv read: the file that NETRC names, else ~/.netrc, else ~/_netrc."""
    if environ.get("NETRC"):
        candidates = [Path(environ["NETRC"])]
    else:
        try:
            home = Path.home()
        except RuntimeError:  # a container may run as a user whom no file knows
            return None
        candidates = [home / ".netrc", home / "_netrc"]
    return next((path for path in candidates if path.is_file()), None)
