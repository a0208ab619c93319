"""Which index a URL stands for, and which it must never stand for."""

from __future__ import annotations

import pytest

from indexpass._match import match
from indexpass._model import Index
from indexpass._url import IndexUrl


def make_index(name: str, url: str, *, upload: str = "", files: str = "") -> Index:
    return Index(
        name,
        IndexUrl.parse(url),
        upload_url=IndexUrl.parse(upload) if upload else None,
        files_url=IndexUrl.parse(files) if files else None,
    )


ACME = make_index(
    "acme", "https://packages.acme.example/team/simple/", upload="https://packages.acme.example/team/legacy/"
)
BETA = make_index("beta", "https://beta.example:8443/simple/", files="https://files.beta.example/pool/")
LOCAL = make_index("local", "http://127.0.0.1:8080/simple/")
INDEXES = (ACME, BETA, LOCAL)


@pytest.mark.parametrize(
    ("service", "name", "operation"),
    [
        pytest.param("https://packages.acme.example/team/simple/", "acme", "read", id="the-index"),
        pytest.param("https://packages.acme.example/team/simple", "acme", "read", id="no-trailing-slash"),
        pytest.param("HTTPS://Packages.ACME.example./team/simple/", "acme", "read", id="another-spelling-of-the-host"),
        pytest.param("https://packages.acme.example:443/team/simple/", "acme", "read", id="default-port"),
        pytest.param("https://eve:pw@packages.acme.example/team/simple/", "acme", "read", id="userinfo-is-ignored"),
        pytest.param("https://packages.acme.example/team/simple/?a=b#c", "acme", "read", id="query-is-ignored"),
        pytest.param("https://packages.acme.example/team/simple/pkg/", "acme", "read", id="a-project-page"),
        pytest.param("https://packages.acme.example/team/packages/p-1.whl", "acme", "read", id="a-file-beside-it"),
        pytest.param("https://packages.acme.example/team/", "acme", "read", id="its-own-folder"),
        pytest.param("https://packages.acme.example/team/legacy/", "acme", "upload", id="the-upload-url"),
        pytest.param("https://packages.acme.example/team/legacy", "acme", "upload", id="the-upload-url-without-slash"),
        pytest.param("https://packages.acme.example/team/legacy/x", "acme", "read", id="below-the-upload-url"),
        pytest.param("https://packages.acme.example/team/LEGACY/", "acme", "read", id="a-path-has-a-case"),
        pytest.param("packages.acme.example", "acme", "read", id="a-bare-host"),
        pytest.param("PACKAGES.acme.example.:443", "acme", "read", id="another-spelling-of-the-bare-host"),
        pytest.param("https://beta.example:8443/simple/x/", "beta", "read", id="another-port"),
        pytest.param("beta.example:8443", "beta", "read", id="a-bare-host-with-a-port"),
        pytest.param("https://files.beta.example/pool/p-1.whl", "beta", "read", id="the-files-url"),
        pytest.param("files.beta.example", "beta", "read", id="the-bare-host-of-the-files-url"),
        pytest.param("http://127.0.0.1:8080/packages/p.whl", "local", "read", id="http-on-loopback"),
        pytest.param("127.0.0.1:8080", "local", "read", id="a-bare-loopback-host"),
    ],
)
def test_a_url_of_ours_finds_its_index(service: str, name: str, operation: str) -> None:
    found = match(service, INDEXES)
    assert found is not None
    assert (found[0].name, found[1]) == (name, operation)


@pytest.mark.parametrize(
    "service",
    [
        pytest.param("", id="empty"),
        pytest.param("://", id="scheme-separator-only"),
        pytest.param("https://public.example/simple/", id="another-host"),
        pytest.param("http://packages.acme.example/team/simple/", id="http-downgrade"),
        pytest.param("https://packages.acme.example:8443/team/simple/", id="another-port"),
        pytest.param("https://beta.example/simple/", id="port-left-out"),
        pytest.param("https://packages.acme.example.evil.test/team/simple/", id="host-as-a-prefix"),
        pytest.param("https://evilpackages.acme.example/team/simple/", id="host-as-a-suffix"),
        pytest.param("https://acme.example/team/simple/", id="parent-domain"),
        pytest.param("https://packages.acme.example@evil.test/team/simple/", id="host-as-userinfo"),
        pytest.param("https://evil.test/https://packages.acme.example/team/simple/", id="url-in-the-path"),
        pytest.param("https://evil.test\\@packages.acme.example/team/simple/", id="backslash"),
        pytest.param("https://packages.acme.example/", id="above-the-index"),
        pytest.param("https://packages.acme.example/other/simple/", id="another-team"),
        pytest.param("https://packages.acme.example/team-old/simple/", id="folder-as-a-prefix"),
        pytest.param("https://packages.acme.example/team/../other/simple/", id="dot-segments"),
        pytest.param("https://packages.acme.example/team%2Fsimple/", id="encoded-slash"),
        pytest.param("https://packages.acme.example/team/%2e%2e/other/", id="encoded-dot-segments"),
        pytest.param("https://packages.acme.example//team/simple/", id="empty-segment"),
        pytest.param("https://beta.example:8443/packages/p.whl", id="beside-the-index-although-files-are-elsewhere"),
        pytest.param("https://files.beta.example/", id="above-the-files-url"),
        pytest.param("https://127.0.0.1:8080/simple/", id="https-where-http-is-configured"),
        pytest.param("http://localhost:8080/simple/", id="another-name-of-loopback"),
        pytest.param("acme.example", id="bare-parent-domain"),
        pytest.param("packages.acme.example:8443", id="bare-host-with-another-port"),
        pytest.param("packages.acme.example:80", id="bare-host-with-the-port-of-http"),
        pytest.param("beta.example", id="bare-host-without-its-port"),
        pytest.param("eve@packages.acme.example", id="bare-host-with-a-user"),
        pytest.param("packages.acme.example/team/simple/", id="url-without-a-scheme"),
        pytest.param("packages.acme.example\n", id="bare-host-with-a-newline"),
    ],
)
def test_a_url_of_somebody_else_finds_nothing(service: str) -> None:
    assert match(service, INDEXES) is None


