"""A double of a private index: simple pages and wheels, for whoever shows a credential that the test accepts.

Pages are those of PEP 503, wheels are made when they are added, so that pip installs from it. It asks for a credential
as real indexes do, by a 401 with a Basic challenge. It takes no uploads. For a real index, run pypiserver or devpi.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from indexpass._metadata import RESOURCE_METADATA_PATH, ResourceMetadata
from indexpass._url import IndexUrl
from indexpass.testing.broker import FakeBroker
from indexpass.testing.contexts import make_index
from indexpass.testing.server import FakePlatform, Reply, Request

if TYPE_CHECKING:
    from indexpass._model import Index

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="indexpass.testing"'}

Accepts = Callable[[str, str], bool] | Collection[tuple[str, str]]


class FakeIndex(FakePlatform):
    """An index on loopback with its pages below ``/simple/``.

    ``accepts`` says which credentials open it: a function of user name and password, a list of such pairs, or a
    :class:`FakeBroker`, which the index then names as its own (RFC 9728). ``beside`` answers what else there is on the
    same host, such as a platform's own API, and returns None for the rest.
    """

    def __init__(
        self, accepts: Accepts | FakeBroker, *, beside: Callable[[Request], Reply | None] = lambda _: None
    ) -> None:
        """Begin nothing yet; the index is empty."""
        super().__init__(self._route)
        self.accepts = accepts
        self._beside = beside
        self._wheels: dict[str, dict[str, bytes]] = {}

    @property
    def index_url(self) -> str:
        """What clients are configured with, such as ``http://127.0.0.1:49152/simple/``."""
        return f"{self.url}/simple/"

    @property
    def refused(self) -> int:
        """How many of the requests so far carried a credential that does not open the index."""
        return sum(request.basic is not None and not self._is_open_to(request) for request in self.asked)

    def as_index(self, provider: str = "", **options: str) -> Index:
        """Return this index as it would be configured; see :func:`indexpass.testing.make_index`."""
        if isinstance(self.accepts, FakeBroker) and not provider:
            options = {"broker": self.accepts.url, **options}
        return make_index(self.index_url, provider=provider, **options)

    def add(self, name: str, version: str = "1.0", *, code: str = "") -> str:
        """Add a wheel with one module of this code, and return its file name."""
        module = re.sub(r"[-_.]+", "_", name).lower()
        file = f"{module}-{version}-py3-none-any.whl"
        info = f"{module}-{version}.dist-info"
        members = {
            f"{module}.py": code,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: indexpass\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = "".join(f"{member},,\n" for member in [*members, f"{info}/RECORD"])
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as wheel:
            for member, text in {**members, f"{info}/RECORD": record}.items():
                wheel.writestr(member, text)
        self._wheels.setdefault(_normal(name), {})[file] = buffer.getvalue()
        return file

    def _is_open_to(self, request: Request) -> bool:
        shown = request.basic
        if shown is None:
            return False
        if isinstance(self.accepts, FakeBroker):
            return self.accepts.opens(self.index_url, shown[1])
        return self.accepts(*shown) if callable(self.accepts) else shown in self.accepts

    def _route(self, request: Request) -> Reply:
        other = self._beside(request)
        if other:
            return other
        if isinstance(self.accepts, FakeBroker) and request.path == f"{RESOURCE_METADATA_PATH}/simple":
            said = ResourceMetadata(IndexUrl.parse(self.index_url), self.accepts.url, None, None, "acme")
            return Reply(200, said.to_json())
        if request.method not in ("GET", "HEAD"):
            return Reply(405, "a double takes no uploads", {"Allow": "GET, HEAD"})
        if not self._is_open_to(request):
            return Reply(401, "401 Unauthorized", _CHALLENGE)
        return self._serve(request)

    def _serve(self, request: Request) -> Reply:
        match request.path.strip("/").split("/"):
            case ["simple"]:
                return _page({f"{name}/": name for name in self._wheels})
            case ["simple", name] if _normal(name) in self._wheels:
                wheels = self._wheels[_normal(name)]
                digests = {file: hashlib.sha256(wheel).hexdigest() for file, wheel in wheels.items()}
                return _page({f"/files/{file}#sha256={digest}": file for file, digest in digests.items()})
            case ["files", file]:
                for wheels in self._wheels.values():
                    if file in wheels:
                        return Reply(200, wheels[file])
        return Reply(404, "404 Not Found")


def _page(links: dict[str, str]) -> Reply:
    anchors = "\n".join(f'<a href="{target}">{words}</a>' for target, words in links.items())
    return Reply(200, f"<!DOCTYPE html>\n<html><body>\n{anchors}\n</body></html>\n")


def _normal(name: str) -> str:
    """Return the name as all clients write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
