"""The base of the documents that commands give, and the rows that many of them have."""

from __future__ import annotations

from typing import Any

import msgspec


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all documents: immutable, encodable as JSON, no field is ever left out."""


class ErrorRow(Response, frozen=True, kw_only=True):
    """Why an attempt failed, in the user's terms. `code` has a page (`headrace explain CODE`) where it isn't null."""

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
    """What repairs partitions of one node that didn't get through: what a person does before (null: nothing), and what is typed then,
    one command after the other."""

    node: str
    partitions: list[str]
    first: str | None
    commands: list[str]
    incident: str | None = None
    """In `status`: the open incident that these partitions are put down to; its repair is theirs."""
