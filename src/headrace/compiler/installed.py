"""The interpreter and the versions of packages that are installed here."""

from __future__ import annotations

import functools
import platform
from collections.abc import Collection, Iterable, Mapping

from headrace.plan.compiled import Environment


class Installed:
    """Versions of installed distributions, each looked up once."""

    def __init__(self) -> None:
        self._versions: dict[str, str | None] = {}

    def version(self, name: str) -> str | None:
        """Return the version of a distribution by its pip name; None if it isn't installed."""
        if name not in self._versions:
            self._versions[name] = _version(name)
        return self._versions[name]

    def named(self, names: Iterable[str]) -> dict[str, str | None]:
        """Return the version of each distribution."""
        return {name: self.version(name) for name in names}

    def imported(self, names: Collection[str]) -> dict[str, str | None]:
        """Return the distributions of top-level names, with their versions.

        Unknown names are left out.
        """
        results = {name: version for name in names if (version := self.version(name)) is not None}
        others = [name for name in names if name not in results]
        known: Mapping[str, list[str]] = _by_import() if others else {}
        return results | self.named(
            sorted({item for name in others for item in known.get(name, ())})
        )


def current_environment(imported: Collection[str], named: Iterable[str]) -> Environment:
    """Return this interpreter, with the distributions of imported names and other named ones."""
    interpreter, here = (
        f"{platform.python_implementation()} {platform.python_version()}",
        Installed(),
    )
    return Environment(interpreter, here.imported(imported) | here.named(named))


def installed_versions(names: Iterable[str]) -> dict[str, str | None]:
    """Return the version of each distribution by its pip name; None if it isn't installed."""
    return Installed().named(names)


@functools.cache
def _by_import() -> Mapping[str, list[str]]:
    """Return top-level names → distributions.

    Slow, since it reads the file lists of all installed ones.
    """
    from importlib import metadata

    return metadata.packages_distributions()


def _version(name: str) -> str | None:
    from importlib import metadata  # slower than most commands, and few projects name packages

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
