"""A delivery against what was published and sound of its interval: a restatement, with what it changes. Pure.

What was held or rejected, or published as an exception only, is no reason to speak of a restatement: what comes then is a correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from headrace.quality.facts import Fact, Severity

CERTAIN = 20.0
"""Nats: contents are compared, nothing is guessed."""
TWIN_BYTES_MIN = 1_000
"""Smaller files may be the same by chance."""
SAME = "the same rows, written otherwise"


class Before(msgspec.Struct, frozen=True, gc=False):
    """What readers see of an interval, as far as a new delivery of it is compared with that."""

    rows: int
    content_hash: str | None
    sha256: str | None
    """Of the bytes that it was read from."""


class ColumnChange(msgspec.Struct, frozen=True, gc=False):
    """A column with other values than before, in how many rows; and how they are other, where that can be told."""

    column: str
    rows: int
    how: str = ""

    @property
    def clause(self) -> str:
        """`carrier: 120 rows, 12 codes written otherwise, one for one`."""
        return ", ".join(filter(None, (f"{self.column}: {_rows(self.rows)}", self.how)))


class Difference(msgspec.Struct, frozen=True, gc=False):
    """How many rows are new, gone, and other than before (the last only where a key tells which row is which)."""

    added: int
    removed: int
    changed: int
    columns: tuple[ColumnChange, ...] = ()


def restated(
    before: Mapping[str, Before], now: Mapping[str, tuple[int, str | None]], sha256: str, differences: Mapping[str, Difference]
) -> tuple[Fact, ...]:
    """A fact for each partition that was published otherwise. `now`: its rows and their hash as they were staged.

    The same bytes read again (a mapping was accepted, somebody asked for it) restate nothing. A partition of many in one file is
    restated where its rows are other ones; a file of one partition also where the same rows are written otherwise.
    """
    alone = len(now) == 1
    found = []
    for key, (rows, content_hash) in now.items():
        was = before.get(key)
        if was is None or was.sha256 is None or was.sha256 == sha256:
            continue
        same = content_hash is not None and content_hash == was.content_hash
        if not same or alone:
            found.append(_fact(key, was, rows, SAME if same else _told(differences.get(key))))
    return tuple(found)


def _fact(key: str, was: Before, rows: int, detail: str) -> Fact:
    return Fact(
        kind="restatement", severity=Severity.WARN, expected=_rows(was.rows), observed=_rows(rows), strength=CERTAIN,
        detail=detail, partition=key,
    )  # fmt: skip


def twin(key: str, size_bytes: int, sha256: str, withheld: Sequence[tuple[str, str]]) -> tuple[Fact, ...]:
    """Whether the very file was delivered for another interval too, and withheld there: one of the two is the wrong day's file, and it
    isn't known which. Of small files that is chance. `withheld`: interval and SHA-256."""
    other = next((partition for partition, theirs in withheld if theirs == sha256), None)
    if other is None or size_bytes < TWIN_BYTES_MIN:
        return ()
    told = Fact(
        kind="stale_data", severity=Severity.WARN, expected=f"a file of {key}", observed=f"the very file that was delivered for {other}",
        strength=CERTAIN, detail=f"equals the delivery for {other}, which is withheld: one of the two is of the wrong interval",
        partition=key,
    )  # fmt: skip
    return (told,)


def _told(difference: Difference | None) -> str:
    if difference is None:
        return "other rows"
    counts = {"added": difference.added, "removed": difference.removed, "changed": difference.changed}
    rows = ", ".join(f"{_rows(count)} {what}" for what, count in counts.items() if count) or SAME
    return "; ".join((rows, *(one.clause for one in difference.columns)))


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
