"""Google Cloud: the metadata server makes an ID token of the machine's service account, for any audience.

For Compute Engine, GKE, Cloud Run and App Engine. As Google documents it under "Get an ID token from the
metadata server". Nobody is asked unless the machine says that it is Google's: by a variable, or by the name that its
firmware gives. This module needs no SDK.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from indexpass._answer import require_ready
from indexpass._identity_token import CHOICE_VARIABLE, read_token
from indexpass._link_local import ask_link
from indexpass._model import Fit, IdentityToken
from indexpass.errors import IdentityError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass._model import Surroundings

PRODUCT_NAME = "/sys/class/dmi/id/product_name"
_HOST_VARIABLE = "GCE_METADATA_HOST"  # Google's own libraries know it
_VARIABLES = (_HOST_VARIABLE, "CLOUD_RUN_JOB", "GAE_SERVICE")
_SOURCE = "Google's metadata server"
_HINT = "check that the machine has a service account, and that its pool or firewall lets it ask the metadata server"


class GoogleSource:
    """Asks the metadata server for a token."""

    def __init__(self, product_name: str = PRODUCT_NAME) -> None:
        """Read in the file ``product_name`` whose the machine is."""
        self._product_name = product_name

    def examine(self, audience: str, environ: Mapping[str, str]) -> Fit:  # noqa: ARG002  # any audience is possible
        """Apply on Google's machines, and where a variable says so."""
        # Knative says K_SERVICE on any cluster, Cloud Run where there is none.
        is_service = bool(environ.get("K_SERVICE") and not environ.get("KUBERNETES_SERVICE_HOST"))
        is_said = is_service or any(environ.get(name) for name in _VARIABLES)
        if environ.get(CHOICE_VARIABLE) == "google" or is_said:
            return Fit(_SOURCE)
        try:
            product = Path(self._product_name).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            product = ""
        if product in ("Google", "Google Compute Engine"):
            return Fit(_SOURCE)
        return Fit(None, f"this is no machine of Google Cloud (no {', '.join(_VARIABLES)} or K_SERVICE is set)")

    def prove(self, audience: str, surroundings: Surroundings) -> IdentityToken:
        """Return a token; the server may give the same one for an hour. Raises IdentityError or BrokerUnreachable."""
        host = surroundings.environ.get(_HOST_VARIABLE) or "metadata.google.internal"
        path = "/computeMetadata/v1/instance/service-accounts/default/identity"
        url = f"http://{host}{path}?audience={quote(audience, safe='')}&format=full"
        answer = ask_link(url, {"Metadata-Flavor": "Google"}, source=_SOURCE, hint=_HINT)
        if answer.status == 404:  # noqa: PLR2004
            raise IdentityError("the machine has no service account at Google", hint="give it one, with no role at all")
        require_ready(answer, _SOURCE)
        # Whoever else is on that address does not know the header.
        if answer.status != 200 or answer.headers.get("metadata-flavor") != "Google":  # noqa: PLR2004
            raise IdentityError(f"{_SOURCE} refused an identity token (status {answer.status})", hint=_HINT)
        text = answer.body if isinstance(answer.body, str) else ""
        return IdentityToken(read_token(text, where=f"the answer of {_SOURCE}", hint=_HINT), _SOURCE)
