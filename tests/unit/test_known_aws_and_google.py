"""Which URLs are known to be indexes of AWS CodeArtifact and Google Artifact Registry, and which only look so."""

from __future__ import annotations

import pytest

from indexpass._known import find_codeartifact_domain, is_all_at
from indexpass._match import match
from indexpass._model import Index
from indexpass._url import IndexUrl

GOOGLE = "https://europe-west1-python.pkg.dev/acme-packages/wheels"
AWS = "https://acme-111122223333.d.codeartifact.eu-west-1.amazonaws.com/pypi/wheels"
BOTH = "https://acme-111122223333.d.codeartifact.eu-west-1.on.aws/pypi/wheels"


@pytest.mark.parametrize(
    ("url", "provider", "root"),
    [
        pytest.param(f"{GOOGLE}/simple/", "google", GOOGLE, id="google"),
        pytest.param(f"{GOOGLE}/simple/acme-tools/", "google", GOOGLE, id="google-project"),
        pytest.param(f"{GOOGLE}/acme-tools/acme_tools-1-py3-none-any.whl", "google", GOOGLE, id="google-file"),
        pytest.param(
            "https://us-python.pkg.dev/acme-packages/w/simple/",
            "google",
            "https://us-python.pkg.dev/acme-packages/w",
            id="google-regions",
        ),
        pytest.param(
            "https://us-python.pkg.dev/acme.example:packages/w/simple/",
            "google",
            "https://us-python.pkg.dev/acme.example:packages/w",
            id="google-domain-scoped",
        ),
        pytest.param("https://oauth2accesstoken@" + GOOGLE[8:] + "/simple/", "google", GOOGLE, id="google-user"),
        pytest.param(f"{AWS}/simple/", "aws", AWS, id="aws"),
        pytest.param(f"{AWS}/simple/acme-tools/1/acme_tools-1.tar.gz", "aws", AWS, id="aws-file"),
        pytest.param(AWS.replace("com/", "com:443/") + "/simple/", "aws", AWS, id="aws-default-port"),
        pytest.param(f"{BOTH}/simple/", "aws", BOTH, id="aws-dual-stack"),
        pytest.param(f"{BOTH.replace('.d.', '.')}/simple/", "aws", BOTH.replace(".d.", "."), id="aws-dual-stack-short"),
    ],
)
def test_a_platforms_url_is_known_without_configuration(url: str, provider: str, root: str) -> None:
    found = match(url, ())
    assert found is not None
    index, operation = found
    assert (index.provider, str(index.url), str(index.upload_url)) == (provider, f"{root}/simple/", f"{root}/")
    assert operation == "read"


@pytest.mark.parametrize("root", [GOOGLE, AWS, BOTH])
def test_the_same_without_simple_is_where_uploads_go(root: str) -> None:
    found = match(f"{root}/", ())
    assert found is not None
    assert found[1] == "upload"


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(GOOGLE.replace("europe", "evil.example-python.pkg.dev/europe"), id="google-in-the-path"),
        pytest.param(GOOGLE.replace("europe-west1-python.pkg.dev", "evil.example/-python.pkg.dev"), id="google-path"),
        pytest.param(GOOGLE.replace("-python.", "-python-") + "/simple/?-python.pkg.dev", id="google-in-the-query"),
        pytest.param(GOOGLE.replace("-python", "-docker") + "/simple/", id="google-docker"),
        pytest.param("https://europe-west1-python.pkg.dev/acme-packages/", id="google-no-repository"),
        pytest.param("https://europe-west1-python.pkg.dev/", id="google-no-path"),
        pytest.param("https://europe-west1-python.pkg.dev/acme.example/packages/w/simple/", id="google-two-parts"),
        pytest.param(AWS.replace("amazonaws.com", "amazonaws.com.cn") + "/simple/", id="aws-china"),
        pytest.param(AWS.replace(".d.", ".") + "/simple/", id="aws-without-d"),
        pytest.param(AWS.replace("111122223333", "11112222333") + "/simple/", id="aws-eleven-digits"),
        pytest.param(AWS.replace("acme-1", "acme1") + "/simple/", id="aws-no-dash"),
        pytest.param(AWS.replace("/pypi/", "/npm/") + "/", id="aws-npm"),
        pytest.param(AWS.removesuffix("/wheels"), id="aws-no-repository"),
    ],
)
def test_what_only_looks_like_one_is_nobodys(url: str) -> None:
    assert match(url, ()) is None


def test_an_index_that_is_configured_goes_before_one_that_is_known() -> None:
    url = IndexUrl.parse(f"{AWS}/simple/")
    mine = Index("acme", url, provider="static")
    assert match(str(url), (mine,)) == (mine, "read")


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        (
            "my-domain-2-111122223333.d.codeartifact.us-gov-west-1.amazonaws.com",
            ("my-domain-2", "us-gov-west-1", False),
        ),
        ("acme-111122223333.d.codeartifact.eu-west-1.on.aws", ("acme", "eu-west-1", True)),
    ],
)
def test_a_host_name_says_domain_account_and_region(host: str, parts: tuple[str, str, bool]) -> None:
    found = find_codeartifact_domain(host)
    assert found is not None
    assert (found.domain, found.region, found.is_dual_stack) == parts
    assert found.account == "111122223333"


@pytest.mark.parametrize(
    ("changes", "is_there"),
    [
        pytest.param({}, True, id="all"),
        pytest.param({"upload_url": IndexUrl.parse("https://evil.example/")}, False, id="uploads-elsewhere"),
        pytest.param({"files_url": IndexUrl.parse(f"{AWS}/")}, False, id="files-at-another-platform"),
        pytest.param({"url": IndexUrl.parse("https://evil.example/")}, False, id="index-elsewhere"),
    ],
)
def test_an_index_is_all_at_a_platform_or_not(changes: dict[str, IndexUrl], is_there: bool) -> None:  # noqa: FBT001  # a table's column
    index = Index("acme", IndexUrl.parse(f"{GOOGLE}/simple/"), upload_url=IndexUrl.parse(f"{GOOGLE}/"))
    assert is_all_at(index._replace(**changes), "google") == is_there
