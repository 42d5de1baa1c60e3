"""Restatements: what a delivery changes of the sound publication of its interval. Pure.

Data that was held, rejected, or published as an exception only doesn't make a new delivery a restatement; the new delivery is a correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from headrace.checks.facts import Fact, FactSeverity

CERTAIN = 20.0
"""Nats: contents are compared, nothing is guessed."""
TWIN_BYTES_MIN = 1_000
"""Smaller files may be the same by chance."""
SAME = "the same rows, written otherwise"
NAMES_TOLD = 3
MISSING_ROWS_MIN = 10
"""Fewer rows than that at a file's end, …"""
MISSING_MIN = 0.01
"""… or a smaller part of it, may have been deleted."""
MORE = 1.15
"""A file with so many times the rows of any before it may have had too many."""
NEARER = 0.5
"""Of two versions one is right if its shares are off by less than that part of what the other's
are."""


class PreviousPublication(msgspec.Struct, frozen=True, gc=False):
    """What readers see of an interval, as far as a new delivery of it is compared with that."""

    rows: int
    content_hash: str | None
    sha256: str | None
    """Of the bytes that it was read from."""
    attempt: str = ""
    """The attempt that published it."""
    settled: bool = False
    """Whether nothing before this interval was delivered again since: what came before says how
    its columns were
    written at the time."""


class ColumnValueChange(msgspec.Struct, frozen=True, gc=False):
    """A column with other values than before, in how many rows; and how they are other, where that can be told."""

    column: str
    rows: int
    how: str = ""

    @property
    def clause(self) -> str:
        """`carrier: 120 rows, 12 codes written otherwise, one for one`."""
        return ", ".join(filter(None, (f"{self.column}: {_rows(self.rows)}", self.how)))


class RestatementCounts(msgspec.Struct, frozen=True, gc=False):
    """How many rows are new, gone, and other than before (the last only where a key tells which row is which)."""

    added: int
    removed: int
    changed: int
    columns: tuple[ColumnValueChange, ...] = ()


def restatement_facts(
    before: Mapping[str, PreviousPublication],
    now: Mapping[str, tuple[int, str | None]],
    sha256: str,
    differences: Mapping[str, RestatementCounts],
) -> tuple[Fact, ...]:
    """A fact for each partition that was published otherwise. `now`: its rows and their hash as they were staged.

    The same bytes read again (a mapping was accepted, somebody asked for it) restate nothing. A partition of many in one file is
    restated where its rows are other ones; a file of one partition also where the same rows are written otherwise.
    """
    alone = len(now) == 1
    facts = []
    for key, (rows, content_hash) in now.items():
        was = before.get(key)
        if was is None or was.sha256 is None or was.sha256 == sha256:
            continue
        same = content_hash is not None and content_hash == was.content_hash
        if not same or alone:
            facts.append(_fact(key, was, rows, SAME if same else _told(differences.get(key))))
    return tuple(facts)


def _fact(key: str, was: PreviousPublication, rows: int, detail: str) -> Fact:
    return Fact(
        kind="restatement", severity=FactSeverity.WARN, expected=_rows(was.rows), observed=_rows(rows), strength=CERTAIN,
        detail=detail, partition=key,
    )  # fmt: skip


def cut_off(key: str, was: PreviousPublication, rows: int, usual: Sequence[int]) -> Fact | None:
    """That a file which is the beginning of the one that was published was cut off. None where a few
    rows may have been deleted, or where the published one had more rows than the partitions before it
    (`usual`: how many each had): then those may have been too many."""
    missing = was.rows - rows
    if not rows or missing < max(MISSING_ROWS_MIN, MISSING_MIN * was.rows) or was.rows > MORE * max(usual, default=0):
        return None
    return Fact(
        kind="volume_anomaly", severity=FactSeverity.HOLD, expected=_rows(was.rows), strength=CERTAIN, partition=key,
        observed=f"the first {_rows(rows)} of the file that is published, and nothing else", detail="cut off",
    )  # fmt: skip


