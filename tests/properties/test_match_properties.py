"""What is true of every match: never another origin, never an exception, never a URL that the index does not cover."""

from __future__ import annotations

from hypothesis import assume, example, given
from hypothesis import strategies as st

from indexpass._match import match
from indexpass._model import Index
from indexpass._url import IndexUrl

# Few hosts, ports and segments, so that hits, near misses and ties are all common.
HOSTS = ["a.example", "b.a.example", "xa.example", "a.example.evil.test"]
SEGMENTS = ["simple", "+simple", "team", "legacy"]
origins = st.builds("https://{}{}".format, st.sampled_from(HOSTS), st.sampled_from(["", ":8443"]))
urls = st.builds(
    lambda origin, segments: IndexUrl.parse("/".join([origin, *segments])),
    origins,
    st.lists(st.sampled_from(SEGMENTS), max_size=4),
)
indexes = st.lists(
    st.tuples(urls, st.none() | urls, st.none() | urls), min_size=1, max_size=4, unique_by=lambda places: places[0]
).map(
    lambda all_places: tuple(
        Index(f"index-{number}", url, upload_url=upload, files_url=files)
        for number, (url, upload, files) in enumerate(all_places)
    )
)
hostile = st.one_of(
    st.text(),
    st.text().map("https://{}".format),
    st.lists(
        st.sampled_from(
            ["https://", "a.example", "@", ":", "/", "\\", "?", "#", "%2f", "..", "[", "]", "\x00", "\udcff"]
        )
        | st.text(max_size=3),
        max_size=8,
    ).map("".join),
)


def _read_places(index: Index) -> list[IndexUrl]:
    return [index.url, index.files_url or index.url.root]


def _places(index: Index) -> list[IndexUrl]:
    return [*_read_places(index), *([index.upload_url] if index.upload_url else [])]


@given(service=hostile, indexes=indexes)
@example(service="https://[", indexes=(Index("a", IndexUrl.parse("https://a.example/")),))
@example(service="\udcff", indexes=(Index("a", IndexUrl.parse("https://a.example/")),))
def test_whatever_the_text_match_does_not_raise(service: str, indexes: tuple[Index, ...]) -> None:
    match(service, indexes)


@given(url=urls, indexes=indexes)
def test_a_url_on_another_origin_never_matches(url: IndexUrl, indexes: tuple[Index, ...]) -> None:
    assume(all(url.origin != place.origin for index in indexes for place in _places(index)))
    assert match(str(url), indexes) is None


@given(url=urls, indexes=indexes)
def test_a_match_always_covers_the_url(url: IndexUrl, indexes: tuple[Index, ...]) -> None:
    found = match(str(url), indexes)
    assert found is None or any(place.covers(url) for place in _places(found[0]))


@given(service=hostile | urls.map(str), indexes=indexes)
def test_whatever_the_text_a_match_is_on_an_origin_of_its_index(service: str, indexes: tuple[Index, ...]) -> None:
    found = match(service, indexes)
    if found and "://" in service:
        assert IndexUrl.parse(service).origin in {place.origin for place in _places(found[0])}


@given(url=urls, indexes=indexes)
def test_upload_is_matched_by_exactly_the_upload_url(url: IndexUrl, indexes: tuple[Index, ...]) -> None:
    found = match(str(url), indexes)
    assert not found or (found[1] == "upload") == (found[0].upload_url == url)


@given(url=urls, indexes=indexes)
def test_no_index_covers_the_url_more_deeply_than_the_match(url: IndexUrl, indexes: tuple[Index, ...]) -> None:
    found = match(str(url), indexes)
    if found and found[1] == "read":
        deepest = max(len(place.segments) for place in _read_places(found[0]) if place.covers(url))
        rivals = [place for index in indexes if index != found[0] for place in _read_places(index) if place.covers(url)]
        assert all(len(rival.segments) < deepest for rival in rivals)


@given(url=urls, indexes=indexes)
def test_the_order_of_the_indexes_does_not_matter(url: IndexUrl, indexes: tuple[Index, ...]) -> None:
    assert match(str(url), indexes) == match(str(url), indexes[::-1])


@given(netloc=hostile | st.sampled_from(HOSTS), indexes=indexes)
def test_a_bare_host_matches_only_where_one_index_alone_lives(netloc: str, indexes: tuple[Index, ...]) -> None:
    assume("://" not in netloc)
    found = match(netloc, indexes)
    if found:
        origin = IndexUrl.parse(f"https://{netloc}").origin
        assert [index for index in indexes if origin in {place.origin for place in _read_places(index)}] == [found[0]]
