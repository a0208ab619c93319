"""The table of providers: by name, where each one's code is, and what may be configured for it.

Adding a platform is one file in ``providers``, and one row here; if its indexes can be known by their URL, a row in
``_known`` as well. This module imports nothing of a platform and never asks any of them anything.
"""

from __future__ import annotations

from typing import NamedTuple


class Platform(NamedTuple):
    """Where a provider's code is (``module:attribute``), and the keys that an index of it needs, or may have.

    ``extra`` is what has to be installed for it: ``pip install 'indexpass[extra]'``; "" is nothing.
    """

    place: str
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    extra: str = ""


PLATFORMS = {
    "broker": Platform("indexpass.providers.broker:BrokerProvider", needs=("broker",)),
}
URL_OPTIONS = frozenset({"broker"})  # those options that are URLs, and have to be as safe as that of an index
