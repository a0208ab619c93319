"""The first ``broker.toml``: works as it is, and says in its comments what else can be said.

This module makes a text and writes nothing.
"""

from __future__ import annotations

from indexpass._url import IndexUrl
from indexpass.errors import ConfigError, UrlError

_TEXT = """\
# A broker's settings. Keys that are not known here are refused, and what no policy grants is denied.
# After a change, start the broker anew.

# The broker's own URL, exactly as clients reach it: https, or http on loopback.
issuer = "{issuer}"

# Where it listens. Behind a proxy that speaks TLS this stays on loopback; without one, name the two PEM files.
listen = "{listen}"
# tls-certificate = "tls.crt"
# tls-key = "tls.key"

# How long a sign-in lasts, however often it is used.
session-lifetime = "24h"

# An index that tokens are minted for. One on the broker's own host can be served by the broker itself, from DIR/{name}:
# indexpass broker serve --packages DIR
[[index]]
name = "{name}"
url = "{issuer}/simple/"
upload-url = "{issuer}/legacy/"
read-lifetime = "60m"
upload-lifetime = "15m"

# Everybody who has a user name here may read and upload. Write names in place of "*" to let in fewer.
[[policy]]
name = "people"
index = "{name}"
operations = ["read", "upload"]
users = ["*"]

# CI and workloads prove themselves with an identity token of an issuer that you trust. The audience is what the
# token must be made for; it is the broker's own URL unless you say otherwise.
#
# [[trusted-issuer]]
# name = "ci"
# url = "https://ci.acme.example"
# audience = "{issuer}"
#
# Name claims that cannot be given to somebody else later: ids rather than names.
#
# [[policy]]
# name = "release"
# index = "{name}"
# operations = ["upload"]
# issuer = "ci"
# claims = {{ project_id = "1234", ref_protected = "true" }}
# lifetime = "5m"
"""


def text(issuer: str, index_name: str) -> str:
    """Return the settings of a broker at ``issuer`` that guards one index on its own host.

    It listens on the port of an issuer on loopback, and on 127.0.0.1:8443 for the proxy of any other. Raises
    ConfigError if ``issuer`` is not a URL; whether the broker can use it is found out when the text is parsed.
    """
    try:
        origin = IndexUrl.parse(issuer).origin
    except UrlError as error:
        hint = error.hint or "name the whole URL, such as https://packages.acme.example"
        raise ConfigError(f"the issuer cannot be used: {error}", hint=hint) from error
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    listen = f"{host}:{origin.port}" if origin.is_loopback else "127.0.0.1:8443"
    return _TEXT.format(issuer=issuer.rstrip("/"), listen=listen, name=index_name)
