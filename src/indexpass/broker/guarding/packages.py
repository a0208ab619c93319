"""The built-in package index: pypiserver over one folder, as an ASGI application.

It lists, sends and receives distributions, and nothing more: what was uploaded is never overwritten, removed or half
there. It never decides who may; that is the work of the guard in front of it. But only here is it known which project
an upload is for, so this is where the guard's word on projects is kept.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import warnings
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from a2wsgi import WSGIMiddleware

with warnings.catch_warnings():
    # pypiserver's web framework, bottle, is old: Python up to 3.12 warns of the modules and protocols that it uses.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", ImportWarning)
    import pypiserver  # type: ignore[import-untyped]
    from pypiserver.backend import (  # type: ignore[import-untyped]
        BackendProxy,
        SimpleFileBackend,
        digest_file,
    )
    from pypiserver.bottle_wrapper import bottle  # type: ignore[import-untyped]
    from pypiserver.bottle_wrapper.bottle import (  # type: ignore[import-untyped]
        FileUpload,
        FormsDict,
        HTTPError,
        request,
        response,
    )
    from pypiserver.config import Config  # type: ignore[import-untyped]

from indexpass import _challenge
from indexpass.broker.guarding import upload_form
from indexpass.broker.guarding.projects import PROJECTS_HEADER, parse_file, parse_project

if TYPE_CHECKING:
    from pypiserver.core import PkgFile  # type: ignore[import-untyped]
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# bottle leaves a finder for its plug-ins, of which we use none. It has no find_spec, so that Python 3.10 and 3.11 would
# warn of it at every later import, of anything, that finds nothing.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != bottle.__name__]

STALL_SECONDS = 60.0  # an upload may take as long as it likes, but no pause in it may be longer
WORKERS = 10  # files on their way at once; each has a thread
_CHUNK_BYTES = 1024 * 1024
_PROJECTS = f"HTTP_{PROJECTS_HEADER.upper().replace('-', '_')}"  # as WSGI calls the header
_UPLOAD = "indexpass.upload"  # where the form of the request is kept until its end


def create_app(folder: Path, *, stall_seconds: float = STALL_SECONDS) -> ASGIApp:
    """Return the index of the distributions in ``folder``, which exists and is on a file system with hard links.

    ``/simple/`` lists (PEP 503), ``/packages/`` sends, ``POST /`` receives what twine, uv and Poetry upload. Links
    follow the ``root_path`` under which the application is called. Each call makes an index of its own.
    """
    # By default, pypiserver would watch the folder wherever watchdog is installed, for a cache that we replace.
    config = Config.from_args(["run", "--backend=simple-dir"]).with_updates(
        roots=[folder.resolve()],
        authenticate=[],
        password_file=".",  # noqa: S106  # not a password: pypiserver's sign for asking nobody for one
        disable_fallback=True,  # sending people on to the public index is how dependency confusion starts
        overwrite=False,
        hash_algo="sha256",
    )
    config.backend = BackendProxy(_Folder(config))
    # pypiserver keeps its application in a module, but loads that module afresh for each one that it is asked for.
    application = pypiserver.app_from_config(config)
    application.catchall = False  # an unforeseen error belongs in the server's log, not on its standard output
    application.default_error_handler = _in_plain_text
    application.add_hook("before_request", _refuse_all_but_whole_uploads)
    application.add_hook("after_request", _let_go_of_the_upload)
    return _ending_stalls(cast("ASGIApp", WSGIMiddleware(application, workers=WORKERS)), stall_seconds)


class _Folder(SimpleFileBackend):  # type: ignore[misc]  # pypiserver is untyped
    """pypiserver's folder of files, in which a file appears whole, once, and stays."""

    def exists(self, filename: str) -> bool:
        """Return False, or refuse: pypiserver would go on to recommend an option that overwrites files."""
        if super().exists(filename):
            raise _already_there(filename)
        return False

    def add_package(self, filename: str, stream: BinaryIO) -> None:
        """Write the file aside and publish it when it is whole. Raises HTTPError if that cannot be."""
        target: Path = self.roots[0] / filename
        partial = target.with_name(f".upload-{secrets.token_hex(8)}")  # pypiserver does not list hidden files
        try:
            digest = _write(partial, stream)
            if digest != _promised_digest(filename, otherwise=digest):
                raise HTTPError(400, f"{filename} does not match its sha256_digest: upload it again")
            os.link(partial, target)  # unlike a rename, this never replaces a file that came first
        except FileExistsError:
            raise _already_there(filename) from None
        finally:
            partial.unlink(missing_ok=True)

    def digest(self, pkg: PkgFile) -> str:
        """Return ``sha256=<hex>``, computed once per file."""
        status = Path(pkg.fn).stat()
        return _digest(pkg.fn, status.st_size, status.st_mtime_ns)


