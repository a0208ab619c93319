"""Which project a URL names: the same one as to the servers behind us, or none."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import indexpass.broker.guarding.packages  # noqa: F401  # first, because it takes what bottle leaves out of the way
from indexpass._url import IndexUrl
from indexpass.broker.guarding.projects import Release, Target, find_target, parse_file, parse_project
from indexpass.broker.guarding.proxy import ProxyReader
from indexpass.broker.settings.file import parse

with warnings.catch_warnings():  # its web framework is old
    warnings.simplefilter("ignore")
    from pypiserver.pkg_helpers import (  # type: ignore[import-untyped]
        guess_pkgname_and_version,
        normalize_pkgname,
    )

SETTINGS = parse(
    """
issuer = "https://tokens.acme.example"
[[index]]
name = "acme"
url = "https://packages.acme.example/acme/simple/"
upload-url = "https://packages.acme.example/acme/legacy/"
[[index]]
name = "lab"
url = "https://packages.acme.example/api/pypi/"
files-url = "https://packages.acme.example/api/files/"
[[index]]
name = "flat"
url = "https://packages.acme.example/"
""",
    file=Path("broker.toml"),
)
PROXIES = ProxyReader(SETTINGS)
WHEEL = "acme_tools-1.0-py3-none-any.whl"


def asked(uri: str, *, index: str = "acme", method: str = "GET") -> Target:
    headers = [(b"x-original-uri", uri.encode()), (b"x-original-method", method.encode())]
    facts = PROXIES.facts(headers, f"index={index}".encode())
    assert facts.index is SETTINGS.index_named(index)
    return facts.target


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("/acme/simple/acme-tools/", Target("acme-tools")),
        ("/acme/simple/acme-tools", Target("acme-tools")),
        ("/acme/simple/Acme__Tools/", Target("acme-tools")),
        ("/acme/simple/acme%2Dtools/?format=json", Target("acme-tools")),
        (f"/acme/packages/{WHEEL}", Target("acme-tools", "1.0")),
        (f"/acme/packages/ab/cd/0123/{WHEEL}?x=/b-1.0.zip", Target("acme-tools", "1.0")),
        (f"/acme/packages/{WHEEL}.metadata", Target("acme-tools")),
        ("/acme/packages/acme-tools-1.0.tar.gz.asc", Target("acme-tools")),
        ("/acme/packages/acme.tools-1.0.zip.provenance", Target("acme-tools")),
        ("/acme/acme-tools/1.0/acme_tools-1.0.tar.gz", Target("acme-tools", "1.0")),
        ("/acme/files/c0ffee/acme_tools-1.0rc1.tar.gz", Target("acme-tools", "1.0rc1")),
        ("/acme/+f/abc/def/acme_tools-1!1.0+local.1.tar.gz", Target("acme-tools", "1!1.0+local.1")),
        ("/acme/simple/acme-tools/acme_tools-1.0.tar.gz", Target("acme-tools", "1.0")),
    ],
    ids=[
        "page",
        "page without slash",
        "page of another spelling",
        "page with an escape",
        "file",
        "file in folders",
        "metadata",
        "signature",
        "provenance",
        "folder of a release",
        "folder of a hash",
        "devpi",
        "file below its page",
    ],
)
def test_a_url_names_a_project(uri: str, target: Target) -> None:
    assert asked(uri) == target


@pytest.mark.parametrize(
    "uri",
    [
        "/acme/",
        "/acme/simple/",
        "/acme/packages/",
        "/acme/legacy/",
        "/acme/acme-tools/json",
        "/research/packages/acme_tools-1.0.tar.gz",
        "/acme/packages/acme_tools-1.0.tar.gz/../secret-1.0.tar.gz",
        "/acme/packages/secret-1.0.tar.gz/../acme_tools-1.0.tar.gz",
        "/acme/packages/%2e%2e/acme_tools-1.0.tar.gz",
        "/acme/packages/secret-1.0.tar.gz/acme_tools-1.0.tar.gz",
        "/acme/packages//acme_tools-1.0.tar.gz",
        "/acme/packages/x%2Facme_tools-1.0.tar.gz",
        "/acme/packages/secret-1.0.tar.gz;/acme_tools-1.0.tar.gz",
        "/acme/packages/secret-1.0.tar.gz;acme_tools-1.0.tar.gz",
        "/acme/packages/secret-1.0.tar.gz%3b/acme_tools-1.0.tar.gz",
        "/acme/packages/secret-1.0.tar.gz%3f/acme_tools-1.0.tar.gz",
        "/acme/packages/secret-1.0.tar.gz%00acme_tools-1.0.tar.gz",
        "/acme/packages/secret-1.0.tar.gz#/acme_tools-1.0.tar.gz",
        "/acme/packages/acme_tools-1.0.tar.gz#",
        "/acme/packages/acme_tools-1.0.tar.gz%20",
        "/acme/packages/acme_tools-1.0.tar.gz.",
        "/acme/packages/acme_tools-1.0.TAR.GZ",
        "/acme/packages/acme_tools.tar.gz",
        "/acme/simple/acme-tools/secret-1.0.tar.gz",
        "/acme/simple/secret/acme_tools-1.0.tar.gz",
        "/acme/simple/acme-tools/secret/",
        "/acme/simple/-acme-tools/",
        "/acme/simple/acme tools/",
        "/acme/simple/acme%20tools/",
        "/acme/simple/%E2%84%AAilo/",
        "acme/simple/acme-tools/",
        "https://packages.acme.example/acme/simple/acme-tools/",
        "@packages.acme.example/acme/simple/acme-tools/",
        "",
    ],
)
def test_a_url_that_does_not_plainly_name_one_project_names_none(uri: str) -> None:
    assert asked(uri) == Target(None)


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("/api/pypi/acme-tools/", Target("acme-tools")),
        ("/api/files/acme_tools-1.0.tar.gz", Target("acme-tools", "1.0")),
        ("/api/pypi/files/acme_tools-1.0.tar.gz", Target(None)),
        ("/api/files/", Target(None)),
    ],
)
def test_files_stand_where_the_settings_say(uri: str, target: Target) -> None:
    assert asked(uri, index="lab") == target


def test_the_project_of_a_url_is_found_in_the_index_that_the_proxy_names() -> None:
    assert asked("/acme-tools/", index="flat") == Target("acme-tools")
    assert asked("/acme/simple/acme-tools/", index="flat") == Target(None)


@pytest.mark.parametrize(
    ("method", "uri", "target"),
    [
        ("POST", "/acme/simple/acme-tools/", Target(None)),
        ("POST", "/acme/packages/acme_tools-1.0.tar.gz.asc", Target(None)),
        ("PUT", "/acme/acme-tools/1.0/acme_tools-1.0.tar.gz", Target("acme-tools", "1.0")),
    ],
    ids=["page", "companion", "file"],
)
def test_only_the_url_of_a_distribution_says_what_is_uploaded(method: str, uri: str, target: Target) -> None:
    assert asked(uri, method=method) == target


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-original-uri", b"/acme/simple/a/"), (b"x-original-uri", b"/acme/simple/b/")],
        [(b"x-original-uri", b"/acme/simple/a/"), (b"x-forwarded-uri", b"/acme/simple/b/")],
        [(b"x-original-uri", b"/acme/simple/a/"), (b"x-forwarded-uri", b"/acme/simple/a/")],
        [],
    ],
    ids=["twice", "two kinds of proxy", "two kinds that agree", "not at all"],
)
def test_a_url_that_is_not_said_plainly_names_no_project(headers: list[tuple[bytes, bytes]]) -> None:
    assert PROXIES.facts([*headers, (b"x-original-method", b"GET")], b"index=acme").target == Target(None)


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("acme_tools-1.0.tar.gz", Release("acme-tools", "1.0")),
        ("Acme-Tools-1.0.tar.gz", Release("acme-tools", "1.0")),
        ("zope.interface-5.0.zip", Release("zope-interface", "5.0")),
        ("acme_tools-01.0-1-py3-none-any.whl", Release("acme-tools", "1.0")),
        ("acme_3d-1.0.tar.gz", Release("acme-3d", "1.0")),
    ],
)
def test_a_file_belongs_to_a_project(name: str, release: Release) -> None:
    assert parse_file(name) == release


@pytest.mark.parametrize(
    "name",
    [
        "acme-3d-1.0.tar.gz",
        "acme-1.0-1.0.tar.gz",
        "acme-v1.0.tar.gz",
        "acme-v1.0-1-py3-none-any.whl",
        "acme-py3.1-b-1.0.tar.gz",
        "acme.win32-py2.7-x-1.0.zip",
        "acme-1.0.tar.bz2",
        "acme-1.0.egg",
        "-1.0.tar.gz",
        "_acme-1.0.tar.gz",
        "acme_-1.0.tar.gz",
        "\u212ailo-1.0.tar.gz",
        "acme-1.0.tar.gz\n",
        f"{'a' * 250}-1.0.zip",
        "",
    ],
)
def test_a_file_name_with_two_readings_belongs_to_no_project(name: str) -> None:
    assert parse_file(name) is None


@pytest.mark.parametrize("name", ["", "-", "a-", ".a", "a b", "a/b", "\u212a", "a\n", "a;b", "\u0130"])
def test_what_is_no_name_is_no_project(name: str) -> None:
    assert parse_project(name) is None


WORDS = st.sampled_from(
    ["a", "B", "-", "-", "_", ".", "1", "1.0", "py3", "-py3.1-", ".win32-py2.7", "v", "rc1", "+", "!", "none", "any"]
)
NAMES = st.builds(
    lambda words, end: "".join(words) + end,
    st.lists(WORDS, max_size=12),
    st.sampled_from([".tar.gz", ".zip", ".whl", "-1.0.tar.gz", "-1.0-py3-none-any.whl", "-2.zip"]),
)


@given(name=NAMES | st.text(max_size=20))
def test_pypiserver_lists_no_file_under_another_project_than_we_do(name: str) -> None:
    release = parse_file(name)
    guessed = guess_pkgname_and_version(name)
    assert release is None or guessed is None or normalize_pkgname(guessed[0]) == release.project


@given(uri=st.text() | st.from_regex(r"/acme/(simple|packages)/[a-z0-9./%;?#\-]*", fullmatch=True))
def test_any_project_is_a_name_in_its_normal_form(uri: str) -> None:
    project = asked(uri).project
    assert project is None or re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", project)


PARTS = st.sampled_from(
    [
        "acme",
        "simple",
        "packages",
        "tools",
        "tools-1.0.zip",
        "secret-1.0.zip",
        "secret",
        "..",
        ".",
        "",
        "%2e%2e",
        "%2F",
        ";",
        "?",
        "#",
    ]
)


@given(parts=st.lists(st.tuples(PARTS, st.sampled_from(["/", "", "//", "\\", "%5c"])), max_size=8))
def test_whatever_names_a_project_is_the_same_path_once_it_is_cleaned(parts: list[tuple[str, str]]) -> None:
    uri = "/acme/" + "".join(part + between for part, between in parts)
    target = asked(uri)
    if target.project is None:
        return
    path = uri.partition("?")[0]
    assert clean(path) == path
    index = SETTINGS.index_named("acme")
    assert index
    assert find_target(index, IndexUrl.parse(f"{index.url.origin}{clean(path)}"), "read") == target


def clean(path: str) -> str:
    """Return the path as nginx sends it on: decoded once, without empty and dot segments, cut at a fragment."""
    decoded = re.sub("%([0-9a-f]{2})", lambda escape: chr(int(escape[1], 16)), path, flags=re.IGNORECASE)
    kept: list[str] = []
    for part in decoded.partition("#")[0].split("/")[1:]:
        if part == ".." and kept:
            kept.pop()
        elif part not in {"", ".", ".."}:
            kept.append(part)
    return "/" + "/".join(kept) + ("/" if decoded.endswith("/") else "")
