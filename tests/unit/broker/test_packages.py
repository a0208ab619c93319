from __future__ import annotations

import asyncio
import os
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from itertools import chain, repeat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexpass._challenge import TOKEN_OTHER_PROJECTS, bearer_parameters
from indexpass.broker.guarding import packages
from indexpass.broker.guarding.projects import PROJECTS_HEADER, parse_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Scope

pkg_helpers = packages.pypiserver.pkg_helpers
WHEEL = "acme_widgets-1.0-py3-none-any.whl"
BOUNDARY = "a-boundary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
FIELDS = {":action": "file_upload", "name": "acme-widgets"}
KIB = 1024


@dataclass
class Reply:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    largest_piece: int = 0

    @property
    def text(self) -> str:
        return self.body.decode()


def scope_of(method: str, path: str, headers: list[tuple[bytes, bytes]], *, root_path: str = "") -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": root_path + path,
        "root_path": root_path,
        "query_string": b"",
        "headers": headers,
        "server": ("index.example", 443),
        "client": ("127.0.0.1", 50000),
    }


def ask(  # noqa: PLR0913  # a request has this many parts
    app: ASGIApp,
    method: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    pieces: Iterable[bytes] = (),
    root_path: str = "",
    then: Message | None = None,
) -> Reply:
    """Speak ASGI as a server does; after ``pieces`` comes the end, or ``then`` in its place."""
    reply = Reply()

    async def messages() -> AsyncIterator[Message]:
        for piece in pieces:
            yield {"type": "http.request", "body": piece, "more_body": True}
        yield then or {"type": "http.request", "body": b"", "more_body": False}

    stream = messages()

    async def receive() -> Message:
        return await anext(stream)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            reply.largest_piece = max(reply.largest_piece, len(message.get("body", b"")))
            reply.body += message.get("body", b"")

    pairs = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    asyncio.run(app(scope_of(method, path, pairs, root_path=root_path), receive, send))
    return reply


def form(fields: dict[str, str], *, filename: str = "", content: bytes = b"") -> bytes:
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{fields[key]}\r\n' for key in fields]
    body = "".join(parts).encode()
    if filename:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="content"; filename="{filename}"\r\n'
        body += f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def post(app: ASGIApp, body: bytes, *, sent: int | None = None, headers: dict[str, str] | None = None) -> Reply:
    """Post ``body`` in pieces, of which ``sent`` bytes arrive before the client goes away."""
    arriving = body if sent is None else body[:sent]
    return ask(
        app,
        "POST",
        "/",
        headers={"Content-Type": MULTIPART, "Content-Length": str(len(body))} if headers is None else headers,
        pieces=[arriving[start : start + 64 * KIB] for start in range(0, len(arriving), 64 * KIB)],
        then=None if sent is None else {"type": "http.disconnect"},
    )


def upload(  # noqa: PLR0913  # an upload has this many parts
    app: ASGIApp,
    content: bytes,
    *,
    filename: str = WHEEL,
    name: str = "acme-widgets",
    digest: str = "",
    projects: str | None = None,
) -> Reply:
    """Upload as twine does; with ``projects``, the guard in front says which ones are allowed."""
    fields = {**FIELDS, "name": name, "sha256_digest": digest or sha256(content).hexdigest()}
    body = form(fields, filename=filename, content=content)
    said = {} if projects is None else {PROJECTS_HEADER: projects}
    return post(app, body, headers={"Content-Type": MULTIPART, "Content-Length": str(len(body)), **said})


def with_signature(body: bytes, filename: str) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="gpg_signature"; filename="{filename}"\r\n\r\n'
    return f"{head}signature\r\n".encode() + body


@pytest.fixture
def app(tmp_path: Path) -> ASGIApp:
    return packages.create_app(tmp_path)


def test_an_uploaded_file_is_listed_with_its_digest(app: ASGIApp) -> None:
    assert upload(app, b"wheel").status == 200

    page = ask(app, "GET", "/simple/acme-widgets/").text
    assert f'href="/packages/{WHEEL}#sha256={sha256(b"wheel").hexdigest()}"' in page


def test_an_uploaded_file_is_sent_as_it_came(app: ASGIApp) -> None:
    content = os.urandom(300 * KIB)
    upload(app, content)

    assert ask(app, "GET", f"/packages/{WHEEL}").body == content


