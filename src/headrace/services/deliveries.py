"""`deliveries`: what arrived at a source, when, its outcome, and what the first delivery taught."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from headrace.access.permissions import SEE, command
from headrace.connect import SourceSchema
from headrace.connect.deliveries import AlmostTyped, Disagreement
from headrace.incidents.evidence.arrivals import expected_by, usual_delay
from headrace.model import Project, Source, UsageError
from headrace.model.file_names import visible_hash, visible_name
from headrace.model.masks import column_classes
from headrace.model.partitions import SEPARATOR
from headrace.project import targets
from headrace.project.parameters import Argument, Option
from headrace.project.session import ProjectSession
from headrace.responses import ColumnRow, DisagreedRow, LearntRow, Response
from headrace.store import Transaction
from headrace.store.queries import deliveries as stored
from headrace.store.queries import ingestion
from headrace.store.queries.deliveries import DeliveryOutcome

# The schema learnt from the first publication of a source, and from which deliveries.

BY_CONTRACT = "contract"
Named = TypeVar("Named", bound="Disagreement | AlmostTyped")
SEPARATED = ("csv",)
"""Kinds of files whose columns a delimiter separates."""
_TEXT = ("csv", "fixed_width")
_FORMATS = {
    "csv": "CSV", "fixed_width": "fixed width", "jsonl": "JSON lines", "json": "JSON", "xml": "XML",
    "parquet": "Parquet", "excel": "Excel",
}  # fmt: skip
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def learned_sources(
    tx: Transaction, project: Project | None, sources: Iterable[str]
) -> list[LearntRow]:
    """Return the learnt schemas of the sources that have one, in the order of `sources`."""
    rows = (learned_source(tx, project, source) for source in sources)
    return [row for row in rows if row is not None]


def learned_source(tx: Transaction, project: Project | None, source: str) -> LearntRow | None:
    """Return a source's learnt schema.

    Return None if the schema isn't pinned, or if its origin wasn't recorded.
    """
    text = ingestion.pinned_schema(tx, source)
    return (
        None
        if text is None
        else learned_schema(project, source, msgspec.json.decode(text, type=SourceSchema))
    )


def with_visible_names(project: Project | None, source: str, schema: SourceSchema) -> SourceSchema:
    """Return a pinned schema with the names of its deliveries as they may be shown.

    Values of columns that are classified since it was learnt are left out.
    """
    lesson = schema.lesson
    if lesson is None:
        return schema

    def named(items: tuple[Named, ...]) -> tuple[Named, ...]:
        return tuple(
            msgspec.structs.replace(item, delivery=visible_name(project, source, item.delivery))
            for item in items
        )

    classified = column_classes(project, source) if project is not None else {}

    def valued(items: tuple[Named, ...]) -> tuple[Named, ...]:
        return tuple(
            msgspec.structs.replace(item, value="") if item.column.lower() in classified else item
            for item in named(items)
        )

    lesson = msgspec.structs.replace(
        lesson,
        deliveries=tuple(visible_name(project, source, path) for path in lesson.deliveries),
        disagreed=valued(lesson.disagreed),
        almost=valued(lesson.almost),
    )
    pinned_by = schema.pinned_by
    if pinned_by and pinned_by != BY_CONTRACT:
        pinned_by = visible_name(project, source, pinned_by)
    return msgspec.structs.replace(schema, lesson=lesson, pinned_by=pinned_by)


def learned_schema(project: Project | None, source: str, schema: SourceSchema) -> LearntRow | None:
    """Return the learnt schema from a pinned one; None if its origin wasn't recorded."""
    schema = with_visible_names(project, source, schema)
    lesson, form = schema.lesson, schema.format
    if lesson is None:
        return None
    return LearntRow(
        source=source,
        read_as=read_as(schema),
        by=BY_CONTRACT if schema.pinned_by == BY_CONTRACT else "deliveries",
        format=form.kind,
        encoding=lesson.encoding,
        declared_encoding=lesson.declared_encoding or None,
        delimiter=form.delimiter if form.kind in SEPARATED else None,
        header=lesson.header,
        decimal=form.decimal,
        date_format=form.date_format,
        timestamp_format=form.timestamp_format,
        columns=[ColumnRow(name=column.name, type=column.type) for column in schema.columns],
        deliveries=list(lesson.deliveries),
        disagreed=[_disagreed(disagreement) for disagreement in lesson.disagreed],
        undecided=list(lesson.undecided),
        warnings=list(lesson.warnings),
        attempt=lesson.attempt,
    )


