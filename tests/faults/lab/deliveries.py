"""What is delivered for a day: rows as they are when nothing is wrong, and how they are written
down.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
from pyarrow import parquet

from lab.shapes import LEVEL_NOISE, Measure, Reference, Source, World

Row = dict[str, str]
ARRIVAL_NOISE_MINUTES = 10
ROWS_MIN = 12
DAYS_KEPT = 10
"""Each fault of a seed is played on the same days: so many deliveries are kept as they are when
nothing is wrong."""


@dataclass
class Delivery:
    """A file, as it is about to be written. Faults change it."""

    source: str
    day: date
    header: list[str]
    rows: list[Row]
    delimiter: str = ","
    encoding: str = "utf-8"
    with_header: bool = True
    delay: timedelta = timedelta()
    missing: bool = False
    decimal: str = "."
    titles: dict[str, str] = field(default_factory=dict)
    """Column → its name in the file, where that is another."""
    kept: float = 1.0
    """Only this part of the file's bytes comes: what is cut off may end within a line."""
    short_from: int | None = None
    """From this row on the last value is missing."""
    format: str = "csv"
    columns: dict[str, str] = field(default_factory=dict)
    """What each holds, where the format has types."""
    exact: bool = False

    def body(self) -> bytes:
        """The file's bytes."""
        body = {"csv": self._csv, "jsonl": self._jsonl, "parquet": self._parquet}[self.format]()
        return body if self.kept == 1.0 else body[: int(len(body) * self.kept)].rstrip(b"\n")

    def _csv(self) -> bytes:
        text = io.StringIO()
        out = csv.writer(text, delimiter=self.delimiter, lineterminator="\n")
        if self.with_header:
            out.writerow(self._titles())
        for number, row in enumerate(self.rows):
            short = self.short_from is not None and number >= self.short_from
            out.writerow([row[name] for name in self.header[: -1 if short else None]])
        return text.getvalue().encode(self.encoding)

    def _jsonl(self) -> bytes:
        titles = self._titles()
        rows = zip(*(self._typed(name)[1] for name in self.header), strict=True)
        return b"".join(
            msgspec.json.encode(dict(zip(titles, row, strict=True))) + b"\n" for row in rows
        )

    def _parquet(self) -> bytes:
        out = pa.BufferOutputStream()
        columns = [
            pa.array(values, STORED[holds]) for holds, values in map(self._typed, self.header)
        ]
        parquet.write_table(pa.table(dict(zip(self._titles(), columns, strict=True))), out)
        return bytes(out.getvalue().to_pybytes())

    def _titles(self) -> list[str]:
        return [self.titles.get(name, name) for name in self.header]

    def _typed(self, name: str) -> tuple[str, list[object]]:
        """What a column holds, and its values; as texts where one of them isn't that."""
        texts, holds = [row[name] for row in self.rows], self.columns.get(name, "text")
        if holds == "number" and self.exact and self.format == "parquet":
            holds = "decimal"
        try:
            return holds, [None if not text else TYPED[holds](text) for text in texts]
        except (ValueError, ArithmeticError):
            return "text", [text or None for text in texts]


TYPED: dict[str, Callable[[str], object]] = {
    "text": str,
    "date": date.fromisoformat,
    "time": datetime.fromisoformat,
    "whole": int,
    "number": float,
    "decimal": Decimal,
}
STORED = {
    "text": pa.string(),
    "date": pa.date32(),
    "time": pa.timestamp("us"),
    "whole": pa.int64(),
    "number": pa.float64(),
    "decimal": pa.decimal128(18, 4),
}
Change = Callable[[Delivery], None]


