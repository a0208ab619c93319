"""Credentials from HashiCorp Vault or OpenBao: log in with an identity token, read one path, forget the token.

The path may be a fixed secret (KV version 1 or 2) or one that Vault makes on demand, such as the token of a JFrog
plugin. Sources: Vault's API pages "JWT/OIDC auth method", "KV secrets engine" and "Lease, renew, and revoke". Vault
revokes what it made on demand together with the token that asked for it, so this module revokes nothing, and a
credential never counts as longer-lived than that token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from indexpass._answer import make_readable, read_text, require_ready
from indexpass._model import Credential
from indexpass._secret import Secret
from indexpass._wire import TOKEN_USERNAME
from indexpass.errors import BrokerMisbehaved, BrokerRefused, BrokerUnreachable, ConfigError, IdentityError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Answer, Context, IdentityToken, Index, Operation

DEFAULT_MOUNT = "jwt"
USERNAME_FIELD = "username"
SECRET_FIELD = "password"  # noqa: S105  # the name of a member
_MAX_SECRET_LENGTH = 16_384
_MAX_SECONDS = 10**9
_SEALED = 503
_NOT_FOUND = 404
_ONE_USE = "token had one use left"  # Vault's words when it revokes what it was about to hand out


class VaultProvider:
    """Reads credentials out of Vault; implements Provider."""

    def issue(self, index: Index, operation: Operation, context: Context) -> Credential:
        """Return what stands at the path for the operation.

        Its life is the shorter one of its lease and of the token that read it. Raises IdentityError if nothing here
        proves who runs this, ConfigError, BrokerRefused, BrokerUnreachable or BrokerMisbehaved.
        """
        vault = index.options["vault"]
        role, path = _role_and_path(index, operation)
        audience = index.options.get("audience", vault)
        identity = context.identify(audience)
        if identity is None:
            raise context.unidentified(audience) or IdentityError(
                f"nothing on this machine proves to {vault} who runs it",
                hint="this provider is for CI and workloads: people can read the secret with a program of theirs",
            )
        asked_at = context.now()
        token, token_life = _log_in(index, role, identity, context)
        data, lease = _read(index, path, token, context)
        lives = [life for life in (token_life, lease) if life > 0]
        expires_at = asked_at + min(lives) if lives else None
        return Credential(
            _username(index, data),
            Secret(_field(index, data, index.options.get("secret-field", SECRET_FIELD), path)),
            issued_at=asked_at,
            expires_at=expires_at,
            is_kept=expires_at is not None,
        )


def _role_and_path(index: Index, operation: Operation) -> tuple[str, str]:
    """Return who to be and what to read. Reading never gets at the secret that can write. Raises ConfigError."""
    options = index.options
    if operation == "read":
        return options["role"], options["path"]
    if "upload-path" not in options:
        raise ConfigError(
            f"no secret for uploading to the index {index.name!r} is configured",
            hint='add a line: upload-path = "…" (the same as path only if one secret is for both)',
        )
    return options.get("upload-role", options["role"]), options["upload-path"]


def _log_in(index: Index, role: str, identity: IdentityToken, context: Context) -> tuple[Secret, int]:
    """Return Vault's own token, and its life in seconds; 0 if it has no end."""
    vault, mount = index.options["vault"], index.options.get("mount", DEFAULT_MOUNT).strip("/")
    answer = context.http.send(
        "POST",
        f"{vault}/v1/auth/{quote(mount)}/login",
        headers=_headers(index),
        json={"role": role, "jwt": identity.secret},
    )
    if answer.status == _NOT_FOUND:
        raise BrokerRefused(
            f"{vault} has no auth method at {mount}",
            reason="not_found",
            hint="write where it is: mount = … (vault auth list shows it), and the namespace if there are any",
        )
    auth = _success(
        answer,
        vault,
        doing=f"does not log in the role {role} (the identity token came from {identity.source})",
        hint=f"compare its bound claims and bound_audiences: vault read auth/{mount}/role/{role}",
    ).get("auth")
    if not isinstance(auth, dict):
        raise BrokerMisbehaved(f"{vault} logged the role {role} in without a token")
    return Secret(read_text(auth, "client_token", limit=_MAX_SECRET_LENGTH)), _seconds(auth)


