"""Which URLs are known to be of JFrog's cloud, Cloudsmith or Azure Artifacts, and which only look like it."""

from __future__ import annotations

import pytest

from indexpass._known import find
from indexpass._match import match
from indexpass._url import IndexUrl

AZURE = "https://pkgs.dev.azure.com/acme/tools/_packaging/feed/pypi"
OLD_AZURE = "https://acme.pkgs.visualstudio.com/_packaging/feed/pypi"
CLOUDSMITH = "https://dl.cloudsmith.io/basic/acme/tools/python"
JFROG = "https://acme.jfrog.io/artifactory/api/pypi/tools"


@pytest.mark.parametrize(
    ("url", "provider", "index", "upload"),
    [
        (f"{AZURE}/simple/requests/", "azure", f"{AZURE}/simple/", f"{AZURE}/upload/"),
        (f"{AZURE}/download/a/1/a-1.whl", "azure", f"{AZURE}/simple/", f"{AZURE}/upload/"),
        (
            "https://PKGS.dev.azure.com/Acme/_packaging/feed@Local/pypi/simple",
            "azure",
            "https://pkgs.dev.azure.com/Acme/_packaging/feed@Local/pypi/simple/",
            "https://pkgs.dev.azure.com/Acme/_packaging/feed@Local/pypi/upload/",
        ),
        (f"{OLD_AZURE}/simple/", "azure", f"{OLD_AZURE}/simple/", f"{OLD_AZURE}/upload/"),
        (f"{CLOUDSMITH}/simple/", "cloudsmith", f"{CLOUDSMITH}/simple/", "https://python.cloudsmith.io/acme/tools/"),
        (f"{JFROG}/simple", "jfrog", f"{JFROG}/simple/", f"{JFROG}/"),
    ],
    ids=["azure", "azure-file", "azure-organization", "azure-old-name", "cloudsmith", "jfrog"],
)
def test_an_index_is_known_with_its_uploads(url: str, provider: str, index: str, upload: str) -> None:
    known = find(IndexUrl.parse(url))
    assert known is not None
    assert (known.provider, str(known.url), str(known.upload_url)) == (provider, index, upload)


@pytest.mark.parametrize(
    "url",
    [
        "https://evilpkgs.dev.azure.com/acme/_packaging/feed/pypi/simple/",
        "https://pkgs.dev.azure.com/acme/tools/extra/_packaging/feed/pypi/simple/",
        "https://pkgs.dev.azure.com/acme/_packaging/feed/npm/registry/",
        "https://pkgs.dev.azure.com/-acme/_packaging/feed/pypi/simple/",
        "https://pkgs.dev.azure.com/",
        "https://acme.pkgs.visualstudio.com.evil.example/_packaging/feed/pypi/simple/",
        "https://a.b.pkgs.visualstudio.com/_packaging/feed/pypi/simple/",
        "https://pkgs.visualstudio.com/_packaging/feed/pypi/simple/",
        "https://acmepkgs.visualstudio.com/_packaging/feed/pypi/simple/",
        "https://evil-dl.cloudsmith.io/basic/acme/tools/python/simple/",
        "https://dl.cloudsmith.io/public/acme/tools/python/simple/",
        "https://dl.cloudsmith.io/basic/acme/tools/npm/",
        "https://acmejfrog.io/artifactory/api/pypi/tools/simple/",
        "https://jfrog.io/artifactory/api/pypi/tools/simple/",
        "https://a.b.jfrog.io/artifactory/api/pypi/tools/simple/",
        "https://acme.jfrog.io/artifactory/api/npm/tools/",
        "http://127.0.0.1/artifactory/api/pypi/tools/simple/",
    ],
)
def test_what_only_looks_like_one_is_not(url: str) -> None:
    assert find(IndexUrl.parse(url)) is None


def test_a_feed_of_azure_needs_no_configuration() -> None:
    found = match(f"{AZURE}/simple/", ())
    assert found is not None
    assert (found[0].provider, found[1]) == ("azure", "read")


def test_the_upload_url_of_a_feed_means_upload() -> None:
    found = match(f"{AZURE}/upload/", ())
    assert found is not None
    assert found[1] == "upload"


@pytest.mark.parametrize(
    "url",
    [f"{CLOUDSMITH}/simple/", f"{JFROG}/simple/", f"{JFROG}/_packaging/pypi/"],
    ids=["cloudsmith", "jfrog", "jfrog-with-anothers-mark"],
)
def test_a_platform_that_needs_settings_is_nobodys_without_them(url: str) -> None:
    assert match(url, ()) is None
