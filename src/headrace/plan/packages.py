"""Which interpreter and which versions of packages there are where this runs."""

from __future__ import annotations

import functools
import platform
from collections.abc import Collection, Iterable, Mapping

import msgspec


class Program(msgspec.Struct, frozen=True):
    """A program of a command, or what interprets it. `name` is how it is called; `path` is where it lies,
    links followed, relative for a file of the project, None for one that isn't there. `version` is a
    Python's. `found` is the path before links were followed, of a program outside the project."""

    name: str
    path: str | None
    sha256: str | None
    version: str | None
    found: str | None = None


class Environment(msgspec.Struct, frozen=True):
    """What an asset's code ran with. `packages` are distributions, as pip names them, with their versions;
    `programs` those of a command."""

    interpreter: str
    packages: dict[str, str | None]
    programs: tuple[Program, ...] = ()


class Installed:
    """Versions as they are installed now, each looked up once."""

    def __init__(self) -> None:
        self._versions: dict[str, str | None] = {}

    def version(self, name: str) -> str | None:
        """Of a distribution, as pip names it; None for one that isn't installed."""
        if name not in self._versions:
            self._versions[name] = _version(name)
        return self._versions[name]

    def named(self, names: Iterable[str]) -> dict[str, str | None]:
        """The version of each distribution."""
        return {name: self.version(name) for name in names}

    def imported(self, names: Collection[str]) -> dict[str, str | None]:
        """The distributions that top-level names come from, with their versions; a name that nothing has is left out."""
        results = {name: version for name in names if (version := self.version(name)) is not None}
        others = [name for name in names if name not in results]
        known: Mapping[str, list[str]] = _by_import() if others else {}
        return results | self.named(sorted({item for name in others for item in known.get(name, ())}))


def environment(imported: Collection[str], named: Iterable[str]) -> Environment:
    """This process's interpreter, with the distributions of top-level names that are imported, and others that are named."""
    interpreter, here = f"{platform.python_implementation()} {platform.python_version()}", Installed()
    return Environment(interpreter, here.imported(imported) | here.named(named))


def installed(names: Iterable[str]) -> dict[str, str | None]:
    """The version of each distribution, as pip names it; None for one that isn't installed."""
    return Installed().named(names)


@functools.cache
def _by_import() -> Mapping[str, list[str]]:
    """Takes a while: it reads the list of files of everything that is installed."""
    from importlib import metadata

    return metadata.packages_distributions()


def _version(name: str) -> str | None:
    from importlib import metadata  # takes longer than most commands, and few projects name packages

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
