"""Base class of all responses, rows that many of them share, and their encoding as JSON."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all documents: immutable, encodable as JSON, no field is ever left out."""

    values_of_rows: ClassVar[tuple[str, ...]] = ()
    """Fields that are values of rows, or have them: hidden from whoever may not read rows."""


class ErrorRow(Response, frozen=True, kw_only=True):
    """Why an attempt failed, in the user's terms. `code` has a page (`headrace explain CODE`) where
    it isn't null."""

    kind: str
    message: str
    file: str | None = None
    line: int | None = None
    hint: str | None = None
    code: str | None = None


class ColumnRow(Response, frozen=True, kw_only=True):
    """A column by name and DuckDB type."""

    name: str
    type: str


class CheckRow(Response, frozen=True, kw_only=True):
    """What one check came to. `outcome` is `passed`, `failed` or `unchecked`."""

    name: str
    kind: str
    severity: str
    outcome: str
    rows: int
    failing: int
    detail: str = ""
    sample: list[dict[str, Any]] = []


class RepairRow(Response, frozen=True, kw_only=True):
    """What repairs partitions of one node that didn't get through: what a person does before (null:
    nothing), and what is typed then, one command after the other."""

    node: str
    partitions: list[str]
    first: str | None
    commands: list[str]
    incident: str | None = None
    """In `status`: the open incident that these partitions are put down to; its repair
    is theirs."""


# The code of an asset in responses: its files, its packages, and the versions that a table holds.


class CodeFileRow(Response, frozen=True, kw_only=True):
    """A file of an asset's code. `sha256` is of its bytes; `via` are the lines through which the
    asset uses it, null for its own.
    """

    path: str
    sha256: str | None
    via: str | None


class PackageRow(Response, frozen=True, kw_only=True):
    """An installed package. `version` is null for one that isn't installed."""

    name: str
    version: str | None


class ProgramRow(Response, frozen=True, kw_only=True):
    """A program that an attempt ran, what interprets it, or its script. `name` is how it is called;
    `path` is where it lies (links followed; relative for a file of the project), null for one that
    wasn't there; `version` is a Python's."""

    name: str
    path: str | None
    sha256: str | None
    version: str | None


class CodeRow(Response, frozen=True, kw_only=True):
    """The code of an asset, or of an attempt at it. `packages` are those that the code imports and
    those of `code_packages`; of an attempt as they were installed where it ran, with its
    `interpreter`, and with the `programs` of a command."""

    fingerprint: str
    files: list[CodeFileRow]
    packages: list[PackageRow]
    secrets: list[str]
    """Names of the environment variables that hold its secrets."""
    interpreter: str | None = None
    programs: list[ProgramRow] = []


class PublishedCodeRow(Response, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Partitions in a table that one version of the code computed. `fingerprint` is null where the
    version isn't known any more; `versions` are those of the project that published them."""

    fingerprint: str | None
    versions: list[int]
    partitions: int
    from_: str
    to: str


# `--json` and HTTP give the same bytes.


def encoded(response: Any) -> bytes:
    """A document as JSON. File names that aren't UTF-8 become lone escapes, which JSON can hold."""
    try:
        return msgspec.json.encode(response)
    except UnicodeEncodeError:
        import json

        return json.dumps(msgspec.to_builtins(response)).encode()