def test_links_follow_the_root_path(app: ASGIApp) -> None:
    upload(app, b"wheel")

    page = ask(app, "GET", "/simple/acme-widgets/", root_path="/team/index").text
    assert f'href="/team/index/packages/{WHEEL}#' in page


def test_two_indexes_in_one_process_keep_their_folders_apart(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one, two = (packages.create_app(folder) for folder in folders)

    upload(one, b"wheel")

    statuses = [ask(app, "GET", f"/packages/{WHEEL}").status for app in (one, two)]
    assert statuses == [200, 404]
    assert list(folders[1].iterdir()) == []


def test_an_index_leaves_nothing_running_where_watchdog_is_installed(tmp_path: Path) -> None:
    """A system allows a user 128 watches by default, and pypiserver begins one that it never ends."""
    assert find_spec("watchdog"), "mkdocs brings it"
    before = set(threading.enumerate())
    packages.create_app(tmp_path)
    assert set(threading.enumerate()) == before


def test_an_unknown_project_is_not_looked_for_on_the_public_index(app: ASGIApp) -> None:
    reply = ask(app, "GET", "/simple/requests/")
    assert (reply.status, "location" in reply.headers) == (404, False)


def test_a_file_is_never_overwritten(app: ASGIApp) -> None:
    upload(app, b"first")

    reply = upload(app, b"second")
    assert (reply.status, "upload a new version" in reply.text) == (409, True)
    assert ask(app, "GET", f"/packages/{WHEEL}").body == b"first"


def test_of_many_uploads_of_one_name_at_once_exactly_one_is_stored(app: ASGIApp, tmp_path: Path) -> None:
    contents = [bytes([number]) * 100 * KIB for number in range(8)]
    with ThreadPoolExecutor(len(contents)) as threads:
        replies = list(threads.map(lambda content: upload(app, content), contents))

    assert sorted(reply.status for reply in replies) == [200] + [409] * 7
    stored = next(content for content, reply in zip(contents, replies, strict=True) if reply.status == 200)
    assert (tmp_path / WHEEL).read_bytes() == stored


def test_a_file_that_does_not_match_its_digest_is_not_stored(app: ASGIApp, tmp_path: Path) -> None:
    assert upload(app, b"damaged on its way", digest="0" * 64).status == 400
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_a_digest_is_stored(app: ASGIApp, tmp_path: Path) -> None:
    post(app, form(FIELDS, filename=WHEEL, content=b"wheel"))
    assert (tmp_path / WHEEL).read_bytes() == b"wheel"


def test_an_upload_that_breaks_off_leaves_nothing_behind(app: ASGIApp, tmp_path: Path) -> None:
    body = form(FIELDS, filename=WHEEL, content=b"x" * 500 * KIB)

    assert post(app, body, sent=200 * KIB).status == 400
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_stalls_is_treated_as_gone(tmp_path: Path) -> None:
    app = packages.create_app(tmp_path, stall_seconds=0.01)
    replies: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        replies.append(message)

    headers = [(b"content-type", MULTIPART.encode()), (b"content-length", b"1000")]
    asyncio.run(app(scope_of("POST", "/", headers), receive, send))
    assert replies[0]["status"] == 400


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param({":action": "remove_pkg", "name": "acme_widgets", "version": "1.0"}, 403, id="remove"),
        pytest.param({":action": "doc_upload"}, 403, id="upload-documentation"),
        pytest.param({}, 403, id="no-action"),
    ],
)
def test_what_is_not_an_upload_of_a_file_is_refused(app: ASGIApp, fields: dict[str, str], status: int) -> None:
    upload(app, b"wheel")

    assert post(app, form(fields)).status == status
    assert ask(app, "GET", f"/packages/{WHEEL}").status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/RPC2"), ("POST", "/simple/"), ("PUT", "/"), ("DELETE", f"/packages/{WHEEL}")],
)
def test_nothing_but_reading_and_uploading_is_allowed(app: ASGIApp, method: str, path: str) -> None:
    reply = ask(app, method, path)
    assert (reply.status, reply.headers.get("allow")) == (405, "GET, HEAD")


def test_an_upload_of_unknown_length_is_refused_with_411(app: ASGIApp) -> None:
    headers = {"Content-Type": MULTIPART, "Transfer-Encoding": "chunked"}
    assert post(app, b"anything", headers=headers).status == 411


