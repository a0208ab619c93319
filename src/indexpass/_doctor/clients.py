"""Judges the clients: which keyring each would ask, whether ours is reached there, and whether it wins.

What is judged are facts that are passed in; this module asks nobody. A client that is not set to use an index of ours
may do as it likes: what keeps it from reaching us is a note, and no fault.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from indexpass._doctor.environments import OURS
from indexpass._doctor.findings import Finding, Verdict, with_tilde
from indexpass._url import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from indexpass._doctor.environments import Environment, Program
    from indexpass._doctor.programs import Client, Machine, Pip, Uv, UvIndex

MIN_KEYRING = (25, 2, 1)  # the first that prints JSON, which pip's subprocess mode asks for
MIN_PIP = (26, 2)  # the first that asks the keyring command without a user name in the URL
_CHAINER = "keyring.backends.chainer.ChainerBackend"
_TRUE = frozenset({"1", "on", "true", "yes", "y", "t"})  # as pip reads a switch
_POETRY_MORE = "; poetry indexpass doctor says more"


class Judgement(NamedTuple):
    """A finding without its part."""

    verdict: Verdict
    message: str
    hint: str = ""


def judge_clients(machine: Machine) -> Iterator[Finding]:
    """Yield a finding for each client that was found, and for the keyring command if one of them would run it."""
    for pip in machine.pips:
        yield Finding("pip", *_judge_pip(pip, machine))
    if machine.uv:
        yield from (Finding("uv", *judged) for judged in _judge_uv(machine.uv, machine))
    for client in machine.others:
        judge = _judge_poetry if client.name == "poetry" else _judge_other
        yield Finding(client.name, *judge(client, machine))


def judge_keyring(environment: Environment, environ: Mapping[str, str]) -> Judgement:
    """Say whether keyring, in this environment, asks our backend, and whether it does so first."""
    keyring = f"keyring {environment.versions.get('keyring', '')} in {with_tilde(environment.python)}"
    names = [name for name, _ in environment.chain]
    if OURS not in names:
        return Judgement("fault", *_explain_missed(environment, keyring, environ))
    before = names[: names.index(OURS)]
    if before:
        return Judgement("note", f"{keyring} asks {', '.join(before)} before indexpass")
    return Judgement("ok", f"{keyring} asks indexpass first")


def _explain_missed(environment: Environment, keyring: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Say why keyring does not ask our backend, and what mends it: what was set on purpose comes first."""
    named = environ.get("PYTHON_KEYRING_BACKEND", "")
    if not environment.has_keyring:
        said = f"there is no keyring in {with_tilde(environment.python)}", install_command(environment)
    elif named:
        said = f"PYTHON_KEYRING_BACKEND makes keyring use {named}", "unset PYTHON_KEYRING_BACKEND"
    elif environment.default:
        hint = f"sed -i.bak '/^ *default-keyring/d' {shlex.quote(environment.file)}"
        said = f"{with_tilde(environment.file)} makes keyring use {environment.default}", hint
    elif not environment.has_ours:
        said = f"{keyring} has no indexpass", install_command(environment)
    elif environment.error:
        hint = install_command(environment, "--upgrade keyring")
        said = f"{keyring} cannot be loaded ({environment.error})", hint
    else:
        said = f"{keyring} uses {environment.chosen}, and no other", f"export PYTHON_KEYRING_BACKEND={_CHAINER}"
    return said


def install_command(environment: Environment, what: str = "indexpass") -> str:
    """Return the command that puts ``what`` into this environment, by the tool that has made it."""
    path = Path(environment.python)
    folders = path.parts
    for tool, parent, command in (
        ("pipx", "venvs", "pipx inject {name} {what}"),
        ("uv", "tools", "uv tool install --with {what} {name}"),
    ):
        for place in range(len(folders) - 2):
            if folders[place : place + 2] == (tool, parent) and what == "indexpass":
                return command.format(name=shlex.quote(folders[place + 2]), what=what)
    if environment.versions.get("pip"):
        return f"{shlex.quote(str(path))} -m pip install {what}"
    return f"uv pip install --python {shlex.quote(str(path))} {what}"


def _judge_command(machine: Machine, command: Program | None, client: Literal["pip", "uv"]) -> Judgement:
    """Judge the keyring command that pip or uv would run."""
    if command is None:
        return Judgement("fault", "there is no keyring command on PATH", "uv tool install --with indexpass keyring")
    path, environment = with_tilde(command.path), command.environment
    if command.is_shim and "PYTHON_KEYRING_BACKEND" not in machine.environ:
        return Judgement("ok", f"{path} is the command of indexpass itself")
    if environment is None:
        message = f"{path} does not say which Python runs it, or that one does not answer"
        return Judgement("note", message, f"{shlex.quote(command.path)} --list-backends")
    verdict, message, hint = judge_keyring(environment, machine.environ)
    if verdict == "ok" and _numbers(environment.versions["keyring"]) < MIN_KEYRING:
        message = f"{path} is keyring {environment.versions['keyring']}, too old for {client} to ask by URL alone"
        return Judgement("fault", message, install_command(environment, "'keyring>=25.2.1'"))
    return Judgement(verdict, f"{path}: {message}", hint)


