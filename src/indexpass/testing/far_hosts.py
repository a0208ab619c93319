"""Hosts of platforms, which no test reaches: requests to them are led to servers on loopback.

What goes to a host that is not in the table fails the test, so a credential that is sent elsewhere is noticed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from indexpass._http import HttpClient

if TYPE_CHECKING:
    from collections.abc import Mapping


class FarHosts(requests.adapters.HTTPAdapter):
    """Leads requests to the origins in ``places`` to the origins there; ``asked`` are the URLs that were meant."""

    def __init__(self, places: Mapping[str, str]) -> None:
        """Open no connection yet; ``places`` is such as ``{"https://api.acme.example": "http://127.0.0.1:49152"}``."""
        super().__init__()
        self.places = places
        self.asked: list[str] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401  # as requests has it
        """Send the request to the place that stands in for its host. Raises AssertionError if there is none."""
        url = request.url or ""
        self.asked.append(url)
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self.places:
            msg = f"a request went to {origin}"
            raise AssertionError(msg)
        request.url = self.places[origin] + url.removeprefix(origin)
        request.headers["Host"] = parts.netloc
        return super().send(request, *args, **kwargs)


def http_to(hosts: FarHosts) -> HttpClient:
    """Return the client's own HTTP, which finds these hosts only."""
    return HttpClient(adapter=hosts)
