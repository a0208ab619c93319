"""Who is trusted and who may do what: ``[[trusted-issuer]]`` and ``[[policy]]`` as they stand in ``broker.toml``.

This module reads tables; whether the names in them lead somewhere is found out when the whole file is read.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, cast, get_args

from packaging.utils import InvalidName, canonicalize_name

from indexpass._wire import SCOPES
from indexpass.broker.settings import MAX_TOKEN_SECONDS, People, Policy, Replay, TrustedIssuer, Workload, values
from indexpass.broker.settings.table import nearest
from indexpass.broker.trust.claims import check_key
from indexpass.broker.trust.presets import GENERIC, PRESETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from indexpass._model import Operation
    from indexpass.broker.settings.table import Table

ISSUER_KEYS = ("preset", "name", "url", "audience", "jwks-url", "replay", "private-network")
POLICY_KEYS = ("name", "index", "operations", "projects", "lifetime", "users", "groups", "issuer", "claims", "patterns")
MAX_PROJECTS_LENGTH = 300  # with their separators: they stand in every token of the policy
_CHECKED_ANYWAY = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti"})


def read_issuer(table: Table, broker: str) -> TrustedIssuer:
    """Return a trusted issuer; what it does not say is as its preset has it. ``broker`` is the broker's own URL."""
    preset_name = table.parsed("preset", _preset, default=GENERIC)
    preset = PRESETS[preset_name]
    if "url" not in table.values and preset.url is None:
        raise table.wrong("url", "this key is missing", hint=f'add a line such as url = "{preset.example}"')
    url = table.parsed("url", values.url_as_written, default=preset.url)
    if not re.fullmatch(preset.url_pattern, url):
        raise table.wrong("url", f"not an issuer of {preset_name}", hint=f'write it as in "{preset.example}"')
    audience = preset.audience.format(broker=broker)
    if not audience and "audience" not in table.values:
        hint = 'name the application that the tokens are for, such as audience = "api://CLIENT-ID"'
        raise table.wrong("audience", "this key is missing", hint=hint)
    if preset.has_one_audience and "audience" in table.values:
        raise table.wrong("audience", f"tokens of {preset_name} are all for {audience}", hint="remove this line")
    return TrustedIssuer(
        name=table.parsed("name", values.name, default=None if preset_name == GENERIC else preset_name),
        url=url,
        audience=table.parsed("audience", str, default=audience),
        jwks_url=table.optional("jwks-url", values.url_as_written),
        replay=table.parsed("replay", _replay, default=preset.replay),
        preset=preset_name,
        algorithms=preset.algorithms,
        is_private=table.flag("private-network"),
    )


def _preset(text: str) -> str:
    if text not in PRESETS:
        msg = f'"{text}" is not a preset: {nearest(text, PRESETS)}'
        raise ValueError(msg)
    return text


def _replay(text: str) -> Replay:
    if text not in get_args(Replay):
        msg = 'it is "once" or "until-exp"'
        raise ValueError(msg)
    return cast("Replay", text)


def read_policy(table: Table, issuers: Iterable[TrustedIssuer]) -> Policy:
    """Return a policy; if it is for workloads of one of ``issuers``, it binds the ids that these demand.

    Raises ConfigError.
    """
    is_for_people = "users" in table.values or "groups" in table.values
    if is_for_people == ("issuer" in table.values):
        problem = "exactly one of users and issuer is needed (groups count as users)"
        raise table.wrong("users", problem, hint="say users or groups, or issuer and claims")
    return Policy(
        name=table.parsed("name", values.name),
        index=table.parsed("index", values.name),
        operations=frozenset(_operation(text, table) for text in table.texts("operations")),
        who=_people(table) if is_for_people else _workload(table, issuers),
        seconds=table.optional("lifetime", values.seconds(MAX_TOKEN_SECONDS)),
        projects=_projects(table) if "projects" in table.values else None,
    )


def _operation(text: str, table: Table) -> Operation:
    if text not in SCOPES:
        raise table.wrong("operations", f'"{text}" is not an operation', hint='write "read", "upload" or both')
    return cast("Operation", text)  # the keys of SCOPES are the operations


def _projects(table: Table) -> frozenset[str]:
    try:
        names = frozenset(str(canonicalize_name(name, validate=True)) for name in table.texts("projects"))
    except InvalidName as error:
        hint = 'write the names of packages: projects = ["acme-lib"]'
        raise table.wrong("projects", str(error), hint=hint) from error
    if len(",".join(names)) > MAX_PROJECTS_LENGTH:
        problem = f"more than {MAX_PROJECTS_LENGTH} characters of names: they stand in every token"
        raise table.wrong("projects", problem, hint="make several policies, or an index of their own for them")
    return names


def _people(table: Table) -> People:
    for key in ("claims", "patterns"):
        if key in table.values:
            raise table.wrong(key, "people have no claims", hint=f"remove {key}, or say issuer in place of users")
    users = table.texts("users") if "users" in table.values else ()
    return People(frozenset(users), frozenset(table.texts("groups") if "groups" in table.values else ()))


def _workload(table: Table, issuers: Iterable[TrustedIssuer]) -> Workload:
    name = table.parsed("issuer", values.name)
    claims, patterns = _claims(table), _patterns(table)
    if not claims and not patterns:
        raise table.wrong("claims", "at least one claim is needed", hint='write claims = { project_id = "123" }')
    preset = PRESETS[next((issuer.preset for issuer in issuers if issuer.name == name), GENERIC)]
    missing = [key for key in preset.ids if not isinstance(claims.get(key), str)]
    if missing:
        problem = f"the ids that never change are needed here, as exact texts: {', '.join(missing)}"
        raise table.wrong("claims", problem, hint=preset.ids_are)
    refused = {key: value for key, value in preset.refused.items() if key not in claims and key not in patterns}
    return Workload(name, MappingProxyType(claims), MappingProxyType(patterns), MappingProxyType(refused))


def _claims(table: Table) -> dict[str, str | int | bool]:
    found: dict[str, str | int | bool] = {}
    for key, value in _keyed(table, "claims").items():
        if not isinstance(value, (str, int)):
            raise table.wrong(f"claims.{key}", "not a text, a whole number or a boolean", hint="write the exact value")
        found[key] = value
    return found


def _patterns(table: Table) -> dict[str, re.Pattern[str]]:
    found = {}
    for key, value in _keyed(table, "patterns").items():
        where = f"patterns.{key}"
        if not isinstance(value, str):
            raise table.wrong(where, "not a text", hint="write a regular expression for the whole value")
        try:
            found[key] = re.compile(value, re.ASCII)
        except (re.error, ValueError, OverflowError, RecursionError) as error:
            raise table.wrong(where, f"not a regular expression: {error}", hint="correct it") from error
    return found


def _keyed(table: Table, key: str) -> Mapping[str, object]:
    """Return the table of claims or patterns, with keys that can name a claim."""
    value = table.values.get(key, {})
    if not isinstance(value, dict):
        raise table.wrong(key, "not a table", hint=f'write {key} = {{ name = "…" }}')
    for name in value:
        if name in _CHECKED_ANYWAY:
            raise table.wrong(f"{key}.{name}", "it says nothing about who this is", hint="bind another claim")
        try:
            check_key(name)
        except ValueError as error:
            raise table.wrong(f"{key}.{name}", str(error), hint="correct the name of the claim") from error
    return value
