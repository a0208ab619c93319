"""A person at a real browser: ``indexpass login`` waits, the person decides on the broker's pages, the command ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest
from playwright.sync_api import expect, sync_playwright

from indexpass._demo.stage import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from conftest import World
    from servers.programs import FindProgram

pytestmark = pytest.mark.e2e

USER = "alice"
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
UNLABELLED = """
() => [...document.querySelectorAll("input:not([type=hidden]), select, textarea")]
    .filter((field) => ![...field.labels].some((label) => label.innerText.trim()))
    .map((field) => field.outerHTML)
"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
BREAK_THE_POLICY = "() => { document.body.append(Object.assign(new Image(), { src: 'data:,' })) }"


class OpenPage(Protocol):
    """Opens a page of a browser that has no cookies yet; ``width`` is in CSS pixels."""

    def __call__(self, *, width: int = WIDEST_RUN, has_scripts: bool = True) -> Page: ...


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

    def open_one(*, width: int = WIDEST_RUN, has_scripts: bool = True) -> Page:
        context = browser.new_context(
            ignore_https_errors=True,  # the authority was made for this test
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
    expect(page.get_by_role("alert")).to_have_text("The user name or the password is wrong.")
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


def test_no_page_scrolls_sideways_on_a_narrow_screen(world: World, open_page: OpenPage, tmp_path: Path) -> None:
    overflow = {}
    for name, page in every_page(open_page(width=NARROWEST), world):
        page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
        overflow[name] = page.evaluate(OVERFLOW)
    assert overflow == dict.fromkeys(PAGES, 0)


def test_every_field_has_a_label(world: World, open_page: OpenPage) -> None:
    unlabelled = {name: page.evaluate(UNLABELLED) for name, page in every_page(open_page(), world)}
    assert unlabelled == {name: [] for name in PAGES}


PAGES = ("sign-in", "sign-in-again", "code", "code-again", "confirm", "denied", "too-late")


def every_page(page: Page, world: World) -> Iterator[tuple[str, Page]]:
    """Go to each page that a person can meet, in the order of PAGES."""
    url = begin_login(world)
    page.goto(url)
    yield "sign-in", page
    sign_in(page, "not the right one")
    expect(page.get_by_role("alert")).to_be_visible()
    yield "sign-in-again", page
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
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("heading")).to_have_text("Denied")
    yield "denied", page
    late.set_viewport_size(page.viewport_size or {})
    late.get_by_role("button", name="Approve").click()
    expect(late.get_by_role("heading")).to_have_text("Too late for this code")
    yield "too-late", late


def begin_login(world: World) -> str:
    """Start ``indexpass login --device`` and return the URL that it shows."""
    world.indexpass("add", world.index, "--name", "acme", "--yes")
    login = [world.ours / "indexpass", "login", "--device", "acme"]
    return world.stage.start(login, until="Open http", environ=world.environ()).split()[1]


def sign_in(page: Page, password: str) -> None:
    """Fill in the form and send it."""
    page.get_by_label("User name").fill(USER)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
