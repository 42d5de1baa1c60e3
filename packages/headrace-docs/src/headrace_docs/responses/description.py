"""A project as its documentation describes it: what is applied, how it stands, and since when.

All that is written is made of one `Description`, from which everything that its reader may not see
has been taken before. It has no value of a row.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from headrace.extension import ConsumerRow, IncidentRow, ProblemRow, Response


class StepRow(msgspec.Struct, frozen=True, kw_only=True):
    """A column of another node that a column comes from directly, or that comes from it."""

    node: str
    column: str
    transformation: str


class DescribedColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a source or an asset.

    `nulls` and `distinct` are counts in the newest partition that was profiled, of `profiled` rows;
    null without a profile.
    """

    name: str
    type: str | None
    classification: str | None
    masked: bool
    """Whether readers without the right to classified values get it masked or not at all."""
    profiled: int | None = None
    nulls: int | None = None
    distinct: int | None = None
    comes_from: list[StepRow] = []
    goes_into: list[StepRow] = []


class DescribedCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A declared check. `severity` is `blocking` or `warning`.

    `outcome` and `failing`, the number of failing rows, are those of the newest partition; null
    where it wasn't evaluated there.
    """

    name: str
    kind: str
    severity: str
    outcome: str | None = None
    failing: int | None = None


class DescribedContract(msgspec.Struct, frozen=True, kw_only=True):
    """The contract of a node: its name, version and status, and its service levels as text."""

    name: str
    version: str
    status: str
    service: list[str]
    unenforced: list[str]
    """What it says of quality and service without a check that covers it."""


class ReadEdge(msgspec.Struct, frozen=True, kw_only=True):
    """A node beside another, and how it is read: `required`, `all`, `depends` …, or `consumer`."""

    node: str
    mode: str


class DescribedNode(msgspec.Struct, frozen=True, kw_only=True):
    """A source or an asset. `kind` is `source`, or `sql`, `python` or `command` of an asset."""

    name: str
    kind: str
    owner: str
    domain: str | None
    description: str
    tags: list[str]
    partition: str | None
    materialize: str | None
    retain: str | None
    place: str
    """The file of its declaration, and the line."""
    state: str
    """`fresh`, `behind`, `stale` or `never`."""
    newest: str | None
    """The newest partition that readers see."""
    published_at: datetime | None
    rows: int | None
    """Rows of the newest partition."""
    verdict: str | None
    contract: DescribedContract | None
    checks: list[DescribedCheck]
    columns: list[DescribedColumn]
    reads: list[ReadEdge]
    read_by: list[ReadEdge]


class NodeHistory(msgspec.Struct, frozen=True, kw_only=True):
    """When a node was right last, and what it took within the window."""

    passed: str | None = None
    """The newest partition that readers see of which all checks passed."""
    passed_at: datetime | None = None
    """When it was published."""
    attempts: int = 0
    """Those that ended within the window."""
    median_seconds: float | None = None
    """How long half of them took at most; null without any."""
    total_seconds: float = 0.0


class DescribedConsumer(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer: what it was promised, and, as in `status`, whether that was kept."""

    name: str
    domain: str | None
    description: str
    tags: list[str]
    importance: str | None
    place: str
    """The file of its declaration, and the line."""
    standing: ConsumerRow


class DescribedOwner(msgspec.Struct, frozen=True, kw_only=True):
    """A team or vendor of `owners.yaml`."""

    owner: str
    kind: str
    contact: list[str]
    manager: str | None


class UsedColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column that `glossary.yaml` names; `exists` is false where the project has no such."""

    node: str
    column: str
    exists: bool


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """A term of `glossary.yaml`. Without a definition it is only named, or left open."""

    term: str
    definition: str
    see: list[str]
    used_by: list[UsedColumn]


class AppliedChange(msgspec.Struct, frozen=True, kw_only=True):
    """An applied version: who applied which plan, when, and which files it changed."""

    version: int
    at: datetime
    by: str
    plan_id: str | None
    added: list[str]
    changed: list[str]
    removed: list[str]


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """A project as one reader may see it, at one moment."""

    project: str
    env: str
    namespace: str
    """In which OpenLineage knows its jobs and datasets."""
    timezone: str
    at: datetime
    """The moment of which all of it is."""
    observed_at: datetime | None
    """When a source was observed last; null: never, so nothing newer is known."""
    version: int | None
    """The applied version; null: nothing is applied, and this is what the files declare."""
    reader: str
    """Whose rights it was made with: `viewer`, `viewer:domain=sales`, or a name."""
    limited: bool
    """Whether there may be nodes that the reader can't see."""
    window: str
    """Over which time promises are counted, back from `at`."""
    headline: str
    nodes: list[DescribedNode]
    history: dict[str, NodeHistory]
    """What happened to each node that anything happened to."""
    consumers: list[DescribedConsumer]
    owners: list[DescribedOwner]
    incidents: list[IncidentRow]
    """The newest incidents, newest first."""
    terms: list[Term]
    problems: list[ProblemRow]
    """Problems of `glossary.yaml`."""
    changes: list[AppliedChange] | None
    """Newest first; null for a reader who sees only some nodes."""


class SiteResponse(Response, frozen=True, kw_only=True):
    """`docs build`, `publish`, `serve`: where the site is, how large, and of when and for whom.

    `changed` counts the files that are new or differ from the site that was there before, `removed`
    those that are gone.
    """

    folder: str
    """A folder, or the address of one in an object store."""
    pages: int
    bytes: int
    changed: int
    removed: int
    project: str
    at: datetime
    version: int | None
    reader: str
    problems: list[ProblemRow]


class ExchangeResponse(Response, frozen=True, kw_only=True):
    """`docs export`: which files were written, in which format, and of when and for whom."""

    format: str
    folder: str
    files: list[str]
    bytes: int
    project: str
    at: datetime
    version: int | None
    reader: str
