"""Which versions of packages are installed where Headrace runs."""

from __future__ import annotations

from collections.abc import Iterable


def installed(names: Iterable[str]) -> dict[str, str | None]:
    """The version of each distribution, as pip names it; None for one that isn't installed."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str | None:
    from importlib import metadata  # takes longer than most commands, and few projects name packages

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