def read_as(schema: SourceSchema) -> str:
    """Return the format in words.

    For example `CSV, UTF-8, semicolon, header, decimal comma, dates %d.%m.%Y`.
    """
    lesson, form = schema.lesson, schema.format
    words = [_FORMATS.get(form.kind, form.kind)]
    if lesson is not None and form.kind in _TEXT:
        words.append(lesson.encoding.upper())
    if lesson is not None and form.kind in SEPARATED:
        words.append(_DELIMITERS.get(form.delimiter, repr(form.delimiter)))
        words.append("header" if lesson.header else "no header")
    if form.decimal == ",":
        words.append("decimal comma")
    words += [f"dates {item}" for item in (form.date_format, form.timestamp_format) if item]
    return ", ".join(words)


def _disagreed(disagreement: Disagreement) -> DisagreedRow:
    return DisagreedRow(
        delivery=disagreement.delivery,
        column=disagreement.column or None,
        type=disagreement.type or None,
        value=disagreement.value or None,
        line=disagreement.line,
        text=disagreement.text,
    )


class Received(Response, frozen=True, kw_only=True):
    """The person who handed in a delivery by hand, and the reason; `file` is its original path."""

    actor: str
    reason: str
    file: str


class DeliveryRow(Response, frozen=True, kw_only=True):
    """One delivery.

    `at` is its arrival. `expected_at` is when its interval's delivery was expected at the latest:
    by declaration (`promised`), else from past arrivals, null if unknown. `claimed_at` is the
    file's own time.

    `state` is `waiting`, `published`, `held`, `rejected`, `dropped`, `failed` or `superseded`. If
    there are several files, `path` is the first one and `files` their number. `rows` is the number
    of published or quarantined rows, null if unknown. `sha256` is null for a source with classified
    columns.
    """

    node: str
    partition: str
    state: str
    verdict: str | None
    at: datetime
    expected_at: datetime | None
    promised: bool
    reason: str | None
    path: str
    files: int
    size_bytes: int | None
    rows: int | None
    claimed_at: datetime
    observed_at: datetime
    sha256: str | None
    received: Received | None
    learnt: LearntRow | None = None
    """For the first published delivery: the schema learnt from it."""


@command(
    "deliveries",
    SEE,
    of="source",
    http="GET /deliveries/{source} deliveries",
    session="deliveries",
)
def deliveries(
    session: ProjectSession,
    source: Annotated[str, Argument("SOURCE", help="`headrace ls 'source:*'` lists them")],
    *,
    limit: Annotated[
        int,
        Option("--limit", metavar="N", help="deliveries listed, newest interval first"),
        Meta(ge=1, le=1_000),
    ] = 30,
) -> list[DeliveryRow]:
    """Return the deliveries of the newest intervals, newest first.

    Raise UsageError if it isn't a source.
    """
    project = session.project()
    node = project.node(source)
    if not isinstance(node, Source):
        raise (
            targets.unknown(source, list(project.sources))
            if node is None
            else UsageError(
                f"{source} is no source: nothing is delivered to it",
                hint=f"one of {', '.join(list(project.sources)[:12])}",
            )
        )
    if session.store is None:
        return []
    with session.store.read() as tx:
        expected = _expected(session, tx, source)
        learnt = learned_source(tx, project, source)
        return [
            _row(session, arrival, expected, learnt)
            for arrival in stored.arrivals(tx, source, limit=limit)
        ]


def _expected(
    session: ProjectSession, tx: Transaction, source: str
) -> Callable[[str], tuple[int | None, bool]]:
    """Return a function: interval → when its delivery is due, and whether that is declared."""
    node = session.declared_promises.nodes.get(source) if session.compiled is not None else None
    if node is None or node.partition.grain is None or node.partition.by_delivery:
        return lambda _: (None, False)
    promised = node.expect_by is not None
    delay = None if promised else usual_delay(tx, node)
    return lambda key: (expected_by(node, key.partition(SEPARATOR)[0], delay), promised)


def _row(
    session: ProjectSession,
    outcome: DeliveryOutcome,
    expected: Callable[[str], tuple[int | None, bool]],
    learnt: LearntRow | None,
) -> DeliveryRow:
    by, promised = expected(outcome.partition)
    path = visible_name(session.project(), outcome.source, outcome.path)
    refused = outcome.state if outcome.state in ("held", "rejected") else None
    return DeliveryRow(
        node=outcome.source,
        partition=outcome.partition,
        state=outcome.state,
        verdict=outcome.verdict or refused,
        at=session.instant(outcome.arrived_at),
        expected_at=None if by is None else session.instant(by),
        promised=promised,
        reason=outcome.reason,
        path=path,
        files=len(msgspec.json.decode(outcome.parts)) if outcome.parts else 1,
        size_bytes=None if outcome.size_bytes < 0 else outcome.size_bytes,
        rows=outcome.rows,
        claimed_at=session.instant(outcome.claimed_at),
        observed_at=session.instant(outcome.observed_at),
        sha256=visible_hash(session.project(), outcome.source, outcome.sha256),
        received=msgspec.json.decode(outcome.received, type=Received) if outcome.received else None,
        learnt=learnt if learnt is not None and learnt.deliveries[0] == path else None,
    )
