"""IndexUrl: a URL in the one form in which it may be compared, and the rule which URL covers which.

Whatever a client, a file or a server writes as a URL becomes an IndexUrl before anyone decides about it: scheme and
host in lower case, IDNA as requests and uv encode it, no trailing dot, no default port, path split into whole decoded
segments. Anything that two parsers could read differently is refused, not repaired. This module never does I/O and
never keeps a user name, password, query or fragment.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from indexpass.errors import UrlError

MAX_URL_LENGTH = 2048  # longer than any index URL seen, short enough to log
_TOO_LONG = f"the URL is longer than {MAX_URL_LENGTH} characters"
_DEFAULT_PORTS = {"https": 443, "http": 80}
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[0-9]{1,5}")
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
# What few URLs need is compiled on first use: every keyring look-up of every user on the machine loads this module.
_SURROGATE = r"[\ud800-\udfff]"
_BAD_ESCAPE = r"%(?![0-9A-Fa-f]{2})"
_ESCAPED_TWICE = r"(?i:%(?:25)*(?:2e|2f|5c|00))"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
# user name and password, host and port, path, and the mark that begins a query or fragment
_READABLE = r"([^/?#]*@)?((?:[^@:/?#\[\]]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?)((?:/[^@?#]*)?)(?:([?#]).*)?"
_SIMPLE_PAGES = frozenset({"simple", "+simple"})


class Origin(NamedTuple):
    """Scheme, host and port: what a browser would call the origin (RFC 6454 section 4).

    ``host`` is in lower case, IDNA-encoded, without a trailing dot; an IPv6 address has no brackets.
    """

    scheme: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Does this name the machine itself? True for localhost, 127.0.0.0/8 and ::1."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def has_default_port(self) -> bool:
        """Is the port the one that the scheme implies?"""
        return self.port == _DEFAULT_PORTS[self.scheme]

    @property
    def netloc(self) -> str:
        """``host`` or ``host:port``, as pip and uv write it when they ask for a bare host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.has_default_port else f"{host}:{self.port}"

    def __str__(self) -> str:
        """Write the origin as a URL without a path."""
        return f"{self.scheme}://{self.netloc}"


class IndexUrl(NamedTuple):
    """An https URL (http on loopback only) that can be compared with another.

    ``segments`` are the path's parts, percent-decoded; an empty tuple is the root.
    """

    origin: Origin
    segments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> IndexUrl:
        """Return the URL in its comparable form, without user name, password, query and fragment.

        Raises UrlError if the text is not an absolute http(s) URL, uses http beyond loopback, or could be read
        differently by another parser (control characters, backslashes, dot segments, encoded slashes).
        """
        if len(text) > MAX_URL_LENGTH:
            raise UrlError(_TOO_LONG)
        if _is_unsafe(text):
            raise UrlError("the URL contains a space, a control character or a backslash")
        try:
            parts = urlsplit(text)
        except ValueError:
            raise UrlError("the URL cannot be parsed") from None  # the cause's text would quote the password
        scheme = parts.scheme.lower()
        if scheme not in _DEFAULT_PORTS:
            raise UrlError("the URL does not start with https://")
        userinfo, _, place = parts.netloc.rpartition("@")
        if "[" in userinfo or "]" in userinfo:
            raise UrlError("the URL cannot be parsed")  # some releases of Python take this for the host, others do not
        origin = _parse_origin(scheme, place)
        if scheme == "http" and not origin.is_loopback:
            raise UrlError(
                f"{origin} is not encrypted",
                hint="use https; http is accepted for loopback addresses only",
            )
        url = cls(origin, _parse_path(parts.path))
        if len(str(url)) > MAX_URL_LENGTH:  # escapes grow: the one form must be a URL that parse accepts
            raise UrlError(_TOO_LONG)
        return url

    @property
    def root(self) -> IndexUrl:
        """The folder that the index owns: the URL without its last part if that names the simple pages.

        Every index known puts its files beside its ``simple`` page: pypiserver in ``/packages/``, Artifact Registry,
        GitLab, JFrog, Gitea and devpi in a folder next to it.
        """
        if self.segments and self.segments[-1] in _SIMPLE_PAGES:
            return IndexUrl(self.origin, self.segments[:-1])
        return self

    def covers(self, other: IndexUrl) -> bool:
        """Is ``other`` this URL, or below it by whole path segments, on the same origin?"""
        return self.origin == other.origin and other.segments[: len(self.segments)] == self.segments

    def __str__(self) -> str:
        """Write the URL in its one form, which ends with a slash; this is what tokens are issued for."""
        path = "".join(f"{quote(segment, safe='+@:~!$,=*()')}/" for segment in self.segments)
        return f"{self.origin}/{path}"


