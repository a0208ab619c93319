"""The provider of kept keys: where a key comes from, when it is over, and that it is copied nowhere.

The index is a double: it takes one key as Basic, and answers 401 to every other, as Envelope, Gemfury and Nexus are
documented to.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from indexpass import _cli
from indexpass._cache import Cache
from indexpass._http import HttpClient
from indexpass._model import Context, Credential, Index, Session, SignIn, SignInByTyping, WithOutlook
from indexpass._resolve import Resolver
from indexpass._secret import Secret
from indexpass._sessions import FileSessions
from indexpass._url import IndexUrl
from indexpass.errors import BrokerRefused, BrokerUnreachable, ConfigError, IndexpassError, SessionError
from indexpass.providers.static import StaticProvider
from indexpass.testing import FakeIndex, ProviderContract, Subject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "https://app.acme.example/simple/"
KEY = "env-canary-7f3a"
NOON = datetime(2027, 1, 15, 12, tzinfo=timezone.utc).timestamp()


def index(url: str = URL, **options: str) -> Index:
    keys = {name.replace("_", "-"): value for name, value in options.items()}
    return Index("acme", IndexUrl.parse(url), provider="static", options=MappingProxyType(keys))


class Desk:
    """A machine, its variables, and where it keeps sessions."""

    def __init__(self, folder: Path) -> None:
        self.sessions = FileSessions(folder / "sessions")
        self.environ: dict[str, str] = {}
        self.context = Context(
            http=HttpClient(),
            sessions=self.sessions,
            identify=lambda _: None,
            now=lambda: NOON,
            environ=self.environ,
        )

    def issue(self, **options: str) -> Credential:
        return StaticProvider().issue(index(**options), "read", self.context)

    def keep(self, key: str = KEY) -> None:
        self.sessions.save(Session(URL, "pypi", Secret(key)))

    def sign_in(self, url: str, typed: str, **options: str) -> tuple[Session, Credential]:
        return StaticProvider().sign_in_by_typing(
            index(url, **options), self.context, ask=lambda _: "", ask_secret=lambda _: Secret(typed)
        )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(f"{KEY}\n", encoding="utf-8")
    return path


class TestContract(ProviderContract):
    max_requests = 0

    @pytest.fixture(params=["variable", "file", "kept"])
    def subject(self, request: pytest.FixtureRequest, desk: Desk, key_file: Path) -> Subject:
        desk.environ["ACME_KEY"] = KEY
        desk.keep()
        options = {"variable": {"key_variable": "ACME_KEY"}, "file": {"key_file": str(key_file)}, "kept": {}}
        return Subject(StaticProvider(), index(**options[request.param]), desk.context)


@pytest.fixture
def platform() -> Iterator[FakeIndex]:
    """An index that takes one key, as user name or as password."""
    with FakeIndex(lambda username, password: KEY in (username, password)) as index:
        yield index


def test_people_type_a_key_and_do_not_sign_in_by_browser() -> None:
    provider = StaticProvider()
    assert isinstance(provider, SignInByTyping)
    assert isinstance(provider, WithOutlook)
    assert not isinstance(provider, SignIn)  # nobody is asked for a key in the middle of a client's run


# Where a key comes from


def test_a_key_comes_from_a_variable(desk: Desk) -> None:
    desk.environ["ACME_KEY"] = KEY
    assert desk.issue(key_variable="ACME_KEY").secret == Secret(KEY)


def test_a_key_comes_from_a_private_file_without_its_line_end(desk: Desk, key_file: Path) -> None:
    assert desk.issue(key_file=str(key_file)).secret == Secret(KEY)


def test_a_key_comes_from_where_sessions_are(desk: Desk) -> None:
    desk.keep()
    assert desk.issue().secret == Secret(KEY)


def test_without_a_key_the_hint_is_the_command(desk: Desk) -> None:
    with pytest.raises(SessionError, match="no key is kept") as caught:
        desk.issue()
    assert caught.value.hint == "indexpass login acme"


def test_the_settings_win_over_a_key_that_was_typed(desk: Desk) -> None:
    desk.keep("an-older-key")
    desk.environ["ACME_KEY"] = KEY
    assert desk.issue(key_variable="ACME_KEY").secret == Secret(KEY)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param(None, "ACME_KEY is not set", id="unset"),
        pytest.param("", "ACME_KEY is not set", id="empty"),
        pytest.param(f"{KEY}\n{KEY}", "ACME_KEY is no key", id="two-lines"),
        pytest.param("k" * 20_000, "ACME_KEY is no key", id="too-long"),
        pytest.param("schlüssel", "ACME_KEY is no key", id="not-ascii"),
    ],
)
def test_what_is_no_key_is_named_and_never_shown(desk: Desk, value: str | None, message: str) -> None:
    if value is not None:
        desk.environ["ACME_KEY"] = value
    with pytest.raises(ConfigError, match=message) as caught:
        desk.issue(key_variable="ACME_KEY")
    assert KEY not in f"{caught.value!r} {caught.value.hint}"


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_open_is_refused_with_the_command_that_closes_it(
    desk: Desk, key_file: Path, mode: int
) -> None:
    key_file.chmod(mode)
    with pytest.raises(ConfigError, match="open to others") as caught:
        desk.issue(key_file=str(key_file))
    assert caught.value.hint == f"chmod 600 {key_file}"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("key", "not an absolute path", id="relative"),
        pytest.param("~/key", "not an absolute path", id="tilde"),
        pytest.param("/nowhere/key", "cannot be read", id="missing"),
        pytest.param("/", "cannot be read|not a regular file", id="folder"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(desk: Desk, path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        desk.issue(key_file=path)


@pytest.mark.skipif(os.name != "posix", reason="named pipes are those of POSIX")
def test_a_pipe_that_nobody_writes_to_does_not_hang_the_client(desk: Desk, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        desk.issue(key_file=str(tmp_path / "pipe"))


def test_a_variable_and_a_file_at_once_are_refused(desk: Desk, key_file: Path) -> None:
    with pytest.raises(ConfigError, match="both a key-variable and a key-file"):
        desk.issue(key_variable="ACME_KEY", key_file=str(key_file))


# What is handed out


@pytest.mark.parametrize(
    ("options", "username"),
    [
        pytest.param({}, "__token__", id="default"),
        pytest.param({"username": "pypi"}, "pypi", id="envelope"),
        pytest.param({"key_as": "username"}, KEY, id="gemfury"),
    ],
)
def test_the_user_name_is_the_one_that_the_platform_wants(desk: Desk, options: dict[str, str], username: str) -> None:
    desk.keep()
    credential = desk.issue(**options)
    assert (credential.username, credential.secret) == (username, Secret(KEY))


def test_another_place_for_the_key_is_refused(desk: Desk) -> None:
    desk.keep()
    with pytest.raises(ConfigError, match="key-as"):
        desk.issue(key_as="header")


def test_a_key_is_never_copied_to_the_cache(desk: Desk, tmp_path: Path) -> None:
    desk.environ["ACME_KEY"] = KEY
    wanted = index(key_variable="ACME_KEY")
    resolver = Resolver(
        lambda: (wanted,), Cache(tmp_path / "credentials"), lambda _: StaticProvider(), lambda: desk.context, time.time
    )
    credential = resolver.credential(URL)
    assert credential is not None
    assert credential.secret == Secret(KEY)
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert kept == []


# Until when a key is good


def test_a_key_without_a_date_has_no_expiry(desk: Desk) -> None:
    desk.keep()
    assert desk.issue().expires_at is None


def test_a_key_is_good_until_the_end_of_its_last_day_in_utc(desk: Desk) -> None:
    desk.keep()
    midnight = datetime(2027, 1, 16, tzinfo=timezone.utc).timestamp()
    assert desk.issue(expires="2027-01-15").expires_at == midnight


def test_a_key_that_is_over_is_not_handed_out_and_the_hint_says_how_to_renew_it(desk: Desk) -> None:
    desk.keep()
    with pytest.raises(ConfigError, match="good until 2027-01-14") as caught:
        desk.issue(expires="2027-01-14")
    assert "indexpass login acme" in caught.value.hint


def test_a_date_that_is_none_is_refused_with_an_example(desk: Desk) -> None:
    desk.keep()
    with pytest.raises(ConfigError, match="is no date") as caught:
        desk.issue(expires="31.1.2027")
    assert 'expires = "' in caught.value.hint


@pytest.mark.parametrize(
    ("expires", "words"),
    [
        pytest.param(None, None, id="no-date"),
        pytest.param("2027-03-01", None, id="far-away"),
        pytest.param("2027-02-13", "in 29 days", id="soon"),
        pytest.param("2027-01-15", "today", id="last-day"),
        pytest.param("2027-01-14", "already", id="over"),
    ],
)
def test_the_end_of_a_key_is_foreseen(expires: str | None, words: str | None) -> None:
    said = StaticProvider().foresee(index(expires=expires) if expires else index(), NOON)
    assert (said is None) == (words is None)
    assert words is None or (said is not None and words in said)


# Typing a key


def test_a_key_that_the_index_takes_is_kept(desk: Desk, platform: FakeIndex) -> None:
    session, credential = desk.sign_in(platform.index_url, f" {KEY}\n", username="pypi")
    assert credential.secret == Secret(KEY)
    assert desk.sessions.load(platform.index_url) == session
    assert (session.broker, session.user) == (platform.index_url, "pypi")


def test_a_key_that_the_index_refuses_is_not_kept(desk: Desk, platform: FakeIndex) -> None:
    with pytest.raises(BrokerRefused, match="refuses this key"):
        desk.sign_in(platform.index_url, "mistyped")
    assert desk.sessions.load(platform.index_url) is None


def test_a_key_for_an_index_that_is_away_is_not_kept(desk: Desk) -> None:
    with pytest.raises(BrokerUnreachable):
        desk.sign_in("http://127.0.0.1:9/simple/", KEY)


def test_a_key_as_user_name_is_no_name_for_people(desk: Desk, platform: FakeIndex) -> None:
    session, credential = desk.sign_in(platform.index_url, KEY, key_as="username")
    assert credential.username == KEY
    assert session.user == ""


def test_signing_out_forgets_the_key(desk: Desk) -> None:
    desk.keep()
    signed_out = StaticProvider().sign_out(index(), desk.context)
    assert signed_out is not None
    assert desk.sessions.load(URL) is None


def test_a_key_that_is_kept_elsewhere_is_not_for_us_to_change(desk: Desk, key_file: Path) -> None:
    wanted = index(key_file=str(key_file))
    with pytest.raises(ConfigError, match="not by indexpass"):
        StaticProvider().sign_out(wanted, desk.context)
    with pytest.raises(ConfigError, match="not by indexpass"):
        desk.sign_in(URL, KEY, key_file=str(key_file))


# The commands


class Home:
    """A user's own folder with one index of this kind."""

    def __init__(self, folder: Path, url: str, more: str = "") -> None:
        self.folder = folder
        table = f'[[index]]\nname = "acme"\nurl = "{url}"\nprovider = "static"\nusername = "pypi"\n{more}'
        (folder / "config.toml").write_text(table, encoding="utf-8")

    def run(self, *words: str, says: str | None = None, **environ: str) -> tuple[int, str, str]:
        place = {
            "INDEXPASS_HOME": str(self.folder),
            "XDG_CONFIG_DIRS": str(self.folder),
            "INDEXPASS_SESSION_STORE": "file",
            **environ,
        }
        result = CliRunner().invoke(_cli.main, words, input=says, env=place)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def home(tmp_path: Path, platform: FakeIndex) -> Home:
    (tmp_path / "home").mkdir(mode=0o700)
    return Home(tmp_path / "home", platform.index_url)


