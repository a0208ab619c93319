"""The page on publishing from CI agrees with the code: its policies are accepted, its jobs ask where the broker is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from indexpass.broker import publishing, publishing_endpoints
from indexpass.broker.settings import Workload, starter
from indexpass.broker.settings.file import parse

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "plugin-docs/how-to/publish-from-ci.md").read_text(encoding="utf-8")
BROKER = "https://packages.acme.example"
POLICIES = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", POLICIES, ids=["github", "gitlab"])
def test_each_policy_lets_ci_publish_under_the_audience_that_the_page_names(text: str) -> None:
    settings = parse(starter.text(BROKER, "acme") + text, file=Path("/broker/broker.toml"))

    assert isinstance(settings.policies[-1].who, Workload)
    assert publishing.find_audience(settings, publishing.find_indexes(settings, "packages.acme.example")) == BROKER
    endpoints = publishing.discover(settings, "packages.acme.example", "/legacy/")
    assert endpoints["audience-endpoint"] == f"{BROKER}/_/oidc/audience/acme"


def test_the_jobs_upload_to_the_broker_of_the_page() -> None:
    settings = parse(starter.text(BROKER, "acme"), file=Path("/broker/broker.toml"))
    urls = set(re.findall(r"(?:--publish-url|repository-url:|INDEXPASS_UPLOAD_URL:) (\S+)", PAGE))
    assert urls == {str(settings.indexes[0].upload_url)}


def test_gitlab_s_variable_is_named_after_the_audience() -> None:
    assert re.sub("[^A-Z0-9]", "_", BROKER.upper()) + "_ID_TOKEN:" in PAGE


def test_every_code_of_a_refusal_is_explained() -> None:
    modules = (publishing, publishing_endpoints)
    source = "".join(Path(str(module.__file__)).read_text(encoding="utf-8") for module in modules)
    codes = set(re.findall(r'Refusal\(\s*"([a-z-]+)"', source)) - {"not-acceptable"}  # no client of today sees it
    assert codes <= set(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE))
    assert len(codes) > 4
