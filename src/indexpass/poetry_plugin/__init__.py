"""Front door 2: Poetry's own requests, signed also when Poetry's keyring is off.

``plugin`` is what Poetry loads, ``seams`` lists every name of Poetry that is touched, ``signing`` signs. The plugin
class is loaded on first use, so that the other modules can be imported where there is no Poetry. Importing this
package imports nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexpass.poetry_plugin.plugin import IndexpassPlugin

__all__ = ["IndexpassPlugin"]


def __getattr__(name: str) -> object:
    """Load the plugin class when Poetry's entry point asks for it (PEP 562)."""
    if name != "IndexpassPlugin":
        msg = f"module 'indexpass.poetry_plugin' has no attribute {name!r}"
        raise AttributeError(msg)
    from indexpass.poetry_plugin import plugin

    return plugin.IndexpassPlugin