@pytest.mark.parametrize(
    "filename",
    [
        pytest.param("../acme_widgets-1.0.tar.gz", id="path"),
        pytest.param("/tmp/acme_widgets-1.0.tar.gz", id="absolute-path"),  # noqa: S108  # nobody writes there
        pytest.param("..\\acme_widgets-1.0.tar.gz", id="backslash"),
        pytest.param(".acme_widgets-1.0.tar.gz", id="hidden"),
        pytest.param("acme_widgets-1.0.tar.gz\t", id="space"),
        pytest.param("acme%2Dwidgets-1.0.tar.gz", id="escape"),
        pytest.param("ac\u212ae_widgets-1.0.tar.gz", id="kelvin-sign"),
        pytest.param("", id="no-file"),
        pytest.param("not a package", id="words"),
        pytest.param("acme_widgets-1.0-py3.11.egg", id="egg"),
        pytest.param("acme_widgets-1.0.exe", id="installer"),
        pytest.param("acme_widgets-1.0.tar.bz2", id="bz2"),
        pytest.param("acme_widgets-one.tar.gz", id="no-version"),
        pytest.param("acme_widgets-1.0-py3-none.whl", id="short-wheel-name"),
        pytest.param("acme_widgets-1.0.tar.gz.asc", id="signature-alone"),
    ],
)
def test_a_file_that_is_not_named_as_a_distribution_is_refused(app: ASGIApp, tmp_path: Path, filename: str) -> None:
    assert upload(app, b"sdist", filename=filename).status == 400
    assert list(tmp_path.iterdir()) == []
    assert not (tmp_path.parent / "acme_widgets-1.0.tar.gz").exists()


@pytest.mark.parametrize(
    "filename", ["acme_widgets-1.0.tar.gz", "acme-widgets-1.0.zip", "Acme.Widgets-1.0.tar.gz", WHEEL]
)
@pytest.mark.parametrize("name", ["acme-widgets", "Acme_Widgets", "acme.-_widgets"])
def test_names_are_compared_in_their_normal_form(app: ASGIApp, filename: str, name: str) -> None:
    assert upload(app, b"file", filename=filename, name=name, projects="acme-hello acme-widgets").status == 200


