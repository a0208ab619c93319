"""Everything that indexpass raises, and nothing else.

Each error carries a stable ``code`` (listed in the reference), a message that says what happened (lower case,
redacted), and a ``hint``: one imperative sentence that can be pasted or followed as it is.

    IndexpassError
    ├── UrlError                 the text is not a URL that may carry a credential
    ├── ConfigError              a configuration file or variable is wrong: names the file, the key and the fix
    │   └── ExtraMissing         what the provider is made of is not installed: names the extra
    ├── IdentityError            this machine should be able to prove who it is, but cannot
    ├── SessionError             a person has to sign in
    ├── BrokerError
    │   ├── BrokerUnreachable    no answer in time, or an answer that asks to come back later
    │   ├── BrokerRefused        the broker understood, and said no
    │   └── BrokerMisbehaved     the answer is too large, redirects, or is not what the protocol says
    ├── IndexRefused             the index answered, and did not take our credential
    └── StoreError               credentials or sessions cannot be kept on this disk

This module never imports anything.
"""

from __future__ import annotations


class IndexpassError(Exception):
    """The root: catch it to catch all that indexpass raises on purpose.

    ``code`` is stable and may be matched by programs; ``hint`` says what to do next, and may be empty.
    """

    code = "error"
    hint = ""

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        """Keep the message as the exception's text, and the hint and code where the front doors find them."""
        super().__init__(message)
        if hint:
            self.hint = hint
        if code:
            self.code = code

    @property
    def message(self) -> str:
        """What happened, in lower case, without secrets."""
        return str(self.args[0])


class UrlError(IndexpassError):
    """The text is not a URL that may carry a credential."""

    code = "url-invalid"


class ConfigError(IndexpassError):
    """A configuration file or variable is wrong; the message names the file and the key."""

    code = "config-invalid"


class ExtraMissing(ConfigError):
    """What the provider is made of is not installed; the hint installs it."""

    code = "extra-missing"


class IdentityError(IndexpassError):
    """An identity source applies here, but cannot produce a token."""

    code = "identity-unavailable"


class SessionError(IndexpassError):
    """A person has to sign in: there is no session at this broker, or it has ended."""

    code = "sign-in-needed"


class BrokerError(IndexpassError):
    """Asking the broker did not yield a credential."""

    code = "broker-error"


class BrokerUnreachable(BrokerError):
    """The broker did not answer in time, or asked to come back later.

    ``retry_after`` is the number of seconds that the broker asked to wait, or None. ``is_cut_off`` says that the
    connection broke before an answer came: nobody knows what was done, and another broker behind the same name may
    answer at once.
    """

    code = "broker-unreachable"

    def __init__(
        self, message: str, *, hint: str = "", retry_after: float | None = None, is_cut_off: bool = False
    ) -> None:
        """Keep beside the message when, and whether at once, it is worth another try."""
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.is_cut_off = is_cut_off


class BrokerRefused(BrokerError):
    """The broker understood the request and said no.

    ``reason`` is the OAuth error code (RFC 6749 section 5.2, RFC 8628 section 3.5, RFC 8693 section 2.2.2).
    """

    code = "broker-refused"

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        """Keep the OAuth error code beside the message."""
        super().__init__(message, hint=hint)
        self.reason = reason


class BrokerMisbehaved(BrokerError):
    """The answer is too large, redirects, is not JSON, or is not what the protocol says."""

    code = "broker-misbehaved"


class IndexRefused(IndexpassError):
    """The index answered a request that carried our credential, and did not take it.

    Where it says why, ``code`` is more exact (see :mod:`indexpass._diagnose`).
    """

    code = "index-refused"


class StoreError(IndexpassError):
    """Credentials or sessions cannot be read from or written to this disk safely."""

    code = "store-unsafe"
