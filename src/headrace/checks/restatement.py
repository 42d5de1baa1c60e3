"""Restatements: changes that a delivery makes to its interval's sound publication. Pure.

If the data was only held, rejected or published as an exception, a new delivery is a correction
rather than a restatement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from headrace.checks.facts import Fact, FactSeverity
from headrace.model.texts import quoted
from headrace.model.wording import counted, few

CERTAIN = 20.0
"""The strength in nats: contents are compared exactly."""
TWIN_BYTES_MIN = 1_000
"""The minimum size in bytes; smaller files may be equal by chance."""
SAME = "the same rows, written otherwise"
NAMES_TOLD = 3
MISSING_ROWS_MIN = 10
"""Fewer missing rows than this at a file's end, …"""
MISSING_MIN = 0.01
"""… or a smaller share of its rows, may have been deleted."""
MORE = 1.15
"""A file with this many times the rows of any earlier one may have had too many."""
NEARER = 0.5
"""The share of the other version's deviation below which a version is the right one.

Deviations are those of a version's shares from the usual ones.
"""


LOAD_COLUMNS = frozenset(
    {
        *("_dlt_id", "_dlt_load_id", "_dlt_parent_id", "_dlt_root_id"),
        "_fivetran_synced",
        *("_airbyte_raw_id", "_airbyte_extracted_at", "_airbyte_meta", "_airbyte_generation_id"),
        *("_airbyte_ab_id", "_airbyte_emitted_at", "_airbyte_loaded_at", "_airbyte_normalized_at"),
        *("_sdc_batched_at", "_sdc_extracted_at", "_sdc_received_at", "_sdc_sequence"),
        *("_sdc_sync_started_at", "_sdc_table_version"),
    }
)
"""Columns that dlt, Fivetran, Airbyte, Stitch and Meltano write anew with each load, in lower case.

Marks of deleted rows (`_fivetran_deleted`, `_sdc_deleted_at`) are data.
"""


class PreviousPublication(msgspec.Struct, frozen=True, gc=False):
    """The current publication of an interval, as far as a new delivery is compared with it."""

    rows: int
    content_hash: str | None
    sha256: str | None
    """The hash of the bytes from which it was read."""
    attempt: str = ""
    """The attempt that published it."""
    settled: bool = False
    """Whether no earlier interval was delivered again since.

    Only then do the earlier intervals show how the columns were written at the time.
    """


class ColumnValueChange(msgspec.Struct, frozen=True, gc=False):
    """A column with changed values, the number of these rows, and the kind of change if known."""

    column: str
    rows: int
    how: str = ""

    @property
    def clause(self) -> str:
        """Return `carrier: 120 rows, 12 codes written otherwise, one for one`."""
        return ", ".join(filter(None, (f"{self.column}: {counted(self.rows, 'row')}", self.how)))


class RestatementCounts(msgspec.Struct, frozen=True, gc=False):
    """The numbers of new, removed and changed rows; changed rows are known only with a key."""

    added: int
    removed: int
    changed: int
    columns: tuple[ColumnValueChange, ...] = ()


def restatement_facts(
    before: Mapping[str, PreviousPublication],
    now: Mapping[str, tuple[int, str | None]],
    sha256: str,
    differences: Mapping[str, RestatementCounts],
    ignored: Sequence[str] = (),
) -> tuple[Fact, ...]:
    """Return a fact for each partition that the delivery changes.

    `now` maps a partition to its staged rows and their content hash. The same bytes read again
    (after a mapping was accepted, or on request) restate nothing. One of many partitions in a file
    is restated if its rows differ; a file of one partition also if the same rows are written
    differently. `ignored` are the columns that weren't compared.
    """
    apart = f"; not compared: {', '.join(ignored)}" if ignored else ""
    alone = len(now) == 1
    facts = []
    for key, (rows, content_hash) in now.items():
        was = before.get(key)
        if was is None or was.sha256 is None or was.sha256 == sha256:
            continue
        same = content_hash is not None and content_hash == was.content_hash
        if not same or alone:
            facts.append(
                _fact(
                    key,
                    was,
                    rows,
                    SAME if same else f"{_difference_text(differences.get(key))}{apart}",
                )
            )
    return tuple(facts)


def _fact(key: str, was: PreviousPublication, rows: int, detail: str) -> Fact:
    return Fact(
        kind="restatement",
        severity=FactSeverity.WARN,
        expected=counted(was.rows, "row"),
        observed=counted(rows, "row"),
        strength=CERTAIN,
        detail=detail,
        partition=key,
    )