def _read(index: Index, path: str, token: Secret, context: Context) -> tuple[Mapping[str, object], int]:
    """Return the members of the secret, and the seconds of its lease; 0 if it has none."""
    vault, path = index.options["vault"], path.strip("/")
    headers = {**_headers(index), "X-Vault-Token": token}
    answer = context.http.send("GET", f"{vault}/v1/{quote(path)}", headers=headers)
    if answer.status == _NOT_FOUND:
        raise BrokerRefused(
            f"{vault} has nothing at {path}",
            reason="not_found",
            hint="correct path; in a KV engine of version 2, data/ comes after its mount: secret/data/pypi",
        )
    hint = f'add to the policy of the role: path "{path}" {{ capabilities = ["read"] }}'
    if _ONE_USE in " ".join(_errors(answer)):
        hint = "let the role's tokens be used more than once: token_num_uses=0"
    body = _success(answer, vault, doing=f"does not let {path} be read", hint=hint)
    data = body.get("data")
    if isinstance(data, dict) and isinstance(data.get("data"), dict) and isinstance(data.get("metadata"), dict):
        data = data["data"]  # KV version 2 wraps it; a fixed secret has no lease
    if not isinstance(data, dict):
        raise BrokerMisbehaved(f"{vault} answered without data for {path}")
    # Without an id it is no lease: KV version 1 then says when to look again, and nothing ends by itself.
    return data, _seconds(body)


def _success(answer: Answer, vault: str, *, doing: str, hint: str) -> Mapping[str, object]:
    """Return the body of a 200, or raise what the status means (Vault's page "HTTP API", status codes)."""
    if answer.status == _SEALED:
        raise BrokerUnreachable(
            f"{vault} is sealed or down for maintenance",
            hint="ask who runs it to unseal it: vault status",
            retry_after=answer.retry_after,
        )
    require_ready(answer, vault)
    if answer.status != 200:  # noqa: PLR2004
        said = "; ".join(_errors(answer)) or f"status {answer.status}"
        raise BrokerRefused(f"{vault} {doing}: {make_readable(said)}", reason=f"status_{answer.status}", hint=hint)
    if not isinstance(answer.body, dict):
        raise BrokerMisbehaved(f"{vault} answered without a JSON object", hint="check that the URL is Vault's")
    return answer.body


def _errors(answer: Answer) -> list[str]:
    errors = answer.body.get("errors") if isinstance(answer.body, dict) else None
    return [error for error in errors if isinstance(error, str)] if isinstance(errors, list) else []


def _headers(index: Index) -> dict[str, str | Secret]:
    headers: dict[str, str | Secret] = {"X-Vault-Request": "true"}  # agents may insist on it
    if "namespace" in index.options:
        headers["X-Vault-Namespace"] = index.options["namespace"]
    return headers


def _seconds(body: Mapping[str, object]) -> int:
    value = body.get("lease_duration")
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MAX_SECONDS else 0


def _username(index: Index, data: Mapping[str, object]) -> str:
    """Return the user name in the secret. One that has none, and is not said to have, goes with any."""
    field = index.options.get("username-field")
    if field is None and USERNAME_FIELD not in data:
        return TOKEN_USERNAME
    return _field(index, data, field or USERNAME_FIELD, "the secret")


def _field(index: Index, data: Mapping[str, object], field: str, path: str) -> str:
    """Return a member of the secret. Raises ConfigError that names the members that there are, not their values."""
    if field not in data:
        there = ", ".join(sorted(make_readable(name) for name in data)[:10]) or "none"
        raise ConfigError(
            f"{path} of the index {index.name!r} in Vault has no member {field!r}: it has {there}",
            hint='name the right ones: secret-field = "…", username-field = "…"',
        )
    return read_text(data, field, limit=_MAX_SECRET_LENGTH)
