"""The code of an asset as documents show it: which files, which packages, and which of its versions a table holds."""

from __future__ import annotations

from headrace.operations.responses.base import Response


class CodeFileRow(Response, frozen=True, kw_only=True):
    """A file of an asset's code. `sha256` is of its bytes; `via` are the lines through which the asset uses it, null for its own."""

    path: str
    sha256: str | None
    via: str | None


class PackageRow(Response, frozen=True, kw_only=True):
    """An installed package. `version` is null for one that isn't installed."""

    name: str
    version: str | None


class ProgramRow(Response, frozen=True, kw_only=True):
    """A program that an attempt ran, what interprets it, or its script. `name` is how it is called; `path` is
    where it lies (links followed; relative for a file of the project), null for one that wasn't there;
    `version` is a Python's."""

    name: str
    path: str | None
    sha256: str | None
    version: str | None


class CodeRow(Response, frozen=True, kw_only=True):
    """The code of an asset, or of an attempt at it. `packages` are those that the code imports and those of `code_packages`; of an attempt
    as they were installed where it ran, with its `interpreter`, and with the `programs` of a command."""

    fingerprint: str
    files: list[CodeFileRow]
    packages: list[PackageRow]
    secrets: list[str]
    """Names of the environment variables that hold its secrets."""
    interpreter: str | None = None
    programs: list[ProgramRow] = []


class PublishedCodeRow(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Partitions in a table that one version of the code computed. `fingerprint` is null where the version isn't known any more;
    `versions` are those of the project that published them."""

    fingerprint: str | None
    versions: list[int]
    partitions: int
    from_: str
    to: str