@pytest.mark.parametrize(
    "service",
    [
        pytest.param("acme", id="the-index's-name"),
        pytest.param("poetry-repository-acme", id="poetry"),
        pytest.param("python-poetry-check", id="poetry's-check"),
        pytest.param("https", id="a-scheme"),
        pytest.param("system", id="keyring's-own-example"),
        pytest.param("legacy:acme", id="with-a-colon"),
    ],
)
def test_a_name_never_finds_an_index(service: str) -> None:
    assert match(service, INDEXES) is None


def test_nothing_is_found_where_no_index_is_configured() -> None:
    assert match("https://packages.acme.example/team/simple/", ()) is None


def test_a_bare_host_with_two_indexes_finds_neither() -> None:
    other = make_index("other", "https://packages.acme.example/other/simple/")
    assert match("packages.acme.example", (ACME, other)) is None


def test_the_most_specific_index_wins_whatever_the_order() -> None:
    outer = make_index("outer", "https://a.example/")
    inner = make_index("inner", "https://a.example/team/simple/")
    for indexes in ((outer, inner), (inner, outer)):
        assert match("https://a.example/team/simple/x/", indexes) == (inner, "read")


def test_the_less_specific_index_keeps_the_rest_of_its_host() -> None:
    outer = make_index("outer", "https://a.example/")
    inner = make_index("inner", "https://a.example/team/simple/")
    assert match("https://a.example/other/x/", (inner, outer)) == (outer, "read")


def test_a_folder_that_two_indexes_own_is_a_tie_and_finds_neither() -> None:
    one = make_index("one", "https://a.example/simple/")
    two = make_index("two", "https://a.example/+simple/")
    assert match("https://a.example/packages/p.whl", (one, two)) is None


def test_two_indexes_that_share_a_folder_keep_their_own_pages() -> None:
    one = make_index("one", "https://a.example/simple/")
    two = make_index("two", "https://a.example/+simple/")
    assert match("https://a.example/+simple/p/", (one, two)) == (two, "read")


def test_a_files_url_that_two_indexes_share_finds_neither() -> None:
    one = make_index("one", "https://one.example/simple/", files="https://files.example/")
    two = make_index("two", "https://two.example/simple/", files="https://files.example/")
    assert match("https://files.example/p.whl", (one, two)) is None


def test_an_upload_url_that_two_indexes_share_finds_neither() -> None:
    one = make_index("one", "https://a.example/one/simple/", upload="https://a.example/legacy/")
    two = make_index("two", "https://a.example/two/simple/", upload="https://a.example/legacy/")
    assert match("https://a.example/legacy/", (one, two)) is None


def test_an_upload_url_wins_over_an_index_that_covers_it() -> None:
    outer = make_index("outer", "https://packages.acme.example/")
    assert match("https://packages.acme.example/team/legacy/", (outer, ACME)) == (ACME, "upload")


def test_the_bare_host_of_an_upload_url_does_not_mean_upload() -> None:
    index = make_index("one", "https://a.example/simple/", upload="https://upload.example/legacy/")
    assert match("upload.example", (index,)) is None


def test_each_rule_that_is_tried_is_reported() -> None:
    told = []
    place, upload = "https://a.example/simple/", "https://a.example/legacy/"
    index = Index("acme", IndexUrl.parse(place), IndexUrl.parse(upload))
    found = match(f"{place}requests/", [index], report=lambda *rule: told.append((rule[1], str(rule[2]), rule[3])))
    assert found == (index, "read")
    assert told == [("upload-url", upload, False), ("url", place, True), ("folder of url", "https://a.example/", True)]


def test_each_place_that_a_bare_host_is_compared_with_is_reported() -> None:
    told = []
    index = Index("acme", IndexUrl.parse("https://a.example/simple/"), files_url=IndexUrl.parse("https://b.example/"))
    match("b.example", [index], report=lambda *rule: told.append((rule[1], rule[3])))
    assert told == [("url", False), ("files-url", True)]
