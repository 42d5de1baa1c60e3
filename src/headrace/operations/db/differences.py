"""What `db check` finds in the tables: each row that isn't as the event log says, and which consumers read what depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace.observe.declared_promises import declared_promises
from headrace.observe.incidents.reach import DownstreamIndex
from headrace.operations.db.responses import Difference, DifferenceSource, Finding, Unchecked
from headrace.operations.session import ProjectSession
from headrace.run.event_log import DIFFERENCES_MAX, EventLogComparison
from headrace.store import Transaction
from headrace.store.event_log import comparing
from headrace.store.event_log.guards import UNRECORDED
from headrace.store.event_log.replaying import Misfit
from headrace.store.event_log.statements import CATALOG, HASHED

REPAIR = "headrace db check --repair"
RESTORE = "restore it from a backup: headrace db restore DIR"
SHOWN_CHARACTERS_MAX = 80
_NODE_COLUMNS = ("node", "source", "consumer")


class Readers:
    """Which consumers read what depends on a row."""

    def __init__(self, session: ProjectSession, tx: Transaction) -> None:
        self._reach = DownstreamIndex(declared_promises(session.compiled)) if session.compiled is not None else None
        self._tx = tx
        self._tables: dict[int, str] | None = None

    def of(self, node: str | None) -> list[str]:
        """The consumers of a node, or that node itself where it is one."""
        return [] if node is None or self._reach is None else list(self._reach.consumers(node))

    def node(self, table: str, row: dict[str, Any]) -> str | None:
        """The node that a row is about."""
        for column in _NODE_COLUMNS:
            if isinstance(row.get(column), str):
                return str(row[column])
        number = row.get("table_id") if table.startswith(CATALOG) else None
        return self._table_names().get(number) if isinstance(number, int) else None

    def _table_names(self) -> dict[int, str]:
        if self._tables is None:
            try:
                rows = self._tx.execute("select table_id, table_name from ducklake_table").fetchall()
            except comparing.UNREADABLE:
                rows = []
            self._tables = {number: str(name) for number, name in rows}
        return self._tables


def listed(comparison: EventLogComparison, readers: Readers) -> Iterator[Difference]:
    """Everything that differs, as the document has it."""
    for misfit in comparison.misfits:
        yield _misfit(misfit)
    for table, reason in comparison.unreadable.items():
        yield Difference(
            table=table, key={}, field=None, stored=reason, expected="a table that can be read",
            source=_source(table), consumers=[],
        )  # fmt: skip
    for difference in comparison.differences:
        yield Difference(
            table=difference.table,
            key={name: _shown(value) for name, value in difference.key.items()},
            field=difference.field,
            stored=_shown(difference.stored),
            expected=_shown(difference.expected),
            source=_source(difference.table),
            consumers=readers.of(readers.node(difference.table, difference.row)),
        )


def unchecked(comparison: EventLogComparison) -> Iterator[Unchecked]:
    """What wasn't compared, and why."""
    for table, why in UNRECORDED.items():
        yield Unchecked(what=table, why=why)
    if comparison.replay is None:
        why = "it is from before there was an event log; the next `headrace tick` writes what it is compared with from then on"
        yield Unchecked(what="state", why=why)
    elif not comparison.replay.complete:
        why = "what the event log begins with is damaged: there is nothing to compare with"
        yield Unchecked(what="state", why=why)
    elif not comparison.catalog_known:
        why = (
            "DuckLake has changed the catalog by itself (merged or expired files), and the checkpoint after it isn't written;"
            " `headrace db gc` writes it"
        )
        yield Unchecked(what="ducklake_*", why=why)
    counts: dict[str, int] = {}
    for difference in comparison.differences:
        counts[difference.table] = counts.get(difference.table, 0) + 1
    for table, count in counts.items():
        if count >= DIFFERENCES_MAX:
            yield Unchecked(what=table, why=f"only its first {DIFFERENCES_MAX:,} differences are listed")


def repairable(comparison: EventLogComparison) -> bool:
    """Whether the log has all that is needed to put the rows right that differ."""
    return bool(comparison.differences) and not comparison.misfits and not comparison.unreadable and all(
        difference.repairable and difference.table != "audit" for difference in comparison.differences
    )  # fmt: skip


def findings(differences: list[Difference], *, repair: bool) -> Iterator[Finding]:
    """One finding for each table, with its first difference."""
    by_table: dict[str, list[Difference]] = {}
    for difference in differences:
        by_table.setdefault(difference.table, []).append(difference)
    for table, results in by_table.items():
        readers = sorted({name for difference in results for name in difference.consumers})
        count = "1 difference" if len(results) == 1 else f"{len(results):,} differences, the first:"
        read = f"; read by {', '.join(readers[:5])}{' and others' if len(readers) > 5 else ''}" if readers else ""
        message = f"{count} {_sentence(results[0])}{read}"
        yield Finding(severity="error", about=table, message=message, todo=REPAIR if repair else RESTORE)


def _sentence(difference: Difference) -> str:
    where = ", ".join(f"{name}={value}" for name, value in difference.key.items())[:SHOWN_CHARACTERS_MAX]
    at = f"at {where} " if where else ""
    if difference.field is not None:
        return f"{at}`{difference.field}` is {_short(difference.stored)}, the event log says {_short(difference.expected)}"
    if difference.expected is None:
        return f"{at}a row that the event log doesn't have"
    return f"{at}a row is missing" if difference.stored is None else f"{at}{difference.stored}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[: SHOWN_CHARACTERS_MAX - 1]}…"


def _misfit(misfit: Misfit) -> Difference:
    return Difference(
        table="event_log", key={"seq": misfit.seq}, field=misfit.field, stored=misfit.stored, expected=misfit.expected,
        source=DifferenceSource.EVENT_LOG, consumers=[],
    )  # fmt: skip


def _source(table: str) -> DifferenceSource:
    if table == "audit":
        return DifferenceSource.AUDIT
    return DifferenceSource.CATALOG if table.startswith(CATALOG) else DifferenceSource.EVENT_LOG


def _shown(value: object) -> object:
    """A value as JSON has it: bytes as their hash or in hexadecimal digits."""
    if isinstance(value, dict):
        return {name: _shown(item) for name, item in value.items()}
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if not isinstance(value, bytes | memoryview):
        return value
    given = bytes(value)
    if given.startswith(HASHED):
        return f"sha256:{given[len(HASHED) :].hex()}"
    return given.hex() if len(given) <= SHOWN_CHARACTERS_MAX else f"{len(given):,} bytes"
