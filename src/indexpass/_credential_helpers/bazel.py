"""Bazel's credential helper protocol, as EngFlow's credential-helper-spec says: one JSON object in, one out.

Buck, pants and others speak it as well. This module never logs what it writes.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from indexpass._credential import USABLE_SECONDS
from indexpass.errors import IndexpassError

if TYPE_CHECKING:
    from indexpass._credential import Credential

NOTHING = '{"headers": {}}'  # the specification's words for "no credentials are needed"


def parse(text: str) -> str:
    """Return the URI that is asked for. Raises IndexpassError if the request is not what the specification says."""
    try:
        request: object = json.loads(text)
    except (ValueError, RecursionError):
        request = None
    uri = request.get("uri") if isinstance(request, dict) else None
    if not isinstance(uri, str):
        raise IndexpassError(
            "the request on stdin is not a JSON object with a uri",
            hint="""try: echo '{"uri": "https://packages.example.com/simple/"}' | indexpass helper bazel get""",
        )
    return uri


def write(credential: Credential) -> str:
    """Return the answer to ``get``: a header, and until when it is good for new requests. This reveals the secret."""
    pair = f"{credential.username}:{credential.secret.reveal()}".encode()
    answer: dict[str, object] = {"headers": {"Authorization": [f"Basic {base64.b64encode(pair).decode()}"]}}
    if credential.expires_at is not None:
        # Bazel sends it until that very second, and does not ask again after a 401.
        margin = min(USABLE_SECONDS, (credential.expires_at - credential.issued_at) / 10)
        ends = datetime.fromtimestamp(int(credential.expires_at - margin), tz=timezone.utc)
        answer["expires"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps(answer)
