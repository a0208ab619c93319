"""A person at a real browser: ``indexpass login`` waits, the person decides on the broker's pages, the command ends."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from playwright.sync_api import expect, sync_playwright

from indexpass._demo.stage import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from conftest import World
    from servers.programs import FindProgram

pytestmark = pytest.mark.e2e

USER = "alice"
NEW_PASSWORD = "four plain words here"
FLAGS = (  # a browser that asks nobody but the pages under test for anything
    "--headless",
    "--no-sandbox",  # Chromium refuses its sandbox to root, whom containers run tests as
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NARROWEST = 320  # CSS pixels: WCAG 2.2, criterion 1.4.10
WIDEST_RUN = 1280
FAULTS = (Path(__file__).parent / "accessibility_faults.js").read_text(encoding="utf-8")
BREAK_THE_POLICY = "() => { document.body.append(Object.assign(new Image(), { src: 'data:,' })) }"


class OpenPage(Protocol):
    """Opens a page of a browser that has no cookies yet; ``width`` is in CSS pixels."""

    def __call__(self, *, width: int = WIDEST_RUN, is_dark: bool = False, has_scripts: bool = True) -> Page: ...


@pytest.fixture(scope="module")
def browser(program: FindProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The machine's own Chromium."""
    executable = program("chromium")
    home = tmp_path_factory.mktemp("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=FLAGS, env={"HOME": str(home), "PATH": "/usr/bin:/bin"}
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open pages, each in a profile of its own, which end with the test."""
    contexts = []

    def open_one(*, width: int = WIDEST_RUN, is_dark: bool = False, has_scripts: bool = True) -> Page:
        context = browser.new_context(
            ignore_https_errors=True,  # the authority was made for this test
            color_scheme="dark" if is_dark else "light",
            java_script_enabled=has_scripts,
            viewport={"width": width, "height": 800},
        )
        context.set_default_timeout(20_000)
        contexts.append(context)
        return context.new_page()

    yield open_one
    for context in contexts:
        context.close()


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with-javascript", "without-javascript"])
def test_a_person_signs_in_and_approves_and_the_command_ends_signed_in(
    world: World, open_page: OpenPage, *, has_scripts: bool
) -> None:
    page = open_page(has_scripts=has_scripts)
    url = begin_login(world)
    page.goto(url)
    sign_in(page, "not the right one")
    expect(page.get_by_role("alert")).to_contain_text("The user name or the password is wrong.")
    sign_in(page, world.password.reveal())
    expect(page.locator(".code.shown")).to_have_text(url.partition("user_code=")[2])
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading")).to_have_text("Approved")
    assert f"Signed in at {world.issuer} as {USER}." in world.stage.wait()
    world.assert_no_secret_is_anywhere()


def test_a_person_denies_and_the_command_says_so_and_fails(world: World, open_page: OpenPage) -> None:
    page = open_page()
    page.goto(begin_login(world))
    sign_in(page, world.password.reveal())
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("heading")).to_have_text("Denied")
    with pytest.raises(StageError, match=r"exit code 1:[\s\S]*the sign-in was denied"):
        world.stage.wait()
    assert "nobody" in world.indexpass("status", "acme")


@pytest.mark.parametrize(
    ("decision", "words"),
    [("Approve", f"as {USER}."), ("Deny", "failed with exit code 1:\nYour browser")],
    ids=["approve", "deny"],
)
def test_the_browser_comes_home_to_the_command_that_opened_it(
    world: World, open_page: OpenPage, tmp_path: Path, decision: str, words: str
) -> None:
    page, asked = open_page(), tmp_path / "asked"
    opener = tmp_path / "opener"  # the BROWSER of the command: it says where the real one has to go
    opener.write_text(f'#!/bin/sh\nprintf %s "$1" > {asked}.new && mv {asked}.new {asked}\n')
    opener.chmod(0o700)
    world.indexpass("add", world.index, "--name", "acme", "--yes")
    login = [world.ours / "indexpass", "login", "acme"]
    world.stage.start(login, until="Waiting for your approval", environ=world.environ(BROWSER=str(opener)))
    for _ in range(600):
        if not asked.exists():
            page.wait_for_timeout(50)
    page.goto(asked.read_text())
    sign_in(page, world.password.reveal())
    expect(page.get_by_role("heading")).to_have_text("Is this you?")
    page.get_by_role("button", name=decision).click()
    expect(page.get_by_role("heading")).to_have_text("Back to your terminal")
    expect(page.get_by_text("You can close this window.")).to_be_visible()
    try:
        said = world.stage.wait()
    except StageError as error:
        said = str(error)
    assert words in said


def test_no_page_breaks_its_own_content_security_policy(world: World, open_page: OpenPage) -> None:
    page = open_page()
    heard: list[str] = []
    page.context.on("console", lambda message: heard.append(message.text))
    for _ in every_page(page, world):
        pass
    assert [text for text in heard if "Content Security Policy" in text] == []
    # Silence proves something only if a violation would have been heard.
    with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        page.evaluate(BREAK_THE_POLICY)


@pytest.mark.parametrize(
    ("width", "is_dark"), [(WIDEST_RUN, False), (NARROWEST, True)], ids=["wide and light", "narrow and dark"]
)
def test_every_page_is_for_everybody(
    world: World, open_page: OpenPage, tmp_path: Path, width: int, *, is_dark: bool
) -> None:
    faults = {}
    for name, page in every_page(open_page(width=width, is_dark=is_dark), world):
        page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
        faults[name] = page.evaluate(FAULTS)
    assert faults == {name: [] for name in PAGES}


def test_the_search_for_faults_finds_them(open_page: OpenPage) -> None:
    page = open_page(width=NARROWEST)
    page.set_content(
        "<html><body style='background: #fff'><h1>One</h1><h1>Two</h1>"
        "<p style='color: #999; width: 600px'>pale and wide</p>"
        "<input style='border: 1px solid #ddd'><a href='#' style='outline: none'>x</a><script></script>"
        "<p id='same'></p><p id='same' aria-describedby='nobody'></p></body></html>"
    )
    kinds = [fault.partition(":")[0] for fault in page.evaluate(FAULTS)]
    assert sorted(set(kinds)) == [
        "a border is hard to see",
        "a field without a label",
        "a reference that leads nowhere",
        "a script",
        "an id that stands twice",
        "no focus to be seen",
        "no language",
        "no title",
        "not one heading of the first level",
        "not one main part",
        "scrolls sideways",
        "text is hard to read",
    ]


def test_a_person_signs_in_and_approves_by_keyboard_alone(world: World, open_page: OpenPage) -> None:
    page = open_page()
    page.goto(begin_login(world))
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type(USER)
    page.keyboard.press("Tab")
    page.keyboard.type(world.password.reveal())
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading")).to_have_text("Is this you?")
    approve = page.get_by_role("button", name="Approve")
    for _ in range(10):
        page.keyboard.press("Tab")
        if approve.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading")).to_have_text("Approved")
    assert f"as {USER}." in world.stage.wait()


def test_a_session_that_is_revoked_on_its_page_is_worth_nothing_to_the_command(
    world: World, open_page: OpenPage
) -> None:
    world.sign_in()
    page = open_page()
    page.goto(f"{world.issuer}/sessions")
    sign_in(page, world.password.reveal())
    page.get_by_role("button", name="Revoke", exact=True).click()
    expect(page.get_by_text("None at the moment.")).to_be_visible()
    with pytest.raises(StageError, match="has ended"):
        world.indexpass("token", "acme")


def test_who_is_invited_chooses_a_password_and_signs_in_with_it(world: World, open_page: OpenPage) -> None:
    said = world.indexpass("broker", "user", "invite", "bob", world.stage.folder / "broker")
    (code,) = re.findall(r"^[A-Z]{5}(?:-[A-Z]{5}){3}$", said, re.MULTILINE)
    page = open_page(has_scripts=False)
    page.goto(f"{world.issuer}/device")
    page.get_by_role("link", name="Choose a password").click()
    page.get_by_label("Invitation code").fill(code.lower().replace("-", " "))
    page.get_by_label("New password", exact=True).fill(NEW_PASSWORD)
    page.get_by_label("New password, once more").fill(NEW_PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("My sessions")
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{world.issuer}/sessions")
    sign_in(page, NEW_PASSWORD, user="bob")
    expect(page.get_by_text("Signed in as bob")).to_be_visible()


PAGES = (
    "sign-in",
    "sign-in-again",
    "invitation",
    "invitation-again",
    "code",
    "code-again",
    "confirm",
    "approved",
    "sessions",
    "too-late",
    "all-revoked",
)


def every_page(page: Page, world: World) -> Iterator[tuple[str, Page]]:
    """Go to each page that a person can meet, in the order of PAGES."""
    url = begin_login(world)
    page.goto(url)
    yield "sign-in", page
    sign_in(page, "not the right one")
    expect(page.get_by_role("alert")).to_be_visible()
    yield "sign-in-again", page
    page.get_by_role("link", name="Choose a password").click()
    yield "invitation", page
    page.get_by_label("Invitation code").fill("not a code")
    page.get_by_label("New password", exact=True).fill(NEW_PASSWORD)
    page.get_by_label("New password, once more").fill("something else")
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("alert")).to_be_visible()
    yield "invitation-again", page
    page.goto(url)
    sign_in(page, world.password.reveal())
    page.goto(f"{world.issuer}/device")
    yield "code", page
    page.get_by_label("Code").fill("not a code")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("alert")).to_be_visible()
    yield "code-again", page
    page.goto(url)
    yield "confirm", page
    late = page.context.new_page()
    late.goto(url)
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading")).to_have_text("Approved")
    yield "approved", page
    world.stage.wait()
    page.goto(f"{world.issuer}/sessions")
    expect(page.get_by_role("button", name="Revoke", exact=True)).to_have_count(1)
    yield "sessions", page
    late.set_viewport_size(page.viewport_size or {})
    late.get_by_role("button", name="Approve").click()
    expect(late.get_by_role("heading")).to_have_text("Too late for this code")
    yield "too-late", late
    page.get_by_role("button", name="Revoke all").click()
    expect(page.get_by_role("heading")).to_have_text("All sessions were revoked")
    yield "all-revoked", page


def begin_login(world: World) -> str:
    """Start ``indexpass login --device`` and return the URL that it shows."""
    world.indexpass("add", world.index, "--name", "acme", "--yes")
    login = [world.ours / "indexpass", "login", "--device", "acme"]
    return world.stage.start(login, until="Open http", environ=world.environ()).split()[1]


def sign_in(page: Page, password: str, *, user: str = USER) -> None:
    """Fill in the form and send it."""
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
