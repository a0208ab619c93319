"""The tricks of ``indexpass.testing.look_alikes``, against every platform that is known by its URL."""

from __future__ import annotations

import pytest

from indexpass._known import find
from indexpass._match import match
from indexpass._model import Index
from indexpass._platforms import PLATFORMS
from indexpass._url import IndexUrl
from indexpass.errors import UrlError
from indexpass.testing import KNOWN_INDEXES, look_alikes

TRICKS = [(url, trick) for platform, url in KNOWN_INDEXES.items() for trick in look_alikes(url).values()]
IDS = [f"{platform}-{trick}" for platform, url in KNOWN_INDEXES.items() for trick in look_alikes(url)]


@pytest.mark.parametrize("platform", KNOWN_INDEXES)
def test_each_platform_is_known_by_its_own_url(platform: str) -> None:
    known = find(IndexUrl.parse(KNOWN_INDEXES[platform]))
    assert known is not None
    assert known.provider == platform
    assert platform in PLATFORMS


@pytest.mark.parametrize(("url", "trick"), TRICKS, ids=IDS)
def test_what_only_looks_like_a_platform_is_nobodys(url: str, trick: str) -> None:
    try:
        known = find(IndexUrl.parse(trick))
    except UrlError:
        known = None  # such a URL may carry no credential at all
    assert known is None
    assert match(trick, ()) is None
    assert match(trick, (Index("acme", IndexUrl.parse(url)),)) is None