def _already_there(filename: str) -> HTTPError:
    return HTTPError(409, f"{filename} already exists: upload a new version")


@lru_cache(maxsize=10_000)
def _digest(path: str, _size: int, _mtime_ns: int) -> str:
    return str(digest_file(path, "sha256"))


def _write(path: Path, stream: BinaryIO) -> str:
    """Write the stream to a new file, through to the disk, and return its SHA-256 in hex."""
    digest = sha256()
    with path.open("xb") as file:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _promised_digest(filename: str, *, otherwise: str) -> str:
    """Return the SHA-256 that the upload form gives for its distribution, if it does and this file is the one."""
    if request.files["content"].raw_filename != filename:
        return otherwise  # a detached signature, which comes without a digest
    return str(request.forms.get("sha256_digest") or otherwise).lower()


def _refuse_all_but_whole_uploads() -> None:
    """Refuse what pypiserver would do beyond reading and uploading (removing, too), and uploads that broke off."""
    if request.method in {"GET", "HEAD"}:
        return
    if request.method != "POST" or request.path != "/":
        raise HTTPError(405, "this index is read with GET, and uploaded to at one URL", Allow="GET, HEAD")
    if request.content_length < 0 or request.chunked:
        raise HTTPError(411, "an upload has to say its length")
    if request.body.seek(0, os.SEEK_END) != request.content_length:
        raise HTTPError(400, "the upload broke off")
    try:
        form = upload_form.read(request.content_type, request.body)
    except upload_form.BadForm as error:
        raise HTTPError(400, str(error)) from None
    request.environ[_UPLOAD] = form
    if form.texts.get(":action") != "file_upload":
        raise HTTPError(403, "this index receives files; it does not remove them")
    _refuse_other_projects(form)
    # pypiserver shall see what was checked, and not what its own parser, an older one, would make of the body.
    request.environ["bottle.request.post"] = FormsDict(
        **form.texts, **{name: FileUpload(file.content, name, file.name) for name, file in form.files.items()}
    )


def _refuse_other_projects(form: upload_form.UploadForm) -> None:
    """Refuse a file that is no distribution, or not one of the project that the form names and the guard allows."""
    if "content" not in form.files:
        raise HTTPError(400, "the form has no file named content")
    filename = form.files["content"].name
    release = parse_file(filename)
    if release is None:
        raise HTTPError(
            400,
            "the file has not the name of a wheel or a source distribution, such as acme_tools-1.0-py3-none-any.whl or"
            " acme_tools-1.0.tar.gz: build it anew with a current build tool",
        )
    if parse_project(form.texts.get("name", "")) != release.project:
        raise HTTPError(400, f"{filename} belongs to the project {release.project}, but the form names another one")
    allowed = request.environ.get(_PROJECTS)
    if allowed is not None and release.project not in allowed.split():
        fault = {"error": "insufficient_scope", "error_description": _challenge.TOKEN_OTHER_PROJECTS}
        raise HTTPError(
            403,
            f"this token may upload to {', '.join(allowed.split()) or 'no project'}, and {filename} belongs to"
            f" {release.project}: ask for a policy of the broker with this project",
            **{"WWW-Authenticate": _challenge.bearer_challenge(fault)},
        )


def _in_plain_text(error: HTTPError) -> str:
    """Return an error's text as it is: twine, uv and Poetry show the body, and nobody reads HTML in a terminal."""
    response.content_type = "text/plain; charset=UTF-8"
    return f"{error.body}\n"


def _let_go_of_the_upload() -> None:
    """Close the temporary files of the upload: bottle would keep them, and their space, until the thread's next one."""
    environ = request.environ
    form = environ.pop(_UPLOAD, None)
    if form:
        form.close()
    kept = {key: environ.pop(key) for key in list(environ) if key.startswith("bottle.request.")}
    if "bottle.request.body" in kept:
        kept["bottle.request.body"].close()


def _ending_stalls(app: ASGIApp, seconds: float) -> ASGIApp:
    """Return the application with clients that send nothing for ``seconds`` treated as gone.

    Otherwise a laptop that is shut during an upload would keep a thread for ever.
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_in_time() -> Message:
            try:
                return await asyncio.wait_for(receive(), seconds)
            except asyncio.TimeoutError:
                return {"type": "http.disconnect"}

        await app(scope, receive_in_time if scope["type"] == "http" else receive, send)

    return call
