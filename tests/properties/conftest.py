"""Property tests make no claim about speed: no deadline, on any machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("indexpass", deadline=None)
settings.load_profile("indexpass")