def test_login_asks_for_the_key_without_showing_it_and_token_hands_it_out(home: Home) -> None:
    code, stdout, stderr = home.run("login", says=f"{KEY}\n")
    assert (code, stdout) == (0, "")
    assert KEY not in stderr
    assert stderr.endswith("as pypi.\n")
    assert home.run("token")[1] == f"{KEY}\n"


def test_logout_forgets_the_key(home: Home) -> None:
    home.run("login", says=f"{KEY}\n")
    assert home.run("logout")[0] == 0
    assert home.run("token")[0] == 3


def test_status_says_whose_key_it_is_and_warns_of_its_end(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    home = Home(tmp_path / "home", URL, 'key-variable = "ACME_KEY"\nexpires = "2020-01-31"\n')
    code, stdout, _ = home.run("status", ACME_KEY=KEY)
    assert code == 0
    assert f"pypi at {URL}" in stdout
    assert "the key expires already (2020-01-31)" in stdout
    assert KEY not in stdout


def test_pip_is_told_that_the_index_refuses_a_key_which_was_ended_there(
    desk: Desk, platform: FakeIndex, tmp_path: Path
) -> None:
    desk.environ["ACME_KEY"] = "ended"
    wanted = index(platform.index_url, key_variable="ACME_KEY")
    resolver = Resolver(
        lambda: (wanted,),
        Cache(tmp_path / "credentials"),
        lambda _: StaticProvider(),
        lambda: desk.context._replace(now=time.time),
        time.time,
        run=lambda: "pip",
    )
    resolver.credential(platform.index_url)
    with pytest.raises(IndexpassError, match="does not take the key that is kept for it") as caught:
        resolver.credential(platform.index_url)
    assert caught.value.hint == "make a new one at the platform, and put it into ACME_KEY"
