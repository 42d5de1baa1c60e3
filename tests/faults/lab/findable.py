"""Whether a fault of values could be found by anybody who has only the days before it: how far it
moves a number, and how far clean days lie apart.

The rule: the number that a fault moves has to lie at least twice as far from the median of the
clean days of its kind (working days, or weekends, where there are four of them; else all) as any of
these does, six of their standard deviations, and by 20 rows. What moves less is within the noise of
the days that there are. It is played and listed, and not counted. Beside a fault of rows in the
same delivery a share has to lie there whichever part of the surplus rows, or of the missing ones,
had that value: else the one explains the other.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

from lab.deliveries import Row
from lab.faults import Fault
from lab.month import Lab
from lab.shapes import Source

TIMES_EVER, DEVIATIONS, ROWS_MIN = 2.0, 6.0, 20
ALIKE_MIN = 4
SATURDAY = 5
SHARED = ("share ", "nulls ", "negative ", "unknown")
Numbers = Mapping[str, float]
_known: dict[tuple[int, str], list[tuple[int, Numbers]]] = {}


def uncounted(lab: Lab, fault: Fault, beside: Sequence[Fault] = ()) -> str:
    """Why a fault isn't counted, in numbers; empty where it is. `beside`: the others in the same
    delivery.
    """
    if not fault.moves:
        return ""
    source = next(event for event in lab.world.events if event.name == fault.node)
    made = lab.days.events(source, lab.day)
    sound = len(made.rows)
    for other in beside:
        if other.about == "rows":
            other.shaped[source.name](made, source)
    rows = len(made.rows)
    fault.shaped[source.name](made, source)
    result = numbers(source, made.rows, lab)
    by_rows = beside and rows != sound and fault.moves.startswith(SHARED)
    shown = (
        [_undone(result, fault.moves, sound, rows, all_of) for all_of in (0.0, 1.0)]
        if by_rows
        else [result]
    )
    clean = _clean(lab, source)
    if by_rows and (usual := _between(fault.moves, shown, clean)) is not None:
        return (
            f"{fault.moves} is {usual:.3g} on clean days, and would be where a part of the rows"
            " that differ had it"
        )
    return next(
        filter(
            None,
            (within_noise(fault.moves, item, clean, lab.day.weekday(), rows) for item in shown),
        ),
        "",
    )


def _undone(result: Numbers, name: str, sound: int, rows: int, all_of: float) -> Numbers:
    """With a share as it would be without the surplus rows, or with the missing ones, of which none
    (0) or all (1) have the value.
    """
    share = (result.get(name, 0.0) * rows + all_of * (sound - rows)) / sound
    return {**result, name: min(max(share, 0.0), 1.0)}


def _between(
    name: str, shown: Sequence[Numbers], clean: Sequence[tuple[int, Numbers]]
) -> float | None:
    """The number in the middle of the clean days, where some part of the rows that differ makes it
    so.
    """
    usual = statistics.median(own.get(name, 0.0) for _, own in clean)
    least, most = sorted(item[name] for item in shown)
    return usual if least <= usual <= most else None


def within_noise(
    name: str, faulty: Numbers, clean: Sequence[tuple[int, Numbers]], weekday: int, rows: int
) -> str:
    """Why a number that was moved lies within what clean days differ by; empty where it doesn't."""
    same = [own for day, own in clean if (day >= SATURDAY) == (weekday >= SATURDAY)]
    alike = [
        own.get(name, 0.0)
        for own in (same if len(same) >= ALIKE_MIN else [own for _, own in clean])
    ]
    middle = statistics.median(alike)
    moved, reach, apart = (
        abs(faulty.get(name, 0.0) - middle),
        max(abs(item - middle) for item in alike),
        statistics.pstdev(alike),
    )
    if name.startswith(SHARED) and moved * rows < ROWS_MIN:
        return f"{name} is moved in {moved * rows:.0f} rows; at least {ROWS_MIN} are counted"
    if moved >= TIMES_EVER * reach and moved >= DEVIATIONS * apart:
        return ""
    return (
        f"{name} is moved by {moved:.3g}; of {len(alike)} clean days one lies {reach:.3g} off, the"
        f" standard deviation is {apart:.3g}"
    )


def numbers(source: Source, rows: Sequence[Row], lab: Lab) -> Numbers:
    """What can be told of a day: how many rows, nulls, sizes, signs, shares, hours, keys that
    nobody knows."""
    count, known = max(len(rows), 1), set(lab.world.reference.keys)
    result: dict[str, float] = {
        "rows": math.log(len(rows) + 1),
        "unknown": sum(row[source.entity] not in known for row in rows) / count,
    }
    for name in (source.category, source.entity, *(measure.name for measure in source.measures)):
        result[f"nulls {name}"] = sum(not row[name] for row in rows) / count
    for group, often in Counter(row[source.category] for row in rows).items():
        result[f"share {group}"] = often / count
    for measure in source.measures:
        sizes = [value for row in rows if (value := _number(row[measure.name]))]
        result[f"size {measure.name}"] = (
            statistics.fmean(math.log(abs(size)) for size in sizes) if sizes else 0.0
        )
        result[f"negative {measure.name}"] = sum(size < 0 for size in sizes) / count
    result["hour"] = statistics.fmean(int(row[source.time][11:13]) for row in rows) if rows else 0.0
    return result


def _number(text: str) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _clean(lab: Lab, source: Source) -> list[tuple[int, Numbers]]:
    """Weekday and numbers of each clean day."""
    at = (lab.world.seed, source.name)
    if at not in _known:
        days = [lab.world.first + timedelta(number) for number in range(lab.world.days)]
        _known[at] = [
            (day.weekday(), numbers(source, lab.days.events(source, day).rows, lab)) for day in days
        ]
    return _known[at]