@pytest.mark.parametrize("projects", [None, "acme-widgets"])
@pytest.mark.parametrize("name", ["acme-gadgets", "acme-widgets-2", "", "-", "acme widgets"])
def test_a_file_of_another_project_than_the_form_names_is_refused(
    app: ASGIApp, tmp_path: Path, name: str, projects: str | None
) -> None:
    reply = upload(app, b"file", name=name, projects=projects)

    assert (reply.status, reply.text) == (
        400,
        f"{WHEEL} belongs to the project acme-widgets, but the form names another one\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("projects", ["acme-gadgets", "acme", "acme-widgets-2 widgets", ""])
def test_a_file_of_a_project_that_the_guard_does_not_allow_is_refused(
    app: ASGIApp, tmp_path: Path, projects: str
) -> None:
    reply = upload(app, b"file", projects=projects)

    assert reply.status == 403
    assert bearer_parameters(reply.headers["www-authenticate"]) == {
        "error": "insufficient_scope",
        "error_description": TOKEN_OTHER_PROJECTS,
    }
    assert list(tmp_path.iterdir()) == []


def test_the_refusal_of_a_project_says_which_ones_are_allowed(app: ASGIApp) -> None:
    assert upload(app, b"file", projects="acme-gadgets acme-hello").text == (
        f"this token may upload to acme-gadgets, acme-hello, and {WHEEL} belongs to acme-widgets: ask for a policy of"
        " the broker with this project\n"
    )


@pytest.mark.parametrize(
    ("filename", "project"),
    [
        # What pip takes for acme 1.2.post1 if it stands on the page of acme, and packaging for acme-1.2 1.
        pytest.param("acme-1.2-1.tar.gz", "acme-1-2", id="post-release"),
        pytest.param("acme-1.0-widgets-2.0.tar.gz", "acme-1-0-widgets", id="version-in-the-middle"),
        pytest.param("acme-py3.1-widgets-2.zip", "acme-py3-1-widgets", id="python-in-the-middle"),
    ],
)
def test_a_file_that_is_of_two_projects_to_two_readers_is_refused(
    app: ASGIApp, tmp_path: Path, filename: str, project: str
) -> None:
    assert upload(app, b"sdist", filename=filename, name=project, projects=project).status == 400
    assert list(tmp_path.iterdir()) == []


_WORD = st.text("aZ019", min_size=1, max_size=4)
_STEM = st.lists(st.one_of(_WORD, st.sampled_from(["1.0", "2", "py3.1", "cp39", "linux", "-", ".", "_"])), min_size=1)


@given(stem=_STEM, joint=st.sampled_from(["-", "_", "."]), version=st.sampled_from(["1.0", "2", "1.0.post1", "1!2"]))
def test_what_belongs_to_a_project_is_listed_on_the_page_of_that_project_only(
    stem: list[str], joint: str, version: str
) -> None:
    for filename in (f"{joint.join(stem)}-{version}{end}" for end in (".tar.gz", ".zip", "-py3-none-any.whl")):
        release = parse_file(filename)
        if release:
            listed, _ = pkg_helpers.guess_pkgname_and_version(filename)
            assert pkg_helpers.normalize_pkgname(listed) == release.project


def test_a_signature_is_stored_beside_its_file(app: ASGIApp, tmp_path: Path) -> None:
    fields = form(FIELDS, filename=WHEEL, content=b"wheel")
    assert post(app, with_signature(fields, f"{WHEEL}.asc")).status == 200
    assert (tmp_path / f"{WHEEL}.asc").read_bytes() == b"signature"


@pytest.mark.parametrize("name", ["acme_gadgets-1.0-py3-none-any.whl.asc", f"../{WHEEL}.asc", WHEEL, "evil.pth"])
def test_a_signature_under_another_name_than_its_files_is_refused(app: ASGIApp, tmp_path: Path, name: str) -> None:
    fields = form(FIELDS, filename=WHEEL, content=b"wheel")

    assert post(app, with_signature(fields, name)).status == 400
    assert list(tmp_path.iterdir()) == []


def test_attestations_are_taken_and_not_kept(app: ASGIApp, tmp_path: Path) -> None:
    fields = {**FIELDS, "attestations": '[{"version": 1}]'}

    assert post(app, form(fields, filename=WHEEL, content=b"wheel")).status == 200
    assert [path.name for path in tmp_path.iterdir()] == [WHEEL]


def test_a_refusal_is_plain_text_for_the_terminal_that_shows_it(app: ASGIApp) -> None:
    upload(app, b"first")

    reply = upload(app, b"second")
    assert reply.headers["content-type"] == "text/plain; charset=UTF-8"
    assert reply.text == f"{WHEEL} already exists: upload a new version\n"


@pytest.mark.parametrize("path", ["/packages/../secret.txt", "/packages/%2e%2e/secret.txt", "/packages//etc/passwd"])
def test_a_path_does_not_lead_out_of_the_folder(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "packages"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")

    reply = ask(packages.create_app(folder), "GET", path)
    assert (reply.status, b"secret\n" in reply.body) == (404, False)


def test_an_upload_is_never_whole_in_memory(app: ASGIApp, tmp_path: Path) -> None:
    block, count = bytes(64 * KIB), 512
    head, tail = form(FIELDS, filename=WHEEL, content=b"|").split(b"|")
    length = len(head) + len(block) * count + len(tail)
    tracemalloc.start()
    tracemalloc.reset_peak()
    try:
        reply = ask(
            app,
            "POST",
            "/",
            headers={"Content-Type": MULTIPART, "Content-Length": str(length)},
            pieces=chain([head], repeat(block, count), [tail]),
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (reply.status, (tmp_path / WHEEL).stat().st_size) == (200, len(block) * count)
    assert peak < len(block) * count / 4


def test_metadata_that_nobody_acts_on_is_never_whole_in_memory(app: ASGIApp, tmp_path: Path) -> None:
    block, count = b"x" * (64 * KIB), 256
    head, tail = form({**FIELDS, "description": "|"}, filename=WHEEL, content=b"wheel").split(b"|")
    length = len(head) + len(block) * count + len(tail)
    tracemalloc.start()
    tracemalloc.reset_peak()
    try:
        headers = {"Content-Type": MULTIPART, "Content-Length": str(length)}
        reply = ask(app, "POST", "/", headers=headers, pieces=chain([head], repeat(block, count), [tail]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (reply.status, (tmp_path / WHEEL).read_bytes()) == (200, b"wheel")
    assert peak < len(block) * count / 4


def test_a_download_comes_in_pieces(app: ASGIApp, tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_bytes(bytes(4096 * KIB))

    reply = ask(app, "GET", f"/packages/{WHEEL}")
    assert len(reply.body) == 4096 * KIB
    assert reply.largest_piece <= 64 * KIB
