"""Configuration for the proxy in front of the indexes, made from the broker's own settings.

The proxy asks the broker about each request before an index sees it. The texts stand in ``snippet_templates/``. This
module makes a text; it writes no file, and never asks whether the proxy or an index is there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import jinja2

from indexpass._url import IndexUrl, Origin, parse_netloc
from indexpass.errors import ConfigError, UrlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from indexpass.broker.settings import GuardedIndex, Settings

Proxy = Literal["nginx", "traefik", "caddy", "apache"]
PROXIES: tuple[Proxy, ...] = get_args(Proxy)
FIRST_UPSTREAM_PORT = 8081  # where indexes are taken to listen whose place nobody names: on this port and the next ones
# What a client may have sent that an index could take for the proxy's word, or for another method or path.
FORGOTTEN_HEADERS = (
    "Cookie",
    "Forwarded",
    "Remote-User",
    "X-Forwarded-Method",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
    "X-Forwarded-User",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X-Original-Method",
    "X-Original-URI",
    "X-Original-URL",
    "X-Outside-Url",
    "X-Remote-User",
    "X-Rewrite-URL",
)
# Other characters would have to be written differently in each of the four languages, and no index needs them.
_PLAIN_SEGMENT = re.compile(r"[A-Za-z0-9._+~-]+")
_UPSTREAM = re.compile(r"(https?)://([^/?#@\s]+)/?")
_SUFFIXES: Mapping[Proxy, str] = {"nginx": "conf", "traefik": "toml", "caddy": "caddyfile", "apache": "conf"}
_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("indexpass.broker", "snippet_templates"),
    autoescape=False,  # noqa: S701  # no HTML; what is filled in was parsed, and is plain
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True)
class GuardedPlace:
    """An index behind the proxy. Paths begin and end with a slash; ``upstream`` is where the index itself listens."""

    index: GuardedIndex
    paths: tuple[str, ...]
    upload_path: str | None
    upstream: Origin

    @property
    def guarded_paths(self) -> tuple[str, ...]:
        """All that has to be guarded, without what stands below another one of them."""
        upload = self.upload_path
        if upload is None or any(upload.startswith(path) for path in self.paths):
            return self.paths
        return (*self.paths, upload)


def write_snippet(  # noqa: PLR0913  # one for each option of the command
    proxy: Proxy,
    settings: Settings,
    *,
    index_name: str | None = None,
    upstreams: Iterable[str] = (),
    broker_url: str | None = None,
    has_cache: bool = False,
) -> str:
    """Return the configuration by which ``proxy`` guards the indexes that are not on the broker's own host.

    ``upstreams`` are ``NAME=URL``, or ``URL`` where there is one index. ``broker_url`` is where the proxy reaches the
    broker; by default the address that it listens on, or its own URL where it speaks TLS itself. ``has_cache`` keeps
    each yes for three seconds, in nginx. Raises ConfigError.
    """
    indexes = _find_indexes(settings, index_name)
    listeners = _read_upstreams(upstreams, [index.name for index in indexes])
    hosts: dict[Origin, list[GuardedPlace]] = {}
    for index in indexes:
        hosts.setdefault(index.url.origin, []).append(_find_place(index, listeners[index.name]))
    issuer = settings.origin
    broker = _read_broker_url(broker_url) if broker_url else _find_broker(settings)
    own_uploads = [
        _path(index.upload_url)
        for index in settings.indexes
        if index.upload_url and index.url.origin == index.upload_url.origin == issuer
    ]
    return _TEMPLATES.get_template(f"{proxy}.{_SUFFIXES[proxy]}.jinja").render(
        hosts=hosts,
        broker=broker,
        issuer=issuer,
        is_broker_behind=broker != issuer,
        own_uploads=own_uploads,
        forgotten=FORGOTTEN_HEADERS,
        has_cache=has_cache,
        has_root=_has_root,
        address=_address,
    )


def _find_indexes(settings: Settings, name: str | None) -> list[GuardedIndex]:
    """Return the index of this name, or all that the broker does not serve itself. Raises ConfigError."""
    elsewhere = [index for index in settings.indexes if index.url.origin != settings.origin]
    if name is None:
        return elsewhere
    if settings.index_named(name) is None:
        raise ConfigError(f'there is no index "{name}"', hint="name one of broker.toml, or leave out --index")
    chosen = [index for index in elsewhere if index.name == name]
    if not chosen:
        raise ConfigError(
            f'the index "{name}" is on the broker\'s own host, where the broker guards it itself',
            hint="leave out --index: the snippet has the broker's own host too",
        )
    return chosen


def _read_upstreams(texts: Iterable[str], names: list[str]) -> dict[str, Origin]:
    """Return where each index listens. Raises ConfigError."""
    found: dict[str, Origin] = {}
    for text in texts:
        if not names:
            raise ConfigError(
                "--upstream: the broker serves all of its indexes itself, on its own host",
                hint="leave out --upstream, or give the index in broker.toml a url on another host",
            )
        name, equals, url = text.rpartition("=")
        if not equals and len(names) != 1:
            raise ConfigError(f"which index is at {text}?", hint="write --upstream NAME=URL, once for each index")
        name = name if equals else names[0]
        if name not in names:
            raise ConfigError(f'--upstream: there is no index "{name}" here', hint=f"name one of: {', '.join(names)}")
        found[name] = _read_upstream(url)
    free = (FIRST_UPSTREAM_PORT + number for number in range(len(names)))
    return {name: found.get(name) or Origin("http", "127.0.0.1", port) for name, port in zip(names, free, strict=True)}


def _read_upstream(text: str) -> Origin:
    """Return where an index listens: by http on any host, for no token goes there."""
    hint = "for example: --upstream http://127.0.0.1:8081"
    found = _UPSTREAM.fullmatch(text)
    if not found:
        raise ConfigError(f"--upstream: {text!r} is more or less than scheme, host and port", hint=hint)
    try:
        return parse_netloc(found[2], found[1])
    except UrlError as error:
        raise ConfigError(f"--upstream: {error}", hint=hint) from error


def _read_broker_url(text: str) -> Origin:
    """Return where the broker listens: by https, or http on loopback, because tokens go there."""
    hint = "for example: --broker-url http://127.0.0.1:8443"
    try:
        url = IndexUrl.parse(text)
    except UrlError as error:
        raise ConfigError(f"--broker-url: {error}", hint=error.hint or hint) from error
    if url.segments:
        raise ConfigError("--broker-url: the broker has no path", hint=hint)
    return url.origin


def _find_broker(settings: Settings) -> Origin:
    """Return where the broker is reached from its own machine."""
    if settings.tls_certificate:
        return settings.origin
    host, port = settings.listen
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # that it listens everywhere is known
    netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return IndexUrl.parse(f"http://{netloc}").origin
    except UrlError as error:
        raise ConfigError(
            f"the broker listens on {netloc} without TLS, where tokens would cross the network in the clear",
            hint="let it listen on 127.0.0.1, or give it a certificate and name its URL: --broker-url https://HOST:PORT",
        ) from error


def _find_place(index: GuardedIndex, upstream: Origin) -> GuardedPlace:
    if index.url.origin.scheme != "https":
        raise ConfigError(f"the index {index.name} has an http url", hint="give it an https url: the proxy speaks TLS")
    for url in (index.upload_url, index.files_url):
        if url and url.origin != index.url.origin:
            raise ConfigError(
                f"the index {index.name} has URLs on two hosts, {index.url.origin} and {url.origin}",
                hint="put both behind one host; for two, write the proxy's configuration by hand",
            )
    root = index.url.root
    folders = [root] if index.files_url is None or root.covers(index.files_url) else [root, index.files_url]
    upload = _path(index.upload_url) if index.upload_url else None
    return GuardedPlace(index, tuple(_path(folder) for folder in folders), upload, upstream)


def _path(url: IndexUrl) -> str:
    if not all(_PLAIN_SEGMENT.fullmatch(segment) for segment in url.segments):
        raise ConfigError(
            f"the path of {url} has characters that proxies read differently",
            hint="use letters, digits, and . _ + ~ - in the URLs of indexes",
        )
    return "".join(f"/{segment}" for segment in url.segments) + "/"


def _has_root(places: Iterable[GuardedPlace]) -> bool:
    return any("/" in place.paths for place in places)


def _address(origin: Origin) -> str:
    """Return host and port, with the port even where it is the usual one."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return f"{host}:{origin.port}"
