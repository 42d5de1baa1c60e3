"""The state as tables for queries: `headrace sql "from headrace.runs"`.

What a table or a column is called and means is part of the interface: columns may be added, and
none changes its meaning. `docs/reference/state-tables.md` is written from these declarations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from headrace.model.partitions import WHOLE
from headrace.model.texts import plain
from headrace.store.queries.costs import work_of
from headrace.store.queries.incidents import display_id
from headrace.store.transaction import Transaction


class StateColumn(NamedTuple):
    """A column: its type in SQL, what it means, and what makes its value of what is stored.

    Times are stored as microseconds.
    """

    type: str
    meaning: str
    value: Callable[[Any], Any] | None = None


class StateTable(NamedTuple):
    """A table: what a row is, its columns, and the query that gives them in this order."""

    row: str
    columns: dict[str, StateColumn]
    select: str


_TEXTS = msgspec.json.Decoder(list[str]).decode
_NODE = StateColumn("VARCHAR", "source, asset or consumer (of an export)")
_PARTITION = StateColumn("VARCHAR", "its partition's key, `*` if there is one only")
_ATTEMPT = StateColumn("VARCHAR", "id of the attempt, as `headrace logs` takes it")
_ROWS = StateColumn("BIGINT", "rows")
_SLOT_SECONDS = StateColumn(
    "DOUBLE",
    "seconds for which it held a slot",
    lambda measures: work_of(measures).slot_us / 1_000_000,
)
_READ_BYTES = StateColumn(
    "BIGINT",
    "bytes that it read",
    lambda measures: work_of(measures).bytes_read,
)

TABLES: dict[str, StateTable] = {
    "attempts": StateTable(
        "an attempt to ingest, compute or export partitions of a node",
        {
            "attempt": _ATTEMPT,
            "run": StateColumn("BIGINT", "its run"),
            "node": _NODE,
            "kind": StateColumn("VARCHAR", "`ingest`, `compute` or `export`"),
            "partitions": StateColumn("VARCHAR[]", "keys of its partitions", _TEXTS),
            "state": StateColumn(
                "VARCHAR", "how it ended: `published`, `held`, `failed` …; or `queued`, `running`"
            ),
            "verdict": StateColumn("VARCHAR", "what its checks came to"),
            "reason": StateColumn("VARCHAR", "why it is in this state", plain),
            "queued_at": StateColumn("TIMESTAMPTZ", "when it was queued"),
            "started_at": StateColumn("TIMESTAMPTZ", "when it started"),
            "finished_at": StateColumn("TIMESTAMPTZ", "when it ended"),
            "published_at": StateColumn(
                "TIMESTAMPTZ", "when it published its rows; null where a person accepted them"
            ),
            "slot_seconds": _SLOT_SECONDS,
            "read_bytes": _READ_BYTES,
        },
        "select epoch || '.' || n, run_id, node, case kind when 'take_in' then 'ingest' when"
        " 'produce' then 'compute' else kind end, partitions, state, verdict, reason, queued_at,"
        " started_at, finished_at, published_at, measures, measures from attempt order by epoch, n",
    ),
    "checks": StateTable(
        "the result of a check on a partition in an attempt",
        {
            "attempt": _ATTEMPT,
            "node": _NODE,
            "partition": _PARTITION,
            "name": StateColumn("VARCHAR", "the check's name"),
            "kind": StateColumn("VARCHAR", "its kind"),
            "severity": StateColumn("VARCHAR", "`blocking` or `warning`"),
            "outcome": StateColumn("VARCHAR", "`passed`, `failed` …"),
            "rows": StateColumn("BIGINT", "rows that it looked at"),
            "failing": StateColumn("BIGINT", "rows that failed"),
            "detail": StateColumn("VARCHAR", "what it found", plain),
            "checked_at": StateColumn("TIMESTAMPTZ", "when"),
        },
        "select epoch || '.' || n, node, partition, name, kind, severity, outcome, rows,"
        " failing, detail, at from check_result order by epoch, n, partition, name",
    ),
    "costs": StateTable(
        "what an attempt that ended took (rates and storage: `headrace costs`)",
        {
            "attempt": _ATTEMPT,
            "run": StateColumn("BIGINT", "its run"),
            "backfill": StateColumn("BIGINT", "the backfill of its run, if it is of one"),
            "node": _NODE,
            "state": StateColumn("VARCHAR", "how it ended"),
            "finished_at": StateColumn("TIMESTAMPTZ", "when it ended"),
            "slot_seconds": _SLOT_SECONDS,
            "read_bytes": _READ_BYTES,
        },
        "select a.epoch || '.' || a.n, a.run_id, r.plan_id, a.node, a.state, a.finished_at,"
        " a.measures, a.measures from attempt a join run r on r.id = a.run_id where a.finished_at"
        " is not null order by a.epoch, a.n",
    ),
    "deliveries": StateTable(
        "a delivery of a source",
        {
            "source": StateColumn("VARCHAR", "the source"),
            "partition": _PARTITION,
            "path": StateColumn("VARCHAR", "its (first) file, table or address"),
            "size_bytes": StateColumn("BIGINT", "its size"),
            "state": StateColumn("VARCHAR", "`waiting`, `published`, `held`, `rejected` …"),
            "reason": StateColumn("VARCHAR", "why it is in this state", plain),
            "claimed_at": StateColumn("TIMESTAMPTZ", "its own time: of the file, of the response"),
            "arrived_at": StateColumn("TIMESTAMPTZ", "when it arrived"),
            "observed_at": StateColumn("TIMESTAMPTZ", "when Headrace saw it"),
            "sha256": StateColumn(
                "VARCHAR", "hash of its bytes, once it was read (null if it has classified columns)"
            ),
        },
        "select source, partition, path, size_bytes, state, reason, claimed_at, arrived_at,"
        " observed_at, sha256 from delivery order by id",
    ),
    "incidents": StateTable(
        "an incident: one cause",
        {
            "incident": StateColumn("VARCHAR", "its id", display_id),
            "state": StateColumn("VARCHAR", "`open`, `recovering` or `resolved`"),
            "kind": StateColumn("VARCHAR", "kind of its cause"),
            "node": StateColumn("VARCHAR", "where the cause is"),
            "partition": StateColumn(
                "VARCHAR",
                "the first partition where it is seen, `*` if there is one only, or none",
                lambda key: key or WHOLE,
            ),
            "owner": StateColumn("VARCHAR", "whose it is"),
            "summary": StateColumn("VARCHAR", "the cause in one clause", plain),
            "began_at": StateColumn("TIMESTAMPTZ", "the earliest evidence"),
            "opened_at": StateColumn("TIMESTAMPTZ", "when it was opened"),
            "restored_at": StateColumn(
                "TIMESTAMPTZ", "when it was over: all affected were served, or its cause was gone"
            ),
            "resolved_at": StateColumn("TIMESTAMPTZ", "when it was resolved"),
            "recurrence_of": StateColumn("VARCHAR", "the incident that it repeats", display_id),
        },
        "select id, state, kind, node, partition, owner, summary, began_at, opened_at, restored_at,"
        " resolved_at, recurrence_of from incident order by id",
    ),
    "lineage": StateTable(
        "a column on which a column of an asset depends, in the applied version",
        {
            "node": StateColumn("VARCHAR", "the asset"),
            "output": StateColumn(
                "VARCHAR", "its column; null: all of them, by the rows that it has"
            ),
            "input": StateColumn("VARCHAR", "the source or asset that it reads"),
            "input_column": StateColumn("VARCHAR", "its column; `*` if its columns aren't known"),
            "transformation": StateColumn("VARCHAR", "`identity`, `cast`, `aggregate`, `filter` …"),
        },
        "",
    ),
    "obligations": StateTable(
        "what a consumer was due: an interval with its deadline",
        {
            "consumer": StateColumn("VARCHAR", "the consumer"),
            "interval": StateColumn("VARCHAR", "the interval"),
            "due_at": StateColumn("TIMESTAMPTZ", "the deadline"),
            "met_at": StateColumn("TIMESTAMPTZ", "when it was met; null: not yet"),
            "waived_at": StateColumn("TIMESTAMPTZ", "when somebody waived it"),
            "kept": StateColumn("BOOLEAN", "whether it was met in time; null: not due yet", bool),
        },
        "select consumer, interval, due_at, met_at, waived_at, case when met_at is not null and"
        " met_at <= due_at then 1 when due_at <= :now then 0 end from obligation order by"
        " consumer, interval",
    ),
    "partitions": StateTable(
        "the current state of a partition, from its first delivery or attempt on",
        {
            "node": _NODE,
            "partition": _PARTITION,
            "state": StateColumn(
                "VARCHAR", "`published`, `held`, `failed`, `waiting`, `missing` …"
            ),
            "stale": StateColumn("BOOLEAN", "whether an input or its code is newer", bool),
            "readable": StateColumn("BOOLEAN", "whether readers see rows of it", bool),
            "reason": StateColumn("VARCHAR", "why it is in this state", plain),
            "since": StateColumn("TIMESTAMPTZ", "since when"),
        },
        "select node, partition, state, stale, case when publication_id is null then 0 else 1 end,"
        " reason, since from partition order by node, partition",
    ),
    "publications": StateTable(
        "a publication of a partition: what readers saw, from when until when",
        {
            "publication": StateColumn("BIGINT", "its number"),
            "attempt": _ATTEMPT,
            "node": _NODE,
            "partition": _PARTITION,
            "snapshot": StateColumn("BIGINT", "the snapshot that began with it"),
            "published_at": StateColumn("TIMESTAMPTZ", "from when on readers saw it"),
            "ended_at": StateColumn("TIMESTAMPTZ", "until when; null: they see it now"),
            "rows": _ROWS,
            "bytes": StateColumn("BIGINT", "bytes of its files"),
            "verdict": StateColumn("VARCHAR", "what its checks came to"),
            "identical": StateColumn(
                "BOOLEAN", "whether its rows are those of the one before", bool
            ),
            "version": StateColumn("BIGINT", "the applied version that made it"),
        },
        "select id, epoch || '.' || n, node, partition, snapshot, published_at, ended_at,"
        " rows, bytes, verdict, identical, version from publication order by id",
    ),
    "quarantine": StateTable(
        "data that was held or rejected",
        {
            "attempt": _ATTEMPT,
            "node": _NODE,
            "partition": _PARTITION,
            "state": StateColumn(
                "VARCHAR", "`held`, `rejected`, `released`, `dropped` or `superseded`"
            ),
            "reason": StateColumn("VARCHAR", "why it isn't published", plain),
            "rows": _ROWS,
            "withheld_at": StateColumn("TIMESTAMPTZ", "since when"),
            "decided_at": StateColumn("TIMESTAMPTZ", "when somebody decided on it"),
        },
        "select epoch || '.' || n, node, partition, state, reason, rows, at, decided_at from"
        " quarantine order by id",
    ),
    "runs": StateTable(
        "a run",
        {
            "run": StateColumn("BIGINT", "its number"),
            "kind": StateColumn("VARCHAR", "the command: `run`, `tick` …"),
            "state": StateColumn("VARCHAR", "`running`, `succeeded`, `partial`, `failed` …"),
            "actor": StateColumn("VARCHAR", "who asked for it"),
            "started_at": StateColumn("TIMESTAMPTZ", "when it began"),
            "finished_at": StateColumn("TIMESTAMPTZ", "when it ended"),
            "cancelled_at": StateColumn("TIMESTAMPTZ", "when somebody cancelled it"),
            "cancelled_by": StateColumn("VARCHAR", "who"),
        },
        "select id, kind, state, actor, started_at, finished_at, cancelled_at, cancelled_by"
        " from run order by id",
    ),
}


def rows(tx: Transaction, table: str, now_us: int) -> Iterator[list[Any]]:
    """Yield the rows of a table; `lineage` has none here, because it is of the applied code."""
    declared = TABLES[table]
    values = {"now": now_us} if ":now" in declared.select else {}
    functions = [column.value for column in declared.columns.values()]
    for row in tx.execute(declared.select, values) if declared.select else ():
        yield [
            value if function is None or value is None else function(value)
            for function, value in zip(functions, row, strict=True)
        ]
