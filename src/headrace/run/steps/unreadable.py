"""What a delivery that can't be read, or has too few or too many rows, is evidence of."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.connect import UnreadableFile
from headrace.connect.apart import POISON
from headrace.connect.deliveries import SourceSchema
from headrace.connect.widening import TEXT
from headrace.model import ContractColumn
from headrace.model.clauses import OUTSIZED
from headrace.model.sizes import bytes_as_text
from headrace.quality.facts import Fact, FactSeverity
from headrace.run.messages import TooMuch

POISON_NATS = 20.0
EXACT_NATS = 12.0
ODD_NATS = 9.0
"""Less than exact: by itself it is worth no incident."""
_AMOUNTS = {
    "delivery_truncated": ("the whole file", "cut off"),
    "delivery_empty": ("rows", "empty file"),
    "delivery_miscounted": ("as many rows as the file has", "cut off"),
    "delivery_too_large": ("a file of a usual size", "too large"),
}
"""Codes of what is wrong with how much there is: what is expected, and what it is called."""


def facts_of_unreadable(why: UnreadableFile) -> tuple[Fact, ...]:
    """One fact, of the cause that the reason speaks for."""
    if why.code == POISON:
        return (poison(why.reason),)
    if why.code in _AMOUNTS:
        expected, detail = _AMOUNTS[why.code]
        return (_held("volume_anomaly", expected, why.reason, detail),)
    return (_held("format_change", "a file of the agreed form", why.reason, f"unreadable; {why.reason}"),)


def poison(observed: str) -> Fact:
    """A delivery that ends the process that reads it."""
    return Fact(
        kind="poison_delivery",
        severity=FactSeverity.HOLD,
        expected="a file that can be parsed",
        observed=observed,
        strength=POISON_NATS,
    )


def outsized(why: TooMuch, size_bytes: int) -> Fact:
    """A delivery that takes more memory, or time, than an attempt may. Where others were read, its size is compared with theirs."""
    size, what = bytes_as_text(size_bytes), OUTSIZED[why.timed_out]
    if not why.largest_bytes:
        expected = "a file that can be read with the memory that an attempt may use"
        return msgspec.structs.replace(poison(f"{size}; {why.said}"), expected=expected, detail=f"{what}: {size}")
    several = f"the {why.read:,} deliveries" if why.read > 1 else "the one delivery"
    times = f"{size_bytes // why.largest_bytes:,} times the size of any before"
    return msgspec.structs.replace(
        poison(f"{size}, {times}; {why.said}"),
        expected=f"at most {bytes_as_text(why.largest_bytes)}, as {several} read before",
        detail=f"{what}: {size}, {times}",
    )


def unexpected_rows(observed: str, rows: int) -> Fact:
    """The fact of a delivery that is held because it has no rows, or more or fewer than declared."""
    if rows == 0:
        return _held("volume_anomaly", "rows", observed, "empty file")
    return _held("volume_anomaly", "as many rows as declared", observed, "rows unlike declared")


def withdrawn_rows(key: str, reason: str) -> Fact:
    """The fact of a delivery whose rows somebody has withdrawn before."""
    observed = "the same rows as were withdrawn" + (f": {reason}" if reason else "")
    return msgspec.structs.replace(_held("stale_data", "other rows than were withdrawn", observed, "withdrawn rows"), partition=key)


def _held(kind: str, expected: str, observed: str, detail: str) -> Fact:
    return Fact(
        kind=kind,
        severity=FactSeverity.HOLD,
        expected=expected,
        observed=observed,
        strength=EXACT_NATS,
        detail=detail,
    )


def texts_for_a_few_values(schema: SourceSchema, promised: Sequence[ContractColumn]) -> tuple[Fact, ...]:
    """Columns that are text because of a few values of the source's first delivery: as long as they are, code that needs the type of
    the others fails over each delivery. Nothing is held over it. One whose type a contract states (`promised`) is what it should be."""
    stated = {column.name for column in promised if column.type is not None}
    texts = {column.name for column in schema.columns if column.type == TEXT} - stated
    return tuple(
        Fact(
            kind="type_change", column=item.column, severity=FactSeverity.WARN, expected=item.type, observed=item.text, strength=ODD_NATS,
            detail="text",
        )
        for item in (schema.lesson.almost if schema.lesson is not None else ())
        if item.column in texts
    )  # fmt: skip
