from __future__ import annotations

import io
import tempfile
import tracemalloc
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexpass.broker.guarding import upload_form
from indexpass.broker.guarding.upload_form import BadForm

if TYPE_CHECKING:
    from collections.abc import Iterable

TYPE = "multipart/form-data; boundary=b"


def part(disposition: str, data: bytes = b"", *headers: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in (f"Content-Disposition: {disposition}", *headers))
    return f"--b\r\n{lines}\r\n".encode() + data + b"\r\n"


def text(name: str, value: str) -> bytes:
    return part(f'form-data; name="{name}"', value.encode())


def file(name: str, filename: str, data: bytes = b"data", *headers: str) -> bytes:
    return part(f'form-data; name="{name}"; filename="{filename}"', data, *headers)


def read(parts: Iterable[bytes], *, end: bytes = b"--b--\r\n", content_type: str = TYPE) -> upload_form.UploadForm:
    return upload_form.read(content_type, io.BytesIO(b"".join(parts) + end))


NAME, ACTION, CONTENT = text("name", "acme"), text(":action", "file_upload"), file("content", "acme-1.0.tar.gz")


def test_of_a_form_only_what_the_index_acts_on_is_kept() -> None:
    form = read([NAME, text("description", "x" * 10_000), text("classifiers", "a"), text("classifiers", "b"), CONTENT])

    assert form.texts == {"name": "acme"}
    assert [(name, kept.name, kept.content.read()) for name, kept in form.files.items()] == [
        ("content", "acme-1.0.tar.gz", b"data")
    ]
    form.close()


def test_an_empty_text_is_a_text() -> None:
    assert read([text("name", "")]).texts == {"name": ""}


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([NAME, CONTENT, NAME], id="name"),
        pytest.param([NAME, text("name", "other"), CONTENT], id="another-name"),
        pytest.param([CONTENT, NAME, CONTENT], id="content"),
        pytest.param([ACTION, ACTION], id="action"),
        pytest.param([file("gpg_signature", "a.asc"), file("gpg_signature", "b.asc")], id="signature"),
        pytest.param([CONTENT, text("content", "acme")], id="content-as-text"),
        pytest.param([file("name", "acme"), NAME], id="name-as-file"),
        pytest.param([NAME, part('FORM-DATA; NAME="name"', b"other")], id="upper-case"),
    ],
)
def test_a_field_that_stands_twice_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(BadForm):
        read(parts)


@pytest.mark.parametrize(
    "disposition",
    [
        pytest.param("form-data", id="no-name"),
        pytest.param("", id="nothing"),
        pytest.param('attachment; name="name"', id="no-form-data"),
        pytest.param('form-data; name="name"; name="content"', id="two-names"),
        pytest.param('form-data; name="content"; filename="a-1.zip"; filename="b-1.zip"', id="two-file-names"),
        pytest.param('form-data; name="content"; filename="a-1.zip"; FileName=b-1.zip', id="two-cases"),
        pytest.param("form-data; name=\"content\"; filename*=utf-8''b-1.zip", id="extended"),
        pytest.param('form-data; name="content"; filename="a-1.zip"; filename*=utf-8\'\'b-1.zip', id="extended-too"),
        pytest.param('form-data; name="content"; filename*0="a"; filename*1="-1.zip"', id="continued"),
        pytest.param('form-data; name="content"; filename="a-1.zip\\"; x="', id="escaped-quote"),
        pytest.param('form-data; name="content"; filename="a-1.zip', id="open-quote"),
        pytest.param('form-data; name="content" filename="a-1.zip"', id="no-semicolon"),
    ],
)
def test_a_name_that_could_be_read_in_two_ways_is_refused(disposition: str) -> None:
    with pytest.raises(BadForm, match="no name, or one that could be read in two ways"):
        read([part(disposition, b"acme")])


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "gzip", "BASE64"])
def test_an_encoded_field_is_refused(encoding: str) -> None:
    with pytest.raises(BadForm, match="encoded"):
        read([file("content", "acme-1.0.tar.gz", b"YWNtZQ==", f"Content-Transfer-Encoding: {encoding}")])


@pytest.mark.parametrize("encoding", ["binary", "8bit", "7bit"])
def test_what_is_not_encoded_may_say_so(encoding: str) -> None:
    form = read([file("content", "acme-1.0.tar.gz", b"\0\r\n--", f"Content-Transfer-Encoding: {encoding}")])
    assert form.files["content"].content.read() == b"\0\r\n--"
    form.close()


@pytest.mark.parametrize("value", ["acme".encode("utf-16"), b"acm\xe9"], ids=["utf-16", "latin-1"])
def test_texts_are_utf_8_whatever_the_field_says(value: bytes) -> None:
    with pytest.raises(BadForm, match="cannot be read"):
        read([part('form-data; name="name"', value, "Content-Type: text/plain; charset=utf-16")])


@pytest.mark.parametrize(
    ("parts", "end"),
    [
        pytest.param([NAME], b"", id="no-end"),
        pytest.param([NAME], b"--b", id="half-an-end"),
        pytest.param([NAME[:-3]], b"", id="half-a-field"),
        pytest.param([], b"", id="nothing"),
        pytest.param([b"hello"], b"", id="words"),
        pytest.param([b'{"name": "acme"}'], b"", id="json"),
        pytest.param([NAME.replace(b"\r\n", b"\n")], b"--b--\n", id="bare-newlines"),
    ],
)
def test_a_form_that_is_not_whole_is_refused(parts: list[bytes], end: bytes) -> None:
    with pytest.raises(BadForm):
        read(parts, end=end)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "multipart/form-data",
        "multipart/mixed; boundary=b",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=\u00e9",
        f"multipart/form-data; boundary={'b' * 1000}",
    ],
)
def test_another_type_than_a_form_with_a_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(BadForm):
        read([NAME], content_type=content_type)


def test_a_form_of_forms_is_not_looked_into() -> None:
    inner = part('form-data; name="name"', b"evil").replace(b"--b", b"--c") + b"--c--"
    form = read([NAME, part('form-data; name="more"', inner, "Content-Type: multipart/mixed; boundary=c")])
    assert form.texts == {"name": "acme"}


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([text("classifiers", "a")] * (upload_form.MAX_PARTS + 1), id="fields"),
        pytest.param([text("name", "a" * (upload_form.MAX_TEXT_BYTES + 1))], id="text"),
        pytest.param([file("content", "a" * 10_000)], id="header"),
        pytest.param([part('form-data; name="x"', b"", *(f"X-{n}: {'y' * 90}" for n in range(200)))], id="headers"),
    ],
)
def test_a_form_that_is_too_large_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(BadForm):
        read(parts)


def test_neither_a_file_nor_a_text_that_is_not_kept_is_ever_whole_in_memory() -> None:
    with tempfile.TemporaryFile() as body:
        large = b"x" * (16 * 1024 * 1024)
        body.write(file("content", "acme-1.0.tar.gz", large) + text("description", large.decode()) + b"--b--\r\n")
        size = body.tell()
        body.seek(0)
        del large
        tracemalloc.start()
        tracemalloc.reset_peak()
        try:
            form = upload_form.read(TYPE, body)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        form.close()
    assert peak < size / 8


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_form_or_a_bad_one(noise: bytes) -> None:
    for body in (noise, b"--b\r\n" + noise, NAME + noise, NAME[:-10] + noise + CONTENT):
        with suppress(BadForm):
            upload_form.read(TYPE, io.BytesIO(body + b"--b--\r\n")).close()
