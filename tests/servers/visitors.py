"""A person at a browser without a screen: keeps cookies, fills in the forms of a page, follows or shows a redirect."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import requests
from argon2 import PasswordHasher

if TYPE_CHECKING:
    from servers.brokers import RunningBroker

PASSWORD = "correct horse battery"


class VisitorBrowser:
    """A browser with a profile of its own; ``page`` is what it shows."""

    def __init__(self, broker: RunningBroker, user: str = "alice") -> None:
        self._broker = broker
        self._user = user
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.verify = broker.http.verify
        self.page = requests.Response()
        if broker.broker.store.user(user) is None:
            cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
            broker.broker.store.add_user(user, cheap.hash(PASSWORD), broker.clock())

    def open(self, url: str) -> requests.Response:
        """Go to a page; a redirect is shown and not followed."""
        self.page = self._http.get(urljoin(self._broker.url, url), timeout=30, allow_redirects=False)
        return self.page

    def sign_in(self, password: str = PASSWORD) -> requests.Response:
        """Fill in the sign-in form at hand, and go where it leads."""
        page = self.submit("password", user=self._user, password=password)
        return self.open(page.headers["Location"]) if page.status_code == 303 else page

    def decide(self, decision: str = "approve", **fields: str) -> requests.Response:
        """Press a button of the page at hand; where that leads is shown and not followed."""
        return self.submit("decision", decision=decision, **fields)

    def submit(self, field: str, **values: str) -> requests.Response:
        """Send the form that has ``field``, with these values in place of its own."""
        action, fields = next((action, fields) for action, fields in _forms(self.page.text) if field in fields)
        return self.send(action, **{**fields, **values})

    def submit_to(self, path: str) -> requests.Response:
        """Send the form that goes to ``path``, as it is."""
        action, fields = next((action, fields) for action, fields in _forms(self.page.text) if action == path)
        return self.send(action, **fields)

    def sign_out(self) -> requests.Response:
        """Press "Sign out", which stands on every page of who is signed in."""
        self.open("/sessions")
        return self.submit_to("/signout")

    @property
    def cookies(self) -> list[str]:
        """What the broker had it keep."""
        return [cookie.value or "" for cookie in self._http.cookies]

    def forget_cookies(self) -> None:
        """Be a browser that was never here."""
        self._http.cookies.clear()

    def send(self, path: str, **fields: str) -> requests.Response:
        """Send a form with the session's token that the page at hand has."""
        token = next(fields["form_token"] for _, fields in _forms(self.page.text))
        url = urljoin(self.page.url, path)
        self.page = self._http.post(url, data={"form_token": token, **fields}, timeout=30, allow_redirects=False)
        return self.page

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append((values["action"], {}))
        elif tag in {"input", "button"} and self.found and "name" in values:
            self.found[-1][1][values["name"]] = values.get("value", "")


def _forms(page: str) -> list[tuple[str, dict[str, str]]]:
    parser = _Forms()
    parser.feed(page)
    return parser.found
