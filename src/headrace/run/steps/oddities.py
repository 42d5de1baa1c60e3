"""What is odd about what was staged, and what that makes of its audit: held, or published with a warning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from headrace.connect.ingest import PreparedDelivery
from headrace.connect.text import ends_open
from headrace.engine import InputData
from headrace.lake import FileRef, LakeTable, StagedFile
from headrace.lake.relation import relation_sql
from headrace.lake.routing import NOWHERE
from headrace.lake.session import DuckDBSession, quote
from headrace.lake.tables import PARTITION_COLUMN
from headrace.lake.tables import ColumnLookup as FileLookup
from headrace.model import Grain
from headrace.model.required import SEPARATOR
from headrace.quality import Audit, Verdict, metrics
from headrace.quality.anomalies.facts import EXACT
from headrace.quality.anomalies.failed_checks import of_checks
from headrace.quality.anomalies.history import MetricHistory
from headrace.quality.anomalies.judge import EvaluatedPartition, judge
from headrace.quality.anomalies.policy import IGNORE, decided, milder, summed_up, unread
from headrace.quality.facts import Fact, FactSeverity
from headrace.quality.metrics import REPEATED_ROWS_MAX, StoredMetrics
from headrace.run.messages import AnomalyContext

OF_LINES = ("csv", "jsonl", "fixed_width")
"""Kinds of files that are lines of text."""


MORE_TIMES = 1.5
"""So many times as many rows for each row of an input as ever are held, …"""
MORE_ROWS_MIN = 20
"""… if there are so many."""


class EvaluatedAudit(msgspec.Struct, frozen=True):
    """The audit with its verdict, the facts, and a clause for people about what holds it or is warned of."""

    audit: Audit
    facts: tuple[Fact, ...] = ()
    reason: str = ""


def oddities(
    audit: Audit,
    staged: StagedFile,
    keys: Sequence[str],
    around: AnomalyContext,
    past: Sequence[StoredMetrics],
    grain: Grain | None,
    *,
    inputs: Sequence[InputData] | None = None,
) -> EvaluatedAudit:
    """Judge each partition by those before it; of several, by those before it in the same file, too. `inputs`: what it was
    computed from; None where it was delivered."""
    failed = tuple(fact for key in keys for fact in of_checks(audit.of(key).results, key, holds=_withheld(audit, staged)))
    if (around.on_anomaly == IGNORE and not around.of_columns) or grain is None:
        return EvaluatedAudit(audit, failed)
    history = MetricHistory(past, grain)
    facts = [fact for key in _alike(keys) for fact in _of(key, audit, staged, around, history, fed=len(keys) == 1 and _have_rows(inputs))]
    mild = milder(facts, around.unusual, around.emptied, around.more_rows) if inputs is not None else unread(facts, around.used)
    more = _more_of_each(keys, staged.rows, inputs or (), around)
    odd = mild if more is None else (more, *(fact for fact in mild if fact.kind != more.kind))
    judged = tuple(decided(odd, around.on_anomaly, around.of_columns))
    if not judged:
        return EvaluatedAudit(audit, failed)
    held = any(fact.severity is FactSeverity.HOLD for fact in judged)
    reason = summed_up(judged, FactSeverity.HOLD if held else FactSeverity.WARN, named=len(keys) > 1)
    return EvaluatedAudit(_with_verdict(audit, judged), failed + judged, reason)


def _withheld(audit: Audit, staged: StagedFile) -> bool:
    """Whether its checks keep it from readers. By `on_fail: warn`, and of what somebody has accepted, they don't; but there is nowhere
    to publish rows of no partition."""
    return audit.verdict in (Verdict.HELD, Verdict.REJECTED) or any(part.key == NOWHERE for part in staged.partitions)


def _have_rows(inputs: Sequence[InputData] | None) -> bool:
    return bool(inputs) and all(data.rows for data in inputs or ())


def _more_of_each(keys: Sequence[str], rows: int, inputs: Sequence[InputData], around: AnomalyContext) -> Fact | None:
    """That other code makes far more rows of each row of its input than any partition had so far, however unlike each other these are."""
    read = inputs[0] if len(keys) == 1 == len(inputs) else None
    if read is None or not read.rows or not around.rows_each or rows < MORE_ROWS_MIN:
        return None
    most = around.rows_each * read.rows
    if rows < MORE_TIMES * most:
        return None
    return Fact(
        kind="volume_anomaly", severity=FactSeverity.HOLD, strength=EXACT, partition=keys[0], detail=f"× {rows / most:.3g}",
        expected=f"at most {most:,.0f} rows made of {read.rows:,} rows of {read.name}, as by the code before", observed=f"{rows:,} rows",
    )  # fmt: skip


def _alike(keys: Sequence[str]) -> list[str]:
    """The partitions in order of time that have the key which the history is of."""
    key = min(keys).partition(SEPARATOR)[2]
    return sorted(item for item in keys if item.partition(SEPARATOR)[2] == key)


def _of(key: str, audit: Audit, staged: StagedFile, around: AnomalyContext, history: MetricHistory, *, fed: bool) -> tuple[Fact, ...]:
    vector = audit.of(key).metrics
    if not vector:
        return ()
    partition = EvaluatedPartition(
        key=key,
        metrics=metrics.decoded(vector),
        content_hash=hash_of(key, audit, staged),
        versions=around.versions,
        sources=around.sources,
        peers=around.peers,
        calendar=around.calendar,
        fed=fed,
    )
    facts = judge(partition, history)
    if partition.metrics.rows and not any(fact.severity is FactSeverity.HOLD for fact in facts):
        history.add(StoredMetrics(key, vector))
    return facts


def hash_of(key: str, audit: Audit, staged: StagedFile) -> str | None:
    """The content hash of a partition that was staged; None where it isn't known."""
    known = audit.of(key).content_hash
    return known or next((part.content_hash for part in staged.partitions if part.key == key), None)


