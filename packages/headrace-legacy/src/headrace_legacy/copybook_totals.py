"""The trailer of a mainframe's file: its counts and sums must be those of the records."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from headrace.extension import marked
from headrace.extension.formats import CannotRead, Disagrees
from headrace_legacy.copybook_layout import Layout
from headrace_legacy.copybook_records import Batch
from headrace_legacy.copybook_values import BadValue, Values


class Totals:
    """Counts and sums of the records, and what the trailer says of them."""

    def __init__(self, layout: Layout) -> None:
        self._trailer = layout.trailer
        self._records = self._counted = 0
        self._sums = [Decimal(0)] * (len(layout.trailer.sums) if layout.trailer else 0)
        self._stated: list[Any] | None = None
        self._left_out = 0

    def count(self, values: Values, batch: Batch) -> None:
        """Count records of a batch. Raises BadValue before it counts any."""
        trailer = self._trailer
        if trailer is None:
            return
        self._refuse_after(batch)
        rows = values.rows_of(trailer.record)
        if len(rows) and (len(rows) > 1 or int(rows[0]) != len(batch) - 1):
            raise BadValue(int(rows[0]), f"{trailer.record.name} isn't the last record")
        self._counted += len(batch) if trailer.of is None else len(values.rows_of(trailer.of))

    def add(self, values: Values) -> None:
        """Add up the items of a batch, and read the trailer. Raises BadValue before it does."""
        trailer = self._trailer
        if trailer is None:
            return
        sums = [values.total(summand) for _, summand in trailer.sums]
        if len(values.rows_of(trailer.record)):
            self._stated = [values.total(item) for item in trailer.totals]
        self._sums = [before + added for before, added in zip(self._sums, sums, strict=True)]

    def end_batch(self, records: int, left_out: int) -> None:
        """Note how many records a batch has, and how many of them couldn't be counted or added."""
        self._records += records
        self._left_out += left_out

    def _refuse_after(self, batch: Batch) -> None:
        if self._stated is not None and len(batch):
            raise BadValue(0, "a record after the trailer")

    def check(self) -> None:
        """Raise CannotRead if the trailer is missing, and Disagrees if a total differs."""
        trailer = self._trailer
        if trailer is None:
            return
        others = f", without {self._left_out:,} that can't be read" if self._left_out else ""
        if self._stated is None:
            raise CannotRead(
                f"the file has no {trailer.record.name}{others}: it is cut off",
                code="delivery_truncated",
            )
        counted: list[Any] = [*([self._counted] if trailer.number else []), *self._sums]
        for item, stated, actual in zip(trailer.totals, self._stated, counted, strict=True):
            if stated != actual:
                raise Disagrees(
                    f"record {self._records:,}: {item.name} is {marked(f'{stated:,}')}, and the"
                    f" records come to {marked(f'{actual:,}')}{others}",
                    line=self._records,
                )
