"""What an identity token looks like, wherever it comes from: a variable, a file, an answer, a program.

Every token passes through :func:`read_token` before it is handed on. Its claims are read to explain a failure, never
to decide: nothing here is verified, the broker does that. This module never shows a token, nor any part of one.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from indexpass._answer import require_ready
from indexpass._secret import Secret
from indexpass.errors import IdentityError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Answer

CHOICE_VARIABLE = "INDEXPASS_IDENTITY_SOURCE"  # names the one source that may be used, where several would fit
MAX_TOKEN_BYTES = 16 * 1024
LEEWAY_SECONDS = 60.0  # as much as the clocks of two machines may differ


def read_token(text: str, *, where: str, hint: str) -> Secret:
    """Return what ``where`` holds, without the white space around it. Raises IdentityError if it is no signed JWT."""
    token = text.strip()
    if len(token) > MAX_TOKEN_BYTES or not token.isascii() or token.count(".") != 2:  # noqa: PLR2004  # RFC 7519
        raise IdentityError(f"{where} does not hold an OIDC ID token (three parts with dots between)", hint=hint)
    return Secret(token)


def read_file(path: str, *, hint: str) -> str:
    """Return a file's text, cut off after the length of any token. Raises IdentityError if it cannot be read."""
    # Without O_NONBLOCK, a named pipe without a writer would hang the client for ever.
    try:
        descriptor = os.open(Path(path), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MAX_TOKEN_BYTES + 1) or b""  # None from a pipe whose writer has not written yet
            return data.decode("ascii", errors="replace")
    except OSError as error:
        raise IdentityError(f"the identity token cannot be read from {path}: {error.strerror}", hint=hint) from error


def is_there(path: str) -> bool:
    """Is there a file that this process may see?"""
    return os.path.exists(path)  # noqa: PTH110  # Path.exists raises where a folder may not be entered


def read_answer(answer: Answer, member: str, *, source: str, hint: str) -> Secret:
    """Return the token in an answer's member. Raises IdentityError, or BrokerUnreachable where it is to come later."""
    require_ready(answer, source)
    if answer.status != 200:  # noqa: PLR2004
        raise IdentityError(f"{source} refused an identity token: it answered with status {answer.status}", hint=hint)
    value = answer.body.get(member) if isinstance(answer.body, dict) else None
    return read_token(value if isinstance(value, str) else "", where=f"the answer of {source}", hint=hint)


def require_unexpired(token: Secret, *, where: str, now: float, hint: str) -> None:
    """Raise IdentityError if the token's own time is over by more than clocks differ; one that does not say is kept."""
    expires_at = read_claims(token).get("exp")
    if isinstance(expires_at, bool) or not isinstance(expires_at, (int, float)) or expires_at + LEEWAY_SECONDS > now:
        return
    minutes = max(int(min(now - expires_at, 10**9) // 60), 1)
    raise IdentityError(
        f"the identity token in {where} expired {minutes} minutes ago, or this machine's clock is wrong", hint=hint
    )


def is_for(token: Secret, audience: str) -> bool:
    """Does the token say that it is made for ``audience``? Nothing is verified."""
    said = read_claims(token).get("aud")
    return audience in said if isinstance(said, list) else said == audience


def read_claims(token: Secret) -> Mapping[str, object]:
    """Return what the token says, unverified; nothing if that is not JSON."""
    _, _, rest = token.reveal().partition(".")
    payload = rest.partition(".")[0]
    try:
        claims: object = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