def _with_verdict(audit: Audit, facts: Sequence[Fact]) -> Audit:
    """Held where a fact holds, warned where one warns. A delivery is held whole; what a check rejects stays rejected."""
    parts = {
        key: msgspec.structs.replace(part, verdict=_verdict(part.verdict, [fact for fact in facts if fact.partition == key]))
        for key, part in audit.partitions.items()
    }
    return msgspec.structs.replace(audit, verdict=_verdict(audit.verdict, facts), partitions=parts)


def _verdict(was: Verdict, facts: Sequence[Fact]) -> Verdict:
    if not facts or was in (Verdict.HELD, Verdict.REJECTED):
        return was
    return Verdict.HELD if any(fact.severity is FactSeverity.HOLD for fact in facts) else Verdict.WARNED


def with_repeated(audit: Audit, session: DuckDBSession, staged: StagedFile, table: LakeTable) -> Audit:
    """With the number of rows that are identical to others, in the metrics of a delivery of one partition. A table whose rows are
    known to be unique has none; of a large one it isn't asked."""
    if not audit.metrics or not 1 < staged.rows <= REPEATED_ROWS_MAX:
        return audit
    unique = any(result.kind == "unique" and result.outcome == "passed" for result in audit.results)
    repeated = 0 if unique else _repeated(session, staged, table)
    vector = metrics.encoded(msgspec.structs.replace(metrics.decoded(audit.metrics), repeated=repeated))
    return msgspec.structs.replace(audit, metrics=vector)


def with_end(audit: Audit, prepared: PreparedDelivery) -> Audit:
    """With whether the file's last line has an end, in the metrics of a delivery of one partition."""
    if not audit.metrics or prepared.schema.format.kind not in OF_LINES:
        return audit
    paths = [Path(part.opened.path) for part in (prepared.parts or (prepared,))]
    known = metrics.decoded(audit.metrics)
    vector = metrics.encoded(msgspec.structs.replace(known, open_end=any(map(ends_open, paths))))
    return msgspec.structs.replace(audit, metrics=vector)


def _repeated(session: DuckDBSession, staged: StagedFile, table: LakeTable) -> int:
    columns = [column for column in table.columns if column.name != PARTITION_COLUMN]
    source = relation_sql([FileRef(staged.path, lookup=FileLookup.SAME)], columns)
    named = ", ".join(quote(column.name) for column in columns)
    row = session.connection.execute(f"SELECT count(*) - count(DISTINCT hash({named})) FROM ({source}) AS file").fetchone()
    return int(row[0]) if row else 0
