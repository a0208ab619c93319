"""Front door 4: a ``keyring`` command that starts at once, for pip, uv and pdm, which run it once a question.

``indexpass setup shim`` puts a file on PATH that calls :func:`main`. It answers ``keyring get`` for our indexes in
keyring's own words (keyring's cli.py), without loading keyring. All else goes to the real ``keyring``, which takes the
place of this process. It never stores anything and, like the backend, never raises.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexpass._credential import Credential

# What clients ask for. Of a password as JSON, releases of keyring say different things, and nobody asks for it.
_FORMS = (("password", "plain"), ("creds", "plain"), ("creds", "json"))


def main() -> None:
    """Answer ``keyring get``, or become the real ``keyring`` with the same arguments."""
    arguments = sys.argv[1:]
    question = _parse(arguments)
    # Who names a backend wants that one and no other.
    if question and "PYTHON_KEYRING_BACKEND" not in os.environ:
        from indexpass._embedded import answer  # noqa: PLC0415  # what is not for us must not pay for it

        service, mode, output = question
        credential = answer(service)
        if credential:
            sys.stdout.write(_say(credential, mode, output))
            return
    from indexpass._keyring_command import find_real  # noqa: PLC0415  # likewise

    command = find_real(os.get_exec_path())
    # Isolated, because a keyring.py in the working directory would be run in place of the real one.
    real = [command] if command else [sys.executable, "-I", "-m", "keyring"]
    try:
        os.execv(real[0], [*real, *arguments])  # noqa: S606  # the caller gets the real one's output and exit code
    except OSError as error:
        sys.exit(f"indexpass: {real[0]} cannot be run: {error.strerror}")


def _parse(arguments: Sequence[str]) -> tuple[str, str, str] | None:
    """Return service, mode and output of a well-formed ``get``; the real keyring has words for everything else."""
    options = {"--mode": "password", "--output": "plain"}
    words: list[str] = []
    rest = iter(arguments)
    for word in rest:
        name, has_value, value = word.partition("=")
        if name in options:
            options[name] = value if has_value else next(rest, "")
        elif word.startswith("-"):
            return None
        else:
            words.append(word)
    mode, output = options["--mode"], options["--output"]
    lengths = (2, 3) if mode == "creds" else (3,)  # a password is asked for by user name
    if words[:1] != ["get"] or len(words) not in lengths or (mode, output) not in _FORMS:
        return None
    return words[1], mode, output


def _say(credential: Credential, mode: str, output: str) -> str:
    said = {"password": credential.secret.reveal()}
    if mode == "creds":
        said = {"username": credential.username, **said}
    if output == "plain":
        return "".join(f"{each}\n" for each in said.values())
    import json  # noqa: PLC0415  # for pip alone

    return f"{json.dumps(said)}\n"
