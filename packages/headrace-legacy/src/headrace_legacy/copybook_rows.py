"""The rows of a mainframe's file, whose trailer is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from headrace.extension.formats import CannotRead, Disagrees
from headrace_legacy.copybook_records import Batch, batches
from headrace_legacy.copybook_totals import Totals
from headrace_legacy.copybook_values import BadValue, Table, Values

_Result = TypeVar("_Result")


def rows_of(path: Path, table: Table, *, accepted: bool) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file. Raises CannotRead, and Disagrees unless it is `accepted`."""
    layout = table.layout
    totals = Totals(layout)
    for batch in batches(path, layout):
        if layout.trailer is not None:
            _count(totals, table, batch)
        (arrays, records), bad = _readable(table.read, batch, keep=table.keeps_bad)
        if table.keeps_bad:
            good = np.setdiff1d(np.arange(len(batch)), [*bad])
            yield table.with_bad(arrays, good[records], bad, batch)
        else:
            yield pa.record_batch(arrays, table.schema)
    try:
        totals.check()
    except Disagrees:
        if not accepted:
            raise


def _count(totals: Totals, table: Table, batch: Batch) -> None:
    layout, keep = table.layout, table.keeps_bad
    _, uncounted = _readable(
        lambda part: totals.count(Values(layout, part), part), batch, keep=keep
    )
    _, unread = _readable(lambda part: totals.add(Values(layout, part)), batch, keep=keep)
    totals.end_batch(len(batch), len(uncounted | unread))


def _readable(
    read: Callable[[Batch], _Result], batch: Batch, *, keep: bool
) -> tuple[_Result, dict[int, str]]:
    """Return what reading gives, and the rows of bad records with the reasons.

    These are left out. Raises CannotRead for the first one unless they are kept.
    """
    bad: dict[int, str] = {}
    rows, part = np.arange(len(batch)), batch
    while True:
        try:
            return read(part), bad
        except BadValue as error:
            if not keep or not error.reasons:
                row = int(rows[error.row])
                raise CannotRead(
                    f"record {batch.first + row:,}, from byte {batch.at(row):,} on: {error.reason}",
                    line=batch.first + row,
                ) from error
            bad |= {int(rows[row]): reason for row, reason in error.reasons.items()}
            rows = np.setdiff1d(np.arange(len(batch)), [*bad])
            part = batch.part(rows)
