"""Why a URL gets the credential that it gets, or none: the decision as data, told by the code that decides.

Nothing is decided here. The rules report what they try, the resolver says what it would do, and this module adds words.
It asks nobody over the network, and holds no secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from indexpass import _config, _known, _registry
from indexpass._locations import locate
from indexpass._platforms import PLATFORMS
from indexpass._standing import asks_identity_sources, examine_identity, find_identity, identify, look_up
from indexpass._url import IndexUrl, parse_netloc, redacted
from indexpass.errors import IndexpassError, UrlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from indexpass._model import Context, Index, Operation
    from indexpass._resolve import Resolver
    from indexpass._standing import Held


class Place(NamedTuple):
    """One place of the configuration, and what it says."""

    place: str
    says: str


class Rule(NamedTuple):
    """One rule that was tried: what stands where the setting of an index says, and why the URL is there or not."""

    owner: str
    setting: str
    place: str
    is_there: bool
    reason: str


class Owner(NamedTuple):
    """The index that a URL belongs to, what is wanted there, and who issues.

    ``provider_from`` is the distribution that has the provider's code, ``is_known`` whether the platform was told by
    the URL alone, with no configuration.
    """

    name: str
    url: str
    operation: str
    provider: str
    provider_from: str
    is_known: bool
    options: dict[str, str]


class ClientView(NamedTuple):
    """What one client would get, None if nothing, and by which way."""

    client: str
    gets: str | None
    how: str


class Explanation(NamedTuple):
    """The decision about one URL, step by step. ``silence`` says why nothing is answered, and None if something is.

    ``url`` is the normalised URL, None if the text is none. ``next_step`` says what happens if a client asks now.
    """

    given: str
    url: str | None
    configuration: tuple[Place, ...]
    rules: tuple[Rule, ...]
    owner: Owner | None
    silence: str | None
    identity: str | None = None
    identity_sources: Mapping[str, str] = {}
    held: Held | None = None
    next_step: str | None = None
    clients: tuple[ClientView, ...] = ()


def explain(service: str, operation: Operation | None, resolver: Resolver, context: Context) -> Explanation:
    """Return why a client that asks for ``service``, a URL or a bare host, gets what it gets.

    Without ``operation``, the URL decides. Raises ConfigError if the configuration cannot be read.
    """
    rules: list[Rule] = []
    url = _parse(service)

    def report(index: Index, setting: str, place: IndexUrl, is_there: bool) -> None:  # noqa: FBT001  # a callback
        rules.append(Rule(index.name, setting, str(place), is_there, _compare(url, place, is_there=is_there)))

    layers = _config.read_layers(locate(context.environ), context.environ)
    found = resolver.find(service, operation, report=report)
    first = Explanation(
        given=redacted(service),
        url=None if isinstance(url, str) else str(url),
        configuration=tuple(_describe_layers(layers)),
        rules=tuple(_without_repetition(rules)),
        owner=None,
        silence=None,
    )
    if found is None:
        is_name = any(service == index.name for _, indexes in layers for index in indexes)
        return first._replace(silence=_explain_silence(service, operation, url, rules, is_name=is_name))
    index, wanted = found
    next_step, gets = _foretell(index, wanted, resolver, context)
    is_configured = any(index.name == each.name for _, indexes in layers for each in indexes)
    return first._replace(
        owner=Owner(
            name=index.name,
            url=str(index.url),
            operation=wanted,
            provider=index.provider,
            provider_from=_registry.who_offers(index.provider) or "nowhere: no installed distribution has it",
            is_known=not is_configured,
            options=dict(index.options),
        ),
        identity=identify(index, context),
        identity_sources=examine_identity(index, context) if asks_identity_sources(index) else {},
        held=look_up(index, wanted, resolver.cache, context.now()),
        next_step=next_step,
        clients=tuple(ClientView(client, gets, how) for client, how in _ways(index, wanted)),
    )


def _parse(service: str) -> IndexUrl | str:
    """Return the URL or the bare host in its comparable form, or in words why it is neither."""
    try:
        return IndexUrl.parse(service) if "://" in service else IndexUrl(parse_netloc(service), ())
    except UrlError as error:
        return error.message


def _describe_layers(layers: tuple[tuple[Path | None, tuple[Index, ...]], ...]) -> Iterator[Place]:
    above: list[Index] = []
    for path, indexes in layers:
        names = [
            f"{index.name} (left out: configured above)"
            if any(index.name == other.name or index.url == other.url for other in above)
            else index.name
            for index in indexes
        ]
        above += indexes
        absent = "INDEXPASS_INDEX_URL is not set" if path is None else "no index" if path.exists() else "no such file"
        yield Place(str(path) if path else "the INDEXPASS_* variables", ", ".join(names) or absent)


def _compare(url: IndexUrl | str, place: IndexUrl, *, is_there: bool) -> str:
    """Say in words why the URL is in the place, or what of it is another."""
    if isinstance(url, str):
        return url
    if is_there:
        return "it is there"
    others = [part for part in ("scheme", "host", "port") if getattr(url.origin, part) != getattr(place.origin, part)]
    return f"another {others[0] if others else 'path'}"


def _without_repetition(rules: list[Rule]) -> Iterator[Rule]:
    """Leave out the folder of an index whose URL is that folder."""
    seen: set[tuple[str, str, bool]] = set()
    for rule in rules:
        key = (rule.owner, rule.place, rule.setting == "upload-url")
        if key not in seen:
            yield rule
        seen.add(key)


def _explain_silence(
    service: str, operation: Operation | None, url: IndexUrl | str, rules: list[Rule], *, is_name: bool
) -> str:
    if is_name:
        return f"{service} is the name of an index; clients ask for URLs, and a name could be claimed by any project"
    if isinstance(url, str):
        return url
    owners = sorted({rule.owner for rule in rules if rule.is_there})
    if len(owners) > 1:
        return f"it belongs to {' and '.join(owners)} alike, and a tie is not decided by guessing"
    known = _known.find(url)
    if owners or (known and not PLATFORMS[known.provider].needs):
        return f"its provider issues nothing for this operation ({operation or 'read'}), so that others may answer"
    if known:
        needed = ", ".join(PLATFORMS[known.provider].needs)
        return f"this is an index at {known.provider}, which needs settings: {needed}. Write an [[index]] table for it"
    return f"no index owns this URL, and no known platform has it. If it is yours → indexpass add {url}"


def _foretell(index: Index, operation: Operation, resolver: Resolver, context: Context) -> tuple[str, str | None]:
    """Say what happens if a client asks now, and what it then gets, None if nothing."""
    try:
        held = resolver.at_hand(index, operation)
    except IndexpassError as error:
        return f"the last attempt has failed, and is not repeated yet: {_words(error)}", None
    if held:
        return "what is held is handed out; nobody is asked", f"user name {held.username} and the held secret"
    try:
        who = find_identity(index, context)
    except IndexpassError as error:
        return f"no credential can be had: {_words(error)}", None
    if who is None:
        return f"somebody has to sign in → indexpass login {index.name}", None
    return f"the provider {index.provider} is asked for a new credential", "a new credential"


def _words(error: IndexpassError) -> str:
    return f"{error.message} → {error.hint}" if error.hint else error.message


def _ways(index: Index, operation: Operation) -> Iterator[tuple[str, str]]:
    """Yield each client that asks for this, and how it comes to its credential."""
    if index.provider == "github":
        yield "git, pip, uv", "by git's credential helper, for git+https packages: indexpass helper git"
        yield "Poetry", "by the plugin, which signs what Poetry's own git fetches"
        return
    if operation == "upload":
        yield "twine", "by keyring, for the user name and again for the password"
        yield "uv publish", "by the keyring command, if it is told --keyring-provider subprocess and a user name"
        yield "Poetry", "by the plugin, which signs the upload"
        return
    yield "pip", "by keyring after a 401, and again after each later one; with --no-input only if told which keyring"
    yield "uv", 'by the keyring command once a run, if keyring-provider is subprocess and authenticate = "always"'
    yield "Poetry", "by the plugin, which signs each request and renews in the middle of a run"
