"""Secret: a value that will not print.

A secret is wrapped where it enters the program and revealed where it leaves it. In between, nothing that formats,
logs, compares, copies or pickles it can show it. This module never does anything with a secret but hold it.
"""

from __future__ import annotations

from typing import NoReturn, final

_MASK = "Secret(****)"


@final
class Secret:
    """A string that only :meth:`reveal` shows.

    Two secrets are compared in constant time. A secret cannot be pickled, so it cannot reach a file or another
    process by accident.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap ``value``."""
        self._value = value

    def reveal(self) -> str:
        """Return the value. Call this only where the secret leaves the program, never to log or to compare."""
        return self._value

    def __repr__(self) -> str:
        """Show that something is there, never what."""
        return _MASK

    def __format__(self, spec: str) -> str:
        """Format as the mask, whatever the format asks for."""
        return format(_MASK, spec)

    def __eq__(self, other: object) -> bool:
        """Compare in constant time; unequal to anything that is not a secret."""
        if not isinstance(other, Secret):
            return NotImplemented
        import hmac  # noqa: PLC0415  # every keyring look-up loads this module, and hardly any compares

        # A lone surrogate (an undecodable byte of an environment variable) must compare, not raise with the secret.
        return hmac.compare_digest(
            self._value.encode(errors="surrogatepass"), other._value.encode(errors="surrogatepass")
        )

    __hash__ = None  # type: ignore[assignment]  # a hash would tell equal secrets apart from others for free

    def __bool__(self) -> bool:
        """Is there anything in it?"""
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied by value."""
        msg = "a secret cannot be pickled"
        raise TypeError(msg)

    def __copy__(self) -> Secret:
        """Return itself: a secret does not change."""
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        """Return itself: a secret does not change."""
        return self
