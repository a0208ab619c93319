"""What somebody came for: a code, a program's request, or a page. It goes with them through the sign-in.

It stands in forms and URLs, so it holds no secret, and what comes back is read as strictly as what comes first. This
module never says whether anything is waiting there.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from indexpass.broker.pages.program_request import read_again

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass.broker.settings import Settings

AUTHORIZE_PATH, DEVICE_PATH, SESSIONS_PATH = "/oauth/authorize", "/device", "/sessions"
_PAGES = {"sessions": SESSIONS_PATH}
_USER_CODE = re.compile(r"([BCDFGHJKLMNPQRSTVWXZ]{4})[ -]*([BCDFGHJKLMNPQRSTVWXZ]{4})")


@dataclass(frozen=True, slots=True)
class Errand:
    """At most one of these is set; if none is, it is a code that has yet to be typed.

    ``user_code`` is written XXXX-XXXX, ``request`` is the query of a program's request, ``page`` is the name of a page.
    """

    user_code: str = ""
    request: str = ""
    page: str = ""

    @classmethod
    def read(cls, settings: Settings, fields: Mapping[str, str]) -> Errand:
        """Return the errand that a form or a query carries. Raises Refused if its request may not be followed."""
        if code := parse_code(fields.get("user_code", "")):
            return cls(user_code=code)
        if fields.get("request"):
            return cls(request=read_again(settings, fields["request"]).query)
        page = fields.get("page", "")
        return cls(page=page if page in _PAGES else "")

    @property
    def fields(self) -> dict[str, str]:
        """The errand as a form or a query carries it."""
        return {name: value for name, value in asdict(self).items() if value}

    @property
    def path(self) -> str:
        """Where it goes on, once the person is signed in: below the broker's own URL."""
        if self.user_code:
            return f"{DEVICE_PATH}?user_code={self.user_code}"
        if self.request:
            return f"{AUTHORIZE_PATH}?{self.request}"
        return _PAGES.get(self.page, DEVICE_PATH)


def parse_code(text: str) -> str:
    """Return the code as terminals show it, or "" if the text cannot be one: nothing else is echoed on a page."""
    match = _USER_CODE.fullmatch(text.strip().upper())
    return f"{match[1]}-{match[2]}" if match else ""
