"""A person at a browser, played by the demonstration: fills in the broker's pages and presses Approve.

It sends what the forms contain and nothing else, so that it works exactly as far as the pages do.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

import requests

from indexpass._demo.stage import StageError

if TYPE_CHECKING:
    from pathlib import Path

    from indexpass._secret import Secret

_SECONDS = 10


class _Form(NamedTuple):
    """A form on a page: where it goes, and its fields with the values that they hold."""

    action: str
    fields: dict[str, str]


class _Forms(HTMLParser):
    """Collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[_Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(_Form(values.get("action", ""), {}))
        elif tag in {"input", "button"} and self.found and values.get("name"):
            self.found[-1].fields.setdefault(values["name"], values.get("value", ""))


def approve(url: str, *, user: str, password: Secret, authorities: Path | None = None) -> None:
    """Open ``url``, sign in, and approve what is asked there. Raises StageError if a page is not as expected.

    ``authorities`` is a file of certificate authorities to trust in place of the usual ones.
    """
    with requests.Session() as browser:
        browser.trust_env = False  # the broker is on this machine: no proxy, no .netrc
        browser.verify = str(authorities) if authorities else True
        page = browser.get(url, timeout=_SECONDS)
        page = _submit(browser, page, "password", user=user, password=password.reveal())
        page = _submit(browser, page, "decision", decision="approve")
        if not page.ok:
            raise StageError(f"the broker did not take the approval: status {page.status_code}")


def _submit(browser: requests.Session, page: requests.Response, field: str, **values: str) -> requests.Response:
    """Fill in the form that has ``field`` and send it."""
    forms = _Forms()
    forms.feed(page.text)
    form = next((form for form in forms.found if field in form.fields), None)
    if form is None:
        raise StageError(f"the page has no form with the field {field!r} (status {page.status_code})")
    return browser.post(urljoin(page.url, form.action), data={**form.fields, **values}, timeout=_SECONDS)
