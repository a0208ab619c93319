"""URLs that look as if they belonged to a platform, and do not: each is a way to have a credential sent elsewhere."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

# One index of each platform that is known by its URL alone.
KNOWN_INDEXES: Mapping[str, str] = MappingProxyType(
    {
        "aws": "https://acme-111122223333.d.codeartifact.eu-west-1.amazonaws.com/pypi/wheels/simple/",
        "azure": "https://pkgs.dev.azure.com/acme/tools/_packaging/feed/pypi/simple/",
        "cloudsmith": "https://dl.cloudsmith.io/basic/acme/tools/python/simple/",
        "gitlab": "https://gitlab.com/api/v4/projects/1234/packages/pypi/simple/",
        "google": "https://europe-west1-python.pkg.dev/acme-packages/wheels/simple/",
        "jfrog": "https://acme.jfrog.io/artifactory/api/pypi/tools/simple/",
    }
)


def look_alikes(url: str) -> Mapping[str, str]:
    """Return URLs that only look like ``url``, by the name of the trick; an index of it must own none of them.

    ``url`` is one of https without a port. Whoever owns the other host could ask for a credential and receive it.
    """
    parts = urlsplit(url)
    host, path = parts.netloc, parts.path
    below, _, domain = host.rpartition(".")[0].rpartition(".")
    top = host.rpartition(".")[2]
    tricks = {
        "longer-host": f"https://{host}.evil.example{path}",
        "host-below": f"https://evil.{host}{path}",
        "another-domain": f"https://{below}{'.' if below else ''}evil{domain}.{top}{path}",
        "another-top": f"https://{below}{'.' if below else ''}{domain}.evil{path}",
        "host-as-user": f"https://{host}@evil.example{path}",
        "host-as-password": f"https://user:{host}@evil.example{path}",
        "host-in-the-path": f"https://evil.example/{host}{path}",
        "host-in-the-query": f"https://evil.example{path}?{host}",
        "host-in-the-fragment": f"https://evil.example{path}#{host}",
        "another-alphabet": f"https://{below}{'.' if below else ''}\u0430{domain}.{top}{path}",
        "another-port": f"https://{host}:8443{path}",
        "without-tls": f"http://{host}{path}",
    }
    if below:
        tricks["dash-for-dot"] = f"https://{below}-{domain}.{top}{path}"
    return MappingProxyType(tricks)