def copies_removed(key: str, was: PreviousPublication, rows: int, times: int, apart: Sequence[str]) -> Fact:
    """What readers saw had each row several times, under keys of their own in the columns `apart`
    (none: identical)."""
    keys = ", ".join(apart[:NAMES_TOLD]) + (f" and {len(apart) - NAMES_TOLD} more" if len(apart) > NAMES_TOLD else "")
    return Fact(
        kind="duplicate_rows", severity=FactSeverity.WARN, expected=_rows(rows), strength=CERTAIN, partition=key, of=was.attempt,
        observed=f"each of {rows:,} rows {times} times{f', the same but for {keys}' if keys else ''}",
        detail=f"each row {times} times, under other {keys}" if keys else f"{was.rows - rows} rows",
    )  # fmt: skip


def categories_renamed(
    key: str,
    was: PreviousPublication,
    column: str,
    before: Mapping[str, int],
    now: Mapping[str, int],
    history: Sequence[Mapping[str, float]],
) -> Fact | None:
    """What readers saw had other names for categories (value → rows, of both versions), as the
    intervals before it show
    (value → share of each). None where that isn't all that changed, or where they don't say which
    version is right."""
    other, same = _moved(before, now), _moved(now, before)
    if not other or not history or [count for _, count in other] != [count for _, count in same]:
        return None
    usual = {value for item in history for value in item}
    came, went = {value for value, _ in same}, {value for value, _ in other}
    names = came <= usual and not (went - came) & usual and bool(went - came)
    if not names and not (came == went and _nearer(now, before, history)):
        return None
    pairs = [f"{right!r} is {wrong!r}" for (wrong, _), (right, _) in zip(other, same, strict=True)]
    more = f" and {len(pairs) - NAMES_TOLD} more" if len(pairs) > NAMES_TOLD else ""
    (first, _), (instead, _) = same[0], other[0]
    return Fact(
        kind="distribution_shift", column=column, severity=FactSeverity.WARN, strength=CERTAIN, partition=key, of=was.attempt,
        expected=f"{first!r}, as in the intervals before it", observed=f"{instead!r} in its place",
        detail=f"category mix: {', '.join(pairs[:NAMES_TOLD])}{more}",
    )  # fmt: skip


def _moved(item: Mapping[str, int], other: Mapping[str, int]) -> list[tuple[str, int]]:
    """The categories that have other counts in the other version, the greatest first."""
    return sorted(((value, count) for value, count in item.items() if other.get(value) != count), key=lambda each: -each[1])


def _nearer(now: Mapping[str, int], before: Mapping[str, int], history: Sequence[Mapping[str, float]]) -> bool:
    """Whether the shares of one version are much more like those of the intervals before than the
    other's are."""
    values = {value for item in history for value in item} | now.keys() | before.keys()
    usual = {value: sum(item.get(value, 0.0) for item in history) / len(history) for value in values}

    def off(counts: Mapping[str, int]) -> float:
        total = sum(counts.values())
        return sum(abs(counts.get(value, 0) / total - usual[value]) for value in values)

    return off(now) < NEARER * off(before)


def duplicate_delivery(key: str, size_bytes: int, sha256: str, withheld: Sequence[tuple[str, str]]) -> tuple[Fact, ...]:
    """Whether the very file was delivered for another interval too, and withheld there: one of the two is the wrong day's file, and it
    isn't known which. Of small files that is chance. `withheld`: interval and SHA-256."""
    other = next((partition for partition, theirs in withheld if theirs == sha256), None)
    if other is None or size_bytes < TWIN_BYTES_MIN:
        return ()
    fact = Fact(
        kind="stale_data",
        severity=FactSeverity.WARN,
        expected=f"a file of {key}",
        observed=f"the very file that was delivered for {other}",
        strength=CERTAIN,
        detail=f"equals the delivery for {other}, which is withheld: one of the two is of the wrong interval",
        partition=key,
    )
    return (fact,)


def _told(difference: RestatementCounts | None) -> str:
    if difference is None:
        return "other rows"
    counts = {"added": difference.added, "removed": difference.removed, "changed": difference.changed}
    rows = ", ".join(f"{_rows(count)} {what}" for what, count in counts.items() if count) or SAME
    return "; ".join((rows, *(column.clause for column in difference.columns)))


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