class Days:
    """The days of a world. The same day is the same whenever it is asked for."""

    def __init__(self, world: World) -> None:
        self.world = world

    def events(self, source: Source, day: date, *, factor: float = 1.0) -> Delivery:
        """A sound day of a source; `factor`: so many times as many rows as on such a day."""
        rows = [dict(row) for row in _rows(self.world, source, day, factor)]
        return Delivery(
            source.name,
            day,
            list(source.order),
            rows,
            source.delimiter,
            format=source.format,
            columns=source.columns,
            exact=source.exact,
        )

    def reference(self, day: date) -> Delivery:
        """The reference data as they are on a day."""
        known: Reference = self.world.reference
        chance = random.Random(f"{self.world.seed} {known.name}")
        rows = [
            {
                known.entity: key,
                known.region: chance.choice(known.regions),
                known.weight: f"{chance.uniform(1, 9):.3f}",
            }
            for key in known.keys
        ]
        header = [known.entity, known.region, known.weight]
        if known.daily:
            header.append("as_of")
            for row in rows:
                row["as_of"] = day.isoformat()
        return Delivery(known.name, day, header, rows)

    def arrival(self, source: Source | Reference, day: date) -> datetime:
        """When a day's delivery comes, on the morning after."""
        chance = random.Random(f"{self.world.seed} {source.name} {day} arrives")
        minutes = source.arrives if isinstance(source, Source) else 45
        noise = max(min(chance.gauss(0, ARRIVAL_NOISE_MINUTES), 25), -25)
        return datetime.combine(day + timedelta(1), time(), ZoneInfo(self.world.zone)) + timedelta(
            minutes=minutes + noise
        )


@lru_cache(DAYS_KEPT)
def _rows(world: World, source: Source, day: date, factor: float) -> list[Row]:
    chance = random.Random(f"{world.seed} {source.name} {day}")
    level = (
        math.log(source.rows)
        + source.weekdays[day.weekday()]
        + chance.gauss(0, source.noise)
        + math.log(factor)
    )
    count = max(int(math.exp(level)), ROWS_MIN)
    shifts = {measure.name: chance.gauss(0, LEVEL_NOISE) for measure in source.measures}
    first = day.toordinal() * 100_000
    rows = [_row(world, source, day, chance, first + number, shifts) for number in range(count)]
    rows.sort(key=lambda row: row[source.time])
    return rows


def _row(
    world: World,
    source: Source,
    day: date,
    chance: random.Random,
    number: int,
    shifts: dict[str, float],
) -> Row:
    at = min(max(chance.gauss(source.peak, 3.5), 0.0), 23.99)
    row = {
        source.key: _key(source, number),
        source.entity: chance.choice(world.reference.keys),
        source.day: day.isoformat(),
        source.time: (
            f"{day.isoformat()} {int(at):02d}:{int(at * 60) % 60:02d}:{chance.randrange(60):02d}"
        ),
        source.category: chance.choices(
            [n for n, _ in source.categories], [w for _, w in source.categories]
        )[0],
        source.note: f"{chance.choice(source.order)} {chance.randrange(10_000)}",
    }
    for flag in source.flags:
        row[flag] = chance.choice(
            ("", "a", "b")
            if flag == source.flags[-1] and len(source.flags) > 1
            else ("Y", "N", "N")
        )
    for measure in source.measures:
        written = _written(measure, chance, shifts[measure.name])
        row[measure.name] = "" if chance.random() < measure.nulls else written
    return row


def _written(measure: Measure, chance: random.Random, shift: float) -> str:
    match measure.form:
        case "counts":
            return str(int(chance.expovariate(math.exp(-shift) / (1 + measure.spread))))
        case "shares":
            return f"{chance.betavariate(2, 1 + 6 * measure.spread):.4f}"
        case "degrees":
            return f"{chance.gauss(5 + measure.location + shift, 8 * measure.spread):.1f}"
        case _:
            value = math.exp(chance.gauss(measure.location + shift, measure.spread))
            value = -value if chance.random() < measure.negative else value
            return str(round(value)) if measure.whole else f"{value:.2f}"


def _key(source: Source, number: int) -> str:
    if source.keys == "whole":
        return str(number)
    if source.keys == "padded":
        return f"{number:014d}"
    digest = hashlib.sha256(f"{source.name} {number}".encode()).hexdigest()
    if source.keys == "uuids":
        return str(uuid.UUID(digest[:32]))
    return digest[:20] if source.keys == "digests" else f"{source.name[:2]}-{number}"


def path_of(root: Path, source: Source | Reference, day: date) -> Path:
    """Where a delivery lies; what a server serves lies in `served`."""
    if isinstance(source, Reference):
        return (
            root
            / "landing"
            / (f"{source.name}_{day.isoformat()}.csv" if source.daily else f"{source.name}.csv")
        )
    return (
        root
        / ("served" if source.kind == "http" else "landing")
        / f"{source.name}_{day.isoformat()}.{source.format}"
    )


def write(path: Path, delivery: Delivery, at: datetime) -> None:
    """A delivery as it arrives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(delivery.body())
    stamp = at.astimezone(UTC).timestamp()
    os.utime(part, (stamp, stamp))
    part.rename(path)
