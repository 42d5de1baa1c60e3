"""The documents of `versions`."""

from __future__ import annotations

from datetime import datetime

from headrace.operations.responses.base import Response


class VersionFileRow(Response, frozen=True, kw_only=True):
    """A file of a version, with the SHA-256 of the bytes that are stored."""

    path: str
    sha256: str


class VersionRow(Response, frozen=True, kw_only=True):
    """A version of the project: who put it into force, when, by which plan (null: before plans had ids), and its files."""

    version: int
    plan_id: str | None
    by: str
    at: datetime
    files: list[VersionFileRow]
