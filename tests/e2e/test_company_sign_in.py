"""People sign in at a real, certified OpenID provider (``oidc-provider``), in real Chromium, and pip installs.

The provider is on another site (localhost) than the broker (127.0.0.1), as a company's is: what the browser brings back
from there is what another site has sent it to.
"""

from __future__ import annotations

import re
import shutil
import time
from contextlib import closing
from html import unescape
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright

from indexpass._demo.stage import StageError
from indexpass._secret import Secret
from servers.openid import CLIENT_SECRET, PersonAtProvider
from servers.visitors import VisitorBrowser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from conftest import Environments, World
    from servers.brokers import StartBroker
    from servers.openid import OpenidProvider, StartOpenid
    from servers.programs import FindProgram

pytestmark = pytest.mark.e2e

FLAGS = (
    "--headless",
    "--no-sandbox",  # Chromium refuses its sandbox to root, whom containers run tests as
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    # The provider's pages would fetch a font from the internet.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)
INNER = """
[[index]]
name = "inner"
url = "{url}/inner/simple/"

[[policy]]
name = "developers"
index = "inner"
operations = ["read"]
groups = ["python-devs"]
"""
DEVELOPERS = """
[[policy]]
name = "developers"
index = "sealed"
operations = ["read"]
groups = ["python-devs"]
"""


@pytest.fixture
def openid(start_openid: StartOpenid) -> OpenidProvider:
    return start_openid()


@pytest.fixture
def more_settings(openid: OpenidProvider) -> str:
    return openid.settings + DEVELOPERS


@pytest.fixture
def page(program: FindProgram, tmp_path: Path) -> Iterator[Page]:
    """A page of the machine's own Chromium, which has no cookies yet."""
    executable = program("chromium")
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(
            executable_path=executable, args=FLAGS, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        )
        context = browser.new_context(ignore_https_errors=True)  # the authority was made for this test
        context.set_default_timeout(20_000)
        yield context.new_page()
        browser.close()


def test_a_person_signs_in_at_the_company_and_pip_installs_until_the_session_is_revoked(
    world: World, openid: OpenidProvider, page: Page, environments: Environments, tmp_path: Path
) -> None:
    world.watch.know(Secret(CLIENT_SECRET))
    openid.register(world.issuer)
    for wheel in world.shelf.glob("*.whl"):
        shutil.copy(wheel, world.shelf.parent / "sealed")
    page.goto(begin_login(world, page, tmp_path))
    page.screenshot(path=tmp_path / "sign-in.png")
    sign_in_at_company(page, "u-1001")
    expect(page.get_by_role("heading", level=1)).to_have_text("Is this you?")
    page.screenshot(path=tmp_path / "confirm.png")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Back to your terminal")
    assert f"Signed in at {world.issuer} as carol." in world.stage.wait()

    install = install_hello(world, environments)
    world.run(*install, world.stage.folder / "target")
    assert (world.stage.folder / "target/acme_hello.py").exists()

    world.assert_no_secret_is_anywhere()

    page.goto(f"{world.issuer}/sessions")
    page.screenshot(path=tmp_path / "sessions.png")
    expect(page.get_by_text("python-devs").first).to_be_visible()
    page.get_by_role("button", name=re.compile("^Revoke")).first.click()
    expect(page.get_by_text("python-devs")).to_have_count(0)
    for _ in range(100):  # a revocation reaches every process within seconds
        try:
            world.run(*install, world.stage.folder / "again")
        except StageError:
            break
        shutil.rmtree(world.stage.folder / "again")
        page.wait_for_timeout(200)
    assert not (world.stage.folder / "again").exists()


def test_a_person_whose_group_is_not_granted_is_denied(
    world: World, openid: OpenidProvider, page: Page, tmp_path: Path
) -> None:
    openid.register(world.issuer)
    page.goto(begin_login(world, page, tmp_path))
    sign_in_at_company(page, "u-1002")
    expect(page.get_by_text("no policy of this broker lets you")).to_be_visible()
    page.screenshot(path=tmp_path / "denied.png")
    page.get_by_role("button", name="Approve").click()
    with pytest.raises(StageError, match="no policy lets bob read sealed"):
        world.stage.wait()


@pytest.mark.parametrize("in_id_token", [True, False], ids=["in-the-id-token", "at-the-userinfo-endpoint"])
def test_groups_that_the_provider_names_are_granted_and_no_secret_is_seen(
    start_broker: StartBroker, openid: OpenidProvider, caplog: pytest.LogCaptureFixture, *, in_id_token: bool
) -> None:
    broker = start_broker(INNER + openid.settings)
    openid.register(broker.url, has_claims_in_id_token=in_id_token)
    resource = f"{broker.url}/inner/simple/"
    device = broker.begin_device(resource=resource)
    with closing(VisitorBrowser(broker, "local")) as browser, closing(PersonAtProvider("u-1001")) as person:
        go_through(browser, person, f"/device?user_code={device['user_code']}")
        browser.decide()
    answer = broker.poll(device["device_code"]).json()
    assert (answer["user"], answer["scope"]) == ("carol", "pypi:read")
    assert CLIENT_SECRET not in caplog.text


def test_who_was_signed_in_at_the_company_for_too_long_is_asked_again(
    start_broker: StartBroker, openid: OpenidProvider
) -> None:
    broker = start_broker(openid.settings + 'max-age = "1s"\n')
    openid.register(broker.url)
    with closing(VisitorBrowser(broker, "local")) as browser, closing(PersonAtProvider("u-1001")) as person:
        for _ in range(100):
            go_through(browser, person, "/sessions")
            assert "My sessions" in browser.page.text
            browser.sign_out()
            if person.asked.count("login") > 1:
                break
            time.sleep(0.1)
    assert person.asked.count("login") == 2


def go_through(browser: VisitorBrowser, person: PersonAtProvider, place: str) -> None:
    """Leave for the provider, do what it asks for, come back, and go on to the place."""
    browser.open(place)
    away = target(browser.submit_to("/company/sign-in").text)
    browser.open(target(browser.open(person.agree(away)).text))


def target(page: str) -> str:
    """Return where a page goes on to by itself."""
    return unescape(re.findall(r'http-equiv="refresh" content="0; url=([^"]+)"', page)[0])


def begin_login(world: World, page: Page, folder: Path) -> str:
    """Run ``indexpass login`` with a browser that writes down where it shall go, and return that."""
    asked, opener = folder / "asked", folder / "opener"
    opener.write_text(f'#!/bin/sh\nprintf %s "$1" > {asked}.new && mv {asked}.new {asked}\n')
    opener.chmod(0o700)
    world.indexpass("add", world.sealed_index, "--name", "sealed", "--yes")
    login = [world.ours / "indexpass", "login", "sealed"]
    world.stage.start(login, until="Waiting for your approval", environ=world.environ(BROWSER=str(opener)))
    for _ in range(600):
        if not asked.exists():
            page.wait_for_timeout(50)
    return asked.read_text()


def sign_in_at_company(page: Page, subject: str) -> None:
    """Press the button, and do what the provider's pages ask for."""
    page.get_by_role("button", name="Sign in with ACME").click()
    page.get_by_placeholder("Enter any login").fill(subject)
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


def install_hello(world: World, environments: Environments) -> list[str | Path]:
    """Return the command of pip, up to the folder that it installs to."""
    python = environments("pip", "poetry-core>=2.0", ours="") / "python"
    flags = ("--no-input", "--no-cache-dir", "--keyring-provider", "import", "--index-url", world.sealed_index)
    return [python, "-m", "pip", "install", *flags, "acme-hello", "--target"]
