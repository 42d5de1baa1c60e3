"""The documents of commands that begin a project, list it, check it and explain: `init`, `demo`, `validate`, `ls`, `explain`."""

from __future__ import annotations

from datetime import datetime

from headrace.operations.responses.base import Response
from headrace.operations.responses.code import CodeRow


class Counts(Response, frozen=True, kw_only=True):
    """How many of each kind a project declares."""

    sources: int
    assets: int
    consumers: int
    contracts: int


class ProblemRow(Response, frozen=True, kw_only=True):
    """One problem of a declaration. `severity` is `error` or `warning`, `line` counts from 1."""

    severity: str
    code: str
    message: str
    hint: str
    file: str
    line: int


class BindingCounts(Response, frozen=True, kw_only=True):
    """How many SQL statements DuckDB has bound, of bodies, checks and conditions; `left` are bound by the next `validate`."""

    statements: int
    bound: int
    left: int


class ValidateResponse(Response, frozen=True, kw_only=True):
    """`validate`: every problem at once; `ok` is false as soon as one of them is an error."""

    ok: bool
    counts: Counts
    problems: list[ProblemRow]
    binding: BindingCounts | None = None


class NodeRow(Response, frozen=True, kw_only=True):
    """One line of `ls`. `kind` is `source`, `asset` or `consumer`, `body` is `sql`, `python`, `command` or null."""

    name: str
    kind: str
    body: str | None
    owner: str
    domain: str | None
    partition: str | None
    """`*`, a grain, `key:region`, or `day,key:region`; null for consumers."""
    tags: list[str]
    file: str
    code: CodeRow | None = None
    """Of an asset: its code as the files are now."""


class InitResponse(Response, frozen=True, kw_only=True):
    """`init`: what was written, and what to type next."""

    directory: str
    files: list[str]
    sources: list[str]
    assets: list[str]
    consumers: list[str]
    notes: list[str]
    next: str


class DemoEvent(Response, frozen=True, kw_only=True):
    """One thing of the replay that a person should know. `injected` marks what the demo itself did wrong on purpose."""

    partition: str
    state: str
    node: str
    message: str
    injected: bool = False


class DemoResponse(Response, frozen=True, kw_only=True):
    """`demo`: where it is, what the replay did, where its clock stands. Of `demo resume`: what the days came to that flowed since."""

    directory: str
    now: datetime
    resumed: bool
    """It was there already and wasn't replayed again."""
    counts: Counts
    owners: int
    first: str
    last: str
    days: int
    days_published: int
    rows: int
    """Flights published."""
    seconds: float
    """That the replay took."""
    data: str = ""
    """Where the data comes from, with its licence."""
    data_seconds: float | None = None
    events: list[DemoEvent] = []
    fault: str = "rename"
    """What the vendor does on the 11th of February: `rename` or `none`."""
    went_on: bool = False
    """It was stopped before, and the rest of its days flowed."""
    incidents: int = 0
    """How many were opened in the days that flowed since."""
    next: str | None = None


class Page(Response, frozen=True, kw_only=True):
    """One page of `explain`."""

    code: str
    title: str
    text: str
