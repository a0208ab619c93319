"""The private packages of the demonstration: small, real, and built by the real tools.

``acme-hello`` is the package that everybody installs; ``acme-report`` is published by Poetry; ``acme-slow`` needs
longer to build than a token lives, and only then asks for ``acme-hello``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HELLO, REPORT, SLOW = "acme-hello", "acme-report", "acme-slow"
BUILD_SECONDS = 8
_PYPROJECT = """\
[project]
name = "{name}"
version = "1.0.0"
description = "A private package"
requires-python = ">=3.10"
dependencies = {dependencies}

[build-system]
requires = ["poetry-core>=2.0"]
build-backend = "{backend}"
{backend_path}

[tool.poetry]
packages = [{{ include = "{module}.py" }}]
include = {include}
"""
_SLOW_BACKEND = """\
import time
from poetry.core.masonry.api import *
from poetry.core.masonry import api

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    time.sleep({seconds})
    return api.prepare_metadata_for_build_wheel(metadata_directory, config_settings)
"""


def write_hello(folder: Path) -> Path:
    """Write the sources of acme-hello and return their folder."""
    return _write(folder, HELLO)


def write_report(folder: Path) -> Path:
    """Write the sources of acme-report and return their folder."""
    return _write(folder, REPORT)


def write_slow(folder: Path, *, seconds: float = BUILD_SECONDS) -> Path:
    """Write the sources of acme-slow, whose metadata take ``seconds`` to prepare, and return their folder."""
    source = _write(folder, SLOW, dependencies=[HELLO], slow=True)
    (source / "slow.py").write_text(_SLOW_BACKEND.format(seconds=seconds), encoding="utf-8")
    return source


def _write(folder: Path, name: str, *, dependencies: list[str] | None = None, slow: bool = False) -> Path:
    module = name.replace("-", "_")
    source = folder / name
    source.mkdir(parents=True)
    pyproject = _PYPROJECT.format(
        name=name,
        module=module,
        dependencies=dependencies or [],
        backend="slow" if slow else "poetry.core.masonry.api",
        backend_path='backend-path = ["."]' if slow else "",
        include='[{ path = "slow.py", format = "sdist" }]' if slow else "[]",
    )
    (source / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    (source / f"{module}.py").write_text(f'print("Hello from {name}.")\n', encoding="utf-8")
    return source
