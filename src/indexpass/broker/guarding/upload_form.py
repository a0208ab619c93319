"""The form in which twine, uv and Poetry upload a distribution, read without believing any of it.

Of a form's many fields only those are kept that the index acts on, and each of these has to be said once: where a field
stands twice, two readers could each take another one. Files go to temporary files. This module never decides whether
an upload is right.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from email.message import Message
from typing import IO, TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = frozenset({":action", "name", "sha256_digest"})
FILES = frozenset({"content", "gpg_signature"})
MAX_PARTS = 2000  # the metadata of the largest projects makes some hundreds
MAX_TEXT_BYTES = 1024  # of those that are kept; the others are not looked at
_IN_MEMORY_BYTES = 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_PLAIN_ENCODINGS = {"", "7bit", "8bit", "binary"}
# Without escapes, and without the extended syntax that RFC 7578 forbids: no name can be written in two ways.
_PARAMETER = re.compile(r'\s*;\s*([a-z]+)=(?:"([^"\\]*)"|([^\s;"\\]+))', re.IGNORECASE | re.ASCII)
_DISPOSITION = re.compile(rf"form-data((?:{_PARAMETER.pattern})*)\s*", re.IGNORECASE | re.ASCII)


class BadForm(Exception):
    """The form cannot be read, or could be read in two ways. The text says why, in words for the uploader."""


@dataclass(slots=True)
class UploadedFile:
    """A file of the form, under the name that its sender gave it."""

    name: str
    content: IO[bytes]


@dataclass(slots=True)
class UploadForm:
    """What is kept of a form: each field once, by its name. Close it to remove the files."""

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, UploadedFile] = field(default_factory=dict)

    def close(self) -> None:
        """Remove the temporary files."""
        for file in self.files.values():
            file.content.close()


def read(content_type: str, body: IO[bytes]) -> UploadForm:
    """Return the form in ``body``. Raises BadForm."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary("")
    if header.get_content_type() != "multipart/form-data" or not boundary or not boundary.isascii():
        raise BadForm("an upload is a form of the type multipart/form-data")
    parts = _Parts()
    try:
        _feed(parts, boundary.encode(), body)
    except BaseException:  # whatever it is, nobody else will close the files
        parts.form.close()
        raise
    return parts.form


def _feed(parts: _Parts, boundary: bytes, body: IO[bytes]) -> None:
    try:
        parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]  # its own type is not public
        while chunk := body.read(_CHUNK_BYTES):
            parser.write(chunk)
        parser.finalize()
    except (FormParserError, UnicodeDecodeError):
        raise BadForm("the form cannot be read") from None  # the cause quotes it
    if not parts.is_whole:
        raise BadForm("the form has no end")
    for file in parts.form.files.values():
        file.content.seek(0)


class _Parts:
    """Collects the parts of one form, as the parser comes upon them."""

    def __init__(self) -> None:
        self.form = UploadForm()
        self.is_whole = False
        self._count = 0
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[str, str] = {}
        self._take: Callable[[bytes], object] = _ignore
        self._text = bytearray()
        self._text_name = ""

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._read_header_name,
            "on_header_value": self._read_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._read_data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._count += 1
        if self._count > MAX_PARTS:
            raise BadForm(f"the form has more than {MAX_PARTS} fields")
        self._headers = {}
        self._take, self._text_name = _ignore, ""

    def _read_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _read_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        name, value = self._header_name.decode("utf-8").strip().lower(), self._header_value.decode("utf-8").strip()
        self._header_name = self._header_value = b""
        if name in self._headers:
            raise BadForm(f"a field of the form has two headers {name}")
        self._headers[name] = value

    def _end_headers(self) -> None:
        """Find out what the part is, and where its data goes."""
        field_name, file_name = _names(self._headers.get("content-disposition", ""))
        if field_name not in (TEXTS if file_name is None else FILES):
            if file_name is None and field_name not in FILES:
                return  # metadata that nobody acts on, such as the description; attestations, too
            kind = "a text" if file_name is None else "a file"
            raise BadForm(f"the field {field_name} is {kind}: the files of an upload are {' and '.join(sorted(FILES))}")
        if self._headers.get("content-transfer-encoding", "").lower() not in _PLAIN_ENCODINGS:
            raise BadForm(f"the field {field_name} is encoded: send it as it is")
        if field_name in self.form.texts or field_name in self.form.files:
            raise BadForm(f"the field {field_name} stands twice in the form")
        if file_name is None:
            self._text, self._text_name, self._take = bytearray(), field_name, self._take_text
            self.form.texts[field_name] = ""
        else:
            file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115  # closed with the form
            self.form.files[field_name] = UploadedFile(file_name, file)
            self._take = file.write

    def _read_data(self, data: bytes, start: int, end: int) -> None:
        self._take(data[start:end])

    def _take_text(self, piece: bytes) -> None:
        self._text += piece
        if len(self._text) > MAX_TEXT_BYTES:
            raise BadForm(f"the field {self._text_name} is too long")

    def _end(self) -> None:
        if self._text_name:
            self.form.texts[self._text_name] = self._text.decode("utf-8")

    def _finish(self) -> None:
        self.is_whole = True


def _names(disposition: str) -> tuple[str, str | None]:
    """Return the field's name, and the file's name if it is one (RFC 7578 section 4.2). Raises BadForm."""
    found = _DISPOSITION.fullmatch(disposition)
    pairs = [(key.lower(), quoted or bare) for key, quoted, bare in _PARAMETER.findall(found[1] if found else "")]
    names = dict(pairs)
    if len(names) != len(pairs) or "name" not in names:
        raise BadForm("a field of the form has no name, or one that could be read in two ways")
    return names["name"], names.get("filename")


def _ignore(_piece: bytes) -> None:
    """Take data that nobody looks at."""