def parse_netloc(text: str, scheme: str = "https") -> Origin:
    """Return the origin that a bare ``host`` or ``host:port`` names under ``scheme``.

    Raises UrlError if the text is anything else.
    """
    if len(text) > MAX_URL_LENGTH or _is_unsafe(text) or any(mark in text for mark in "/?#@"):
        raise UrlError("this is not a host name")
    return _parse_origin(scheme, text)


def redacted(text: str) -> str:
    """Return the URL for people: user name, password, query and fragment replaced, so that it can be shown and logged.

    Where the text does not say which part is the host (a raw slash before the last @), nothing after the scheme
    is shown. What does not print is replaced, so that it cannot move a terminal's cursor or forge a line of a log.
    """
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    scheme = re.match(_SCHEME, text)
    if not scheme:
        return re.split("[?#]", text.rpartition("@")[2], maxsplit=1)[0]
    found = re.fullmatch(_READABLE, text[scheme.end() :])
    if not found:
        return f"{scheme[0]}****"
    userinfo, place, path, mark = found.groups()
    return scheme[0] + ("****@" if userinfo else "") + place + path + (f"{mark}****" if mark else "")


def _is_unsafe(text: str) -> bool:
    return bool(_UNSAFE.search(text) or (not text.isascii() and re.search(_SURROGATE, text)))


def _parse_origin(scheme: str, netloc: str) -> Origin:
    if netloc.startswith("["):
        literal, bracket, port_part = netloc[1:].partition("]")
        if not bracket or (port_part and not port_part.startswith(":")):
            raise UrlError("the host is not a valid IPv6 address")
        return Origin(scheme, _parse_ipv6(literal), _parse_port(scheme, port_part[1:]))
    name, _, port = netloc.partition(":")
    return Origin(scheme, _parse_host(name), _parse_port(scheme, port))


def _parse_ipv6(literal: str) -> str:
    try:
        if "%" in literal:
            raise UrlError("an IPv6 address with a zone cannot be compared")
        return ipaddress.IPv6Address(literal).compressed
    except ValueError:
        raise UrlError("the host is not a valid IPv6 address") from None


def _parse_host(name: str) -> str:
    if not name.isascii():
        name = _encode_idna(name)
    name = name.lower().removesuffix(".")
    if len(name) > 253 or not _HOST.fullmatch(name):  # noqa: PLR2004  # RFC 1035 section 2.3.4
        raise UrlError("the host name is not valid")
    # Browsers, uv and getaddrinfo read 127.1, 0x7f.0.0.1 and 2130706433 as addresses; only the plain form is one here.
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return _parse_ipv4(name)
    return name


def _parse_ipv4(literal: str) -> str:
    try:
        return str(ipaddress.IPv4Address(literal))
    except ValueError:
        raise UrlError("the host is not a valid IPv4 address") from None


def _encode_idna(name: str) -> str:
    # The stdlib's codec is IDNA 2003 and maps "ß" to "ss": another host than the one requests and uv connect to.
    import idna  # noqa: PLC0415  # only the few non-ASCII hosts pay for it

    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise UrlError("the host name is not a valid internationalised name") from error


def _parse_port(scheme: str, text: str) -> int:
    if not text:
        return _DEFAULT_PORTS[scheme]
    if not _PORT.fullmatch(text) or not 0 < int(text) < 65536:  # noqa: PLR2004  # the range of TCP ports
        raise UrlError("the port is not a number from 1 to 65535")
    return int(text)


def _parse_path(path: str) -> tuple[str, ...]:
    trimmed = path.removeprefix("/")
    return tuple(_parse_segment(segment) for segment in trimmed.removesuffix("/").split("/")) if trimmed else ()


def _parse_segment(segment: str) -> str:
    if "%" in segment and re.search(_BAD_ESCAPE, segment):
        raise UrlError("the path contains an invalid percent escape")
    try:
        decoded = unquote(segment, errors="strict")
    except UnicodeDecodeError as error:
        raise UrlError("the path is not UTF-8") from error
    # "..;x" is how Java servers smuggle a dot segment past a proxy.
    if not decoded or decoded.partition(";")[0] in {".", ".."}:
        raise UrlError("the path contains an empty or a dot segment")
    if (
        "/" in decoded
        or _is_unsafe(decoded.replace(" ", ""))
        or ("%" in decoded and re.search(_ESCAPED_TWICE, decoded))
    ):
        raise UrlError("the path contains an encoded slash, backslash or control character")
    return decoded