def cut_off(key: str, was: PreviousPublication, rows: int, usual: Sequence[int]) -> Fact | None:
    """Return a fact if the file is a truncated version of the published one.

    None if the few missing rows may have been deleted. Also None if the published file had many
    more rows than the partitions before it (`usual` holds their numbers of rows): it may have had
    too many.
    """
    missing = was.rows - rows
    if (
        not rows
        or missing < max(MISSING_ROWS_MIN, MISSING_MIN * was.rows)
        or was.rows > MORE * max(usual, default=0)
    ):
        return None
    return Fact(
        kind="volume_anomaly",
        severity=FactSeverity.HOLD,
        expected=counted(was.rows, "row"),
        strength=CERTAIN,
        partition=key,
        observed=f"the first {counted(rows, 'row')} of the file that is published, and nothing"
        " else",
        detail="cut off",
    )


def copies_removed(
    key: str, was: PreviousPublication, rows: int, times: int, apart: Sequence[str]
) -> Fact:
    """Return the fact that each published row occurred several times.

    The copies have different keys in the columns `apart`; without any, they are identical.
    """
    keys = few(apart, NAMES_TOLD)
    return Fact(
        kind="duplicate_rows",
        severity=FactSeverity.WARN,
        expected=counted(rows, "row"),
        strength=CERTAIN,
        partition=key,
        of=was.attempt,
        observed=(
            f"each of {rows:,} rows {times} times{f', the same but for {keys}' if keys else ''}"
        ),
        detail=f"each row {times} times, under other {keys}" if keys else f"{was.rows - rows} rows",
    )


def categories_renamed(
    key: str,
    was: PreviousPublication,
    column: str,
    before: Mapping[str, int],
    now: Mapping[str, int],
    history: Sequence[Mapping[str, float]],
) -> Fact | None:
    """Return a fact if the published categories had wrong names, by the intervals before.

    `before` and `now` map categories to rows in both versions; `history` has the shares in earlier
    intervals. None if more than names changed, or if the history doesn't show which version is
    right.
    """
    other, same = _moved(before, now), _moved(now, before)
    if not other or not history or [count for _, count in other] != [count for _, count in same]:
        return None
    usual = {value for item in history for value in item}
    current, went = {value for value, _ in same}, {value for value, _ in other}
    names = current <= usual and not (went - current) & usual and bool(went - current)
    if not names and not (current == went and _nearer(now, before, history)):
        return None
    pairs = [
        f"{quoted(right)} is {quoted(wrong)}"
        for (wrong, _), (right, _) in zip(other, same, strict=True)
    ]
    (first, _), (instead, _) = same[0], other[0]
    return Fact(
        kind="distribution_shift",
        column=column,
        severity=FactSeverity.WARN,
        strength=CERTAIN,
        partition=key,
        of=was.attempt,
        expected=f"{quoted(first)}, as in the intervals before it",
        observed=f"{quoted(instead)} in its place",
        detail=f"category mix: {few(pairs, NAMES_TOLD)}",
    )


def _moved(item: Mapping[str, int], other: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the categories whose counts differ in the other version, the largest first."""
    return sorted(
        ((value, count) for value, count in item.items() if other.get(value) != count),
        key=lambda each: -each[1],
    )


def _nearer(
    now: Mapping[str, int], before: Mapping[str, int], history: Sequence[Mapping[str, float]]
) -> bool:
    """Return whether the shares of `now` are much more like the history than those of `before`."""
    values = {value for item in history for value in item} | now.keys() | before.keys()
    usual = {
        value: sum(item.get(value, 0.0) for item in history) / len(history) for value in values
    }

    def off(counts: Mapping[str, int]) -> float:
        total = sum(counts.values())
        return sum(abs(counts.get(value, 0) / total - usual[value]) for value in values)

    return off(now) < NEARER * off(before)


def duplicate_delivery(
    key: str, size_bytes: int, sha256: str, withheld: Sequence[tuple[str, str]]
) -> tuple[Fact, ...]:
    """Return a fact if the same file was also delivered, and withheld, for another interval.

    One of the two deliveries has the wrong interval's file; which one is unknown. Small files may
    be equal by chance. `withheld` has pairs of interval and SHA-256.
    """
    other = next((partition for partition, theirs in withheld if theirs == sha256), None)
    if other is None or size_bytes < TWIN_BYTES_MIN:
        return ()
    fact = Fact(
        kind="stale_data",
        severity=FactSeverity.WARN,
        expected=f"a file of {key}",
        observed=f"the very file that was delivered for {other}",
        strength=CERTAIN,
        detail=(
            f"equals the delivery for {other}, which is withheld: one of the two is of the wrong"
            " interval"
        ),
        partition=key,
    )
    return (fact,)


def _difference_text(difference: RestatementCounts | None) -> str:
    if difference is None:
        return "other rows"
    counts = {
        "added": difference.added,
        "removed": difference.removed,
        "changed": difference.changed,
    }
    rows = (
        ", ".join(f"{counted(count, 'row')} {what}" for what, count in counts.items() if count)
        or SAME
    )
    return "; ".join((rows, *(column.clause for column in difference.columns)))
