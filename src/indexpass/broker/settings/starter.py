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

# Where its state is kept: broker.sqlite3 in this folder, or PostgreSQL, for several brokers. No password stands here.
# database = "postgresql://indexpass@db.acme.example/indexpass?sslmode=verify-full"
# database-password-file = "postgresql-password"

# How long a sign-in lasts, however often it is used.
session-lifetime = "24h"

# How long each key signs tokens. The next one follows by itself.
# key-lifetime = "30d"

# Who fetched which version, counted by day, so that old ones can be retired: indexpass broker usage. This is about
# people: remove the line where nobody has agreed to it.
usage = true

# What to ask for numbers: http://127.0.0.1:9464/metrics (Prometheus).
# metrics-listen = "127.0.0.1:9464"

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
# token must be made for; it is the broker's own URL unless you say otherwise. There are presets for github, gitlab,
# google, kubernetes, azure, azure-devops, aws, circleci and buildkite.
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
#
# People can sign in at your company's OpenID provider, in place of a password of the broker's own. "*" above then means
# everybody whom that lets in.
#
# [company]
# name = "ACME"
# issuer = "https://login.acme.example"
# client-id = "indexpass"
# client-secret-file = "company-secret"
# required-groups = ["python-devs"]
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