def _judge_pip(pip: Pip, machine: Machine) -> Judgement:
    name = f"{with_tilde(pip.path)} {pip.environment.versions['pip']}"
    if pip.settings is None:
        hint = f"{shlex.quote(pip.environment.python)} -m pip config debug"
        return Judgement("fault", f"{name} cannot read its own configuration", hint)
    judged = _judge_pip_way(pip, pip.settings, machine)
    is_wanted = pip.is_used or pip.is_first
    verdict: Verdict = "note" if judged.verdict == "fault" and not is_wanted else judged.verdict
    return Judgement(verdict, f"{name}: {judged.message}", judged.hint)


def _judge_pip_way(pip: Pip, settings: Mapping[str, str], machine: Machine) -> Judgement:
    """Judge how this pip finds keyring: it imports the one beside it, or else runs another one's command."""
    provider = settings.get("keyring-provider", "auto")
    # pip leaves out the command beside itself.
    others = [each for each in machine.keyrings if not _is_in(each.path, pip.environment.scripts)]
    by_command = _judge_command(machine, next(iter(others), None), "pip")
    imports = provider == "import" or (provider == "auto" and pip.environment.has_keyring)
    better = "subprocess" if by_command.verdict == "ok" else "import"
    if provider == "disabled":
        message = "keyring-provider is disabled, so keyring is not asked"
        judged = Judgement("fault", message, _set_provider(pip, better))
    elif provider == "auto" and settings.get("no-input", "").lower() in _TRUE:
        message = "no-input is set, and with keyring-provider auto, keyring is not asked then"
        judged = Judgement("fault", message, _set_provider(pip, "import" if imports else better))
    elif imports:
        judged = judge_keyring(pip.environment, machine.environ)
        if judged.verdict == "fault" and by_command.verdict == "ok":
            judged = judged._replace(hint=_set_provider(pip, "subprocess"))
    elif not others and provider == "auto":
        message = "no keyring beside it, and none on PATH"
        judged = Judgement("fault", message, install_command(pip.environment))
    elif by_command.verdict != "fault" and _numbers(pip.environment.versions["pip"]) < MIN_PIP:
        hint = f"{shlex.quote(pip.environment.python)} -m pip install --upgrade pip"
        judged = Judgement("note", "asks the keyring command only if the index's URL has a user name", hint)
    else:
        judged = by_command
    return judged


def _set_provider(pip: Pip, provider: str) -> str:
    return f"{shlex.quote(pip.environment.python)} -m pip config set global.keyring-provider {provider}"


def _judge_uv(uv: Uv, machine: Machine) -> Iterator[Judgement]:
    name = f"{with_tilde(uv.path)} {uv.version}".strip()
    worst: Verdict = "fault" if uv.indexes else "note"
    if uv.provider != "subprocess":
        message = f"{name}: keyring-provider is {uv.provider}, so keyring is not asked"
        hint = "unset UV_KEYRING_PROVIDER" if "UV_KEYRING_PROVIDER" in machine.environ else "indexpass setup uv"
        yield Judgement(worst, message, hint)
        return
    judged = _judge_command(machine, next(iter(machine.keyrings), None), "uv")
    yield Judgement(judged.verdict if judged.verdict != "fault" else worst, f"{name}: {judged.message}", judged.hint)
    for index in uv.indexes:
        if not index.has_user and not index.is_authenticated:
            message = f"{name}: keyring is not asked for {redacted(index.url)} in {with_tilde(index.place)}"
            yield Judgement("fault", message, _mend_uv_index(index))


def _mend_uv_index(index: UvIndex) -> str:
    if index.scope == "user":
        return "indexpass setup uv"
    if index.scope == "project":
        return f"indexpass setup uv --project {shlex.quote(str(Path(index.place).parent))}"
    if index.scope:
        return f'add below its url in {index.place}: authenticate = "always"'
    scheme, _, rest = redacted(index.url).partition("://")
    return f"put a user name into {with_tilde(index.place)}: {scheme}://__token__@{rest}"


def _judge_poetry(client: Client, machine: Machine) -> Judgement:  # noqa: ARG001  # one signature for all clients
    path, environment = with_tilde(client.program.path), client.program.environment
    if environment is None:
        return _unknown(client)
    name = f"{path} {environment.versions.get('poetry', '')}".strip()
    if environment.has_ours:
        return Judgement("ok", f"{name} has the plugin{_POETRY_MORE}")
    if client.gets_ours:
        return Judgement("ok", f"{name} gets the plugin from the project's requires-plugins{_POETRY_MORE}")
    verdict: Verdict = "fault" if client.is_used else "note"
    return Judgement(verdict, f"{name} has no plugin of indexpass", "poetry self add indexpass")


def _judge_other(client: Client, machine: Machine) -> Judgement:
    environment = client.program.environment
    if environment is None:
        return _unknown(client)
    name = f"{with_tilde(client.program.path)} {environment.versions.get(client.name, '')}".strip()
    judged = judge_keyring(environment, machine.environ)
    if client.name == "pdm" and not environment.has_keyring:  # runs the command, as pip does
        judged = _judge_command(machine, next(iter(machine.keyrings), None), "pip")
    verdict: Verdict = "note" if judged.verdict == "fault" and not client.is_used else judged.verdict
    return Judgement(verdict, f"{name}: {judged.message}", judged.hint)


def _unknown(client: Client) -> Judgement:
    path = with_tilde(client.program.path)
    return Judgement("note", f"{path} does not say which Python runs it, or that one does not answer")


def _is_in(path: str, folder: str) -> bool:
    return Path(path).parent.resolve() == Path(folder).resolve()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", version)[:3])
