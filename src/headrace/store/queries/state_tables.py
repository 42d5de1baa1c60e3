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
    """A column: its type, what it means, and what makes its value of what is stored.

    `type` is `text`, `texts`, `integer`, `number`, `boolean` or `time` (microseconds).
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
_NODE = StateColumn("text", "source, asset or consumer (of an export)")
_PARTITION = StateColumn("text", "its partition's key, `*` if there is one only")
_ATTEMPT = StateColumn("text", "id of the attempt, as `headrace logs` takes it")
_ROWS = StateColumn("integer", "rows")
_SLOT_SECONDS = StateColumn(
    "number",
    "seconds for which it held a slot",
    lambda measures: work_of(measures).slot_us / 1_000_000,
)
_READ_BYTES = StateColumn(
    "integer",
    "bytes that it read",
    lambda measures: work_of(measures).bytes_read,
)

TABLES: dict[str, StateTable] = {
    "attempts": StateTable(
        "an attempt to ingest, compute or export partitions of a node",
        {
            "attempt": _ATTEMPT,
            "run": StateColumn("integer", "its run"),
            "node": _NODE,
            "kind": StateColumn("text", "`ingest`, `compute` or `export`"),
            "partitions": StateColumn("texts", "keys of its partitions", _TEXTS),
            "state": StateColumn(
                "text", "how it ended: `published`, `held`, `failed` …; or `queued`, `running`"
            ),
            "verdict": StateColumn("text", "what its checks came to"),
            "reason": StateColumn("text", "why it is in this state", plain),
            "queued_at": StateColumn("time", "when it was queued"),
            "started_at": StateColumn("time", "when it started"),
            "finished_at": StateColumn("time", "when it ended"),
            "published_at": StateColumn(
                "time", "when it published its rows; null where a person accepted them"
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
            "name": StateColumn("text", "the check's name"),
            "kind": StateColumn("text", "its kind"),
            "severity": StateColumn("text", "`blocking` or `warning`"),
            "outcome": StateColumn("text", "`passed`, `failed` …"),
            "rows": StateColumn("integer", "rows that it looked at"),
            "failing": StateColumn("integer", "rows that failed"),
            "detail": StateColumn("text", "what it found", plain),
            "checked_at": StateColumn("time", "when"),
        },
        "select epoch || '.' || n, node, partition, name, kind, severity, outcome, rows,"
        " failing, detail, at from check_result order by epoch, n, partition, name",
    ),
    "costs": StateTable(
        "what an attempt that ended took (rates and storage: `headrace costs`)",
        {
            "attempt": _ATTEMPT,
            "run": StateColumn("integer", "its run"),
            "backfill": StateColumn("integer", "the backfill of its run, if it is of one"),
            "node": _NODE,
            "state": StateColumn("text", "how it ended"),
            "finished_at": StateColumn("time", "when it ended"),
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
            "source": StateColumn("text", "the source"),
            "partition": _PARTITION,
            "path": StateColumn("text", "its (first) file, table or address"),
            "size_bytes": StateColumn("integer", "its size"),
            "state": StateColumn("text", "`waiting`, `published`, `held`, `rejected` …"),
            "reason": StateColumn("text", "why it is in this state", plain),
            "claimed_at": StateColumn("time", "its own time: of the file, of the response"),
            "arrived_at": StateColumn("time", "when it arrived"),
            "observed_at": StateColumn("time", "when Headrace saw it"),
            "sha256": StateColumn(
                "text", "hash of its bytes, once it was read (null if it has classified columns)"
            ),
        },
        "select source, partition, path, size_bytes, state, reason, claimed_at, arrived_at,"
        " observed_at, sha256 from delivery order by id",
    ),
    "incidents": StateTable(
        "an incident: one cause",
        {
            "incident": StateColumn("text", "its id", display_id),
            "state": StateColumn("text", "`open`, `recovering` or `resolved`"),
            "kind": StateColumn("text", "kind of its cause"),
            "node": StateColumn("text", "where the cause is"),
            "partition": StateColumn(
                "text",
                "the first partition where it is seen, `*` if there is one only, or none",
                lambda key: key or WHOLE,
            ),
            "owner": StateColumn("text", "whose it is"),
            "summary": StateColumn("text", "the cause in one clause", plain),
            "began_at": StateColumn("time", "the earliest evidence"),
            "opened_at": StateColumn("time", "when it was opened"),
            "restored_at": StateColumn(
                "time", "when it was over: all affected were served, or its cause was gone"
            ),
            "resolved_at": StateColumn("time", "when it was resolved"),
            "recurrence_of": StateColumn("text", "the incident that it repeats", display_id),
        },
        "select id, state, kind, node, partition, owner, summary, began_at, opened_at, restored_at,"
        " resolved_at, recurrence_of from incident order by id",
    ),
    "lineage": StateTable(
        "a column on which a column of an asset depends, in the applied version",
        {
            "node": StateColumn("text", "the asset"),
            "output": StateColumn("text", "its column; null: all of them, by the rows that it has"),
            "input": StateColumn("text", "the source or asset that it reads"),
            "input_column": StateColumn("text", "its column; `*` if its columns aren't known"),
            "transformation": StateColumn("text", "`identity`, `cast`, `aggregate`, `filter` …"),
        },
        "",
    ),
    "obligations": StateTable(
        "what a consumer was due: an interval with its deadline",
        {
            "consumer": StateColumn("text", "the consumer"),
            "interval": StateColumn("text", "the interval"),
            "due_at": StateColumn("time", "the deadline"),
            "met_at": StateColumn("time", "when it was met; null: not yet"),
            "waived_at": StateColumn("time", "when somebody waived it"),
            "kept": StateColumn("boolean", "whether it was met in time; null: not due yet", bool),
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
            "state": StateColumn("text", "`published`, `held`, `failed`, `waiting`, `missing` …"),
            "stale": StateColumn("boolean", "whether an input or its code is newer", bool),
            "readable": StateColumn("boolean", "whether readers see rows of it", bool),
            "reason": StateColumn("text", "why it is in this state", plain),
            "since": StateColumn("time", "since when"),
        },
        "select node, partition, state, stale, case when publication_id is null then 0 else 1 end,"
        " reason, since from partition order by node, partition",
    ),
    "publications": StateTable(
        "a publication of a partition: what readers saw, from when until when",
        {
            "publication": StateColumn("integer", "its number"),
            "attempt": _ATTEMPT,
            "node": _NODE,
            "partition": _PARTITION,
            "snapshot": StateColumn("integer", "the snapshot that began with it"),
            "published_at": StateColumn("time", "from when on readers saw it"),
            "ended_at": StateColumn("time", "until when; null: they see it now"),
            "rows": _ROWS,
            "bytes": StateColumn("integer", "bytes of its files"),
            "verdict": StateColumn("text", "what its checks came to"),
            "identical": StateColumn(
                "boolean", "whether its rows are those of the one before", bool
            ),
            "version": StateColumn("integer", "the applied version that made it"),
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
                "text", "`held`, `rejected`, `released`, `dropped` or `superseded`"
            ),
            "reason": StateColumn("text", "why it isn't published", plain),
            "rows": _ROWS,
            "withheld_at": StateColumn("time", "since when"),
            "decided_at": StateColumn("time", "when somebody decided on it"),
        },
        "select epoch || '.' || n, node, partition, state, reason, rows, at, decided_at from"
        " quarantine order by id",
    ),
    "runs": StateTable(
        "a run",
        {
            "run": StateColumn("integer", "its number"),
            "kind": StateColumn("text", "the command: `run`, `tick` …"),
            "state": StateColumn("text", "`running`, `succeeded`, `partial`, `failed` …"),
            "actor": StateColumn("text", "who asked for it"),
            "started_at": StateColumn("time", "when it began"),
            "finished_at": StateColumn("time", "when it ended"),
            "cancelled_at": StateColumn("time", "when somebody cancelled it"),
            "cancelled_by": StateColumn("text", "who"),
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
