"""Looks that failed: of the sources whose newest look did."""

from __future__ import annotations

import msgspec

from headrace.store.database import Transaction
from headrace.store.queries.arriving import OBSERVATIONS_KEPT, outcome

RUN_MAX = OBSERVATIONS_KEPT + 1
"""How many looks in a row are counted. The first of those with one outcome is among them: of older looks only such are kept."""


class Failing(msgspec.Struct, frozen=True, gc=False):
    """A source whose newest look failed. `since` is the first of those in a row that failed, or that a server answered with a wish for a
    pause; `gap` is how long before the newest look the one before it was; microseconds."""

    source: str
    at: int
    error: str
    code: str | None
    since: int
    times: int
    gap: int | None


def failing(tx: Transaction) -> list[Failing]:
    """The sources whose newest look failed."""
    rows = tx.execute("select source, max(at) from look where error is not null group by source").fetchall()
    return [result for source, _ in rows if (result := of_source(tx, source)) is not None]


def of_source(tx: Transaction, source: str) -> Failing | None:
    """One source whose newest look failed; None where it didn't."""
    observations = tx.execute(
        "select at, error, code from look where source = :source order by at desc limit :limit", {"source": source, "limit": RUN_MAX}
    ).fetchall()
    failed = []
    for at, error, code in observations:
        if error is None or outcome(error, code) != outcome(*observations[0][1:]):
            break
        failed.append((at, error, code))
    if not failed:
        return None
    gap = observations[0][0] - observations[1][0] if len(observations) > 1 else None
    return Failing(source, observations[0][0], str(observations[0][1]), observations[0][2], failed[-1][0], len(failed), gap)
