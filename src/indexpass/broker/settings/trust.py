"""Who is trusted and who may do what: ``[[trusted-issuer]]`` and ``[[policy]]`` as they stand in ``broker.toml``.

This module reads tables; whether the names in them lead somewhere is found out when the whole file is read.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, cast, get_args

from indexpass._wire import SCOPES
from indexpass.broker.settings import MAX_TOKEN_SECONDS, People, Policy, Replay, TrustedIssuer, Workload, values

if TYPE_CHECKING:
    from indexpass._model import Operation
    from indexpass.broker.settings.table import Table

ISSUER_KEYS = ("name", "url", "audience", "jwks-url", "replay")
POLICY_KEYS = ("name", "index", "operations", "lifetime", "users", "issuer", "claims")


def read_issuer(table: Table, broker: str) -> TrustedIssuer:
    """Return a trusted issuer; its audience is ``broker``, the broker's own URL, unless it says another."""
    return TrustedIssuer(
        name=table.parsed("name", values.name),
        url=table.parsed("url", values.url_as_written),
        audience=table.parsed("audience", str, default=broker),
        jwks_url=table.optional("jwks-url", values.url_as_written),
        replay=table.parsed("replay", _replay, default="once"),
    )


def _replay(text: str) -> Replay:
    if text not in get_args(Replay):
        msg = 'it is "once" or "until-exp"'
        raise ValueError(msg)
    return cast("Replay", text)


def read_policy(table: Table) -> Policy:
    """Return a policy. Raises ConfigError."""
    if ("users" in table.values) == ("issuer" in table.values):
        raise table.wrong("users", "exactly one of users and issuer is needed", hint="say users, or issuer and claims")
    return Policy(
        name=table.parsed("name", values.name),
        index=table.parsed("index", values.name),
        operations=frozenset(_operation(text, table) for text in table.texts("operations")),
        who=_people(table) if "users" in table.values else _workload(table),
        seconds=table.optional("lifetime", values.seconds(MAX_TOKEN_SECONDS)),
    )


def _people(table: Table) -> People:
    if "claims" in table.values:
        raise table.wrong("claims", "people have no claims", hint="remove claims, or say issuer in place of users")
    return People(frozenset(table.texts("users")))


def _workload(table: Table) -> Workload:
    claims = table.values.get("claims")
    if not isinstance(claims, dict) or not claims:
        raise table.wrong("claims", "at least one claim is needed", hint='write claims = { repository_id = "123" }')
    for key, value in claims.items():
        if not isinstance(value, (str, int)):
            raise table.wrong(f"claims.{key}", "not a text, a whole number or a boolean", hint="write the exact value")
    return Workload(table.parsed("issuer", values.name), MappingProxyType(claims))


def _operation(text: str, table: Table) -> Operation:
    if text not in SCOPES:
        raise table.wrong("operations", f'"{text}" is not an operation', hint='write "read", "upload" or both')
    return cast("Operation", text)  # the keys of SCOPES are the operations
