"""Responses of `erase`."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response


class ErasedPlaceRow(Response, frozen=True, kw_only=True):
    """A place with data of the subject, and what happens to it.

    `what` is `rows`, `raw`, `quarantine`, `log`, `delivery`, `export`, `files`, `file`, `state`,
    `environment` or `backup`. `partitions` are the keys of rows that readers see. `rows` is null
    where rows aren't counted, and 0 if only earlier versions have some.
    """

    node: str
    what: str
    partitions: list[str]
    rows: int | None
    action: str
    """`erased` or `kept`."""
    why: str


class EraseResponse(Response, frozen=True, kw_only=True):
    """`erase`: the plan, or what was done.

    `certificate` is the path of the certificate, null before the erasure is complete.
    """

    now: datetime
    clock: str
    subject: str
    """The name by which the subject is recorded: a keyed hash."""
    plan_id: str
    state: str
    """`planned`, `declined` or `erased`."""
    places: list[ErasedPlaceRow]
    certificate: str | None
    erasure: int | None = None


class ErasureStepResponse(Response, frozen=True, kw_only=True):
    """Confirms a step of an erasure; `outdated` if the table has changed since it was searched."""

    erasure: int
    outdated: bool = False
