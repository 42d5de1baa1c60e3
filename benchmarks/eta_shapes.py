"""Backfills of many shapes, each a small project: what stands in a row, side by side, in chains, in
batches, in months.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

FIRST = date(2023, 1, 1)
SETTINGS = '[project]\nname = "eta"\ntimezone = "UTC"\n[run]\nworkers = {workers}\n{pools}'
OWNERS = "core: {kind: team, contact: ['mailto:core@example.com']}\n"
SOURCE = (
    "source: s\nowner: core\npartition: day\nfiles: landing/s_{date:%Y-%m-%d}.csv\non_anomaly:"
    " warn\n"
)
"""Its numbers are drawn: that five of a day are unlike those before holds nobody up."""
PYTHON = """import time
from headrace import Context, asset


@asset(owner="core", partition={partition!r}, inputs=[{reads!r}]{more})
def {name}(ctx: Context, {reads}):
    seed = sum((place + 1) * ord(letter) for place, letter in enumerate(ctx.partition)) % 97 / 97
    time.sleep({seconds} * (1 + {spread} * (2 * seed - 1)))
    return {reads}
"""
SQL = "/* headrace\nowner: core\npartition: {{by: {grain}, column: day}}\n{more}*/\n{body}\n"
HEAVY = (
    "select day, max(n) as n, sum(hash(i, day) % 7) as h from {reads}, range({rows}) as t(i) group"
    " by day"
)
MERGED = (
    "/* headrace\nowner: core\npartition: day\nmaterialize: merge\nmerge: {{keys: [day]}}\n*/\n"
    "select day, max(n) as n from {reads} group by day\n"
)


@dataclass(frozen=True)
class Asset:
    """`kind`: `python` waits for `seconds` (by `spread` of it more or less, by the day), `sql`
    computes over so many `rows`.
    """

    name: str
    reads: str
    kind: str = "python"
    seconds: float = 0.0
    spread: float = 0.0
    rows: int = 0
    grain: str = "day"
    batch: str = "auto"
    pool: bool = False

    def text(self, factor: float) -> tuple[str, str]:
        """Its file's name and content; `factor` is by how much longer it takes than at first."""
        if self.kind == "python":
            more = ', pool="one"' if self.pool else ""
            seconds = self.seconds * factor
            text = PYTHON.format(
                name=self.name,
                reads=self.reads,
                partition=self.grain,
                seconds=seconds,
                spread=self.spread,
                more=more,
            )
            return f"{self.name}.py", text
        if self.kind == "merge":
            return f"{self.name}.sql", MERGED.format(reads=self.reads)
        if self.grain != "day":
            body = f"select $partition_start::date as day, count(*) as n from {self.reads}"
        else:
            body = HEAVY.format(reads=self.reads, rows=int(self.rows * factor))
        return f"{self.name}.sql", SQL.format(
            grain=self.grain, more=f"batch: {self.batch}\n", body=body
        )


@dataclass(frozen=True)
class Shape:
    """`days` are backfilled after `before` were computed. `slower`: since then the bodies take so
    many times as long; `delivered`: the days that are backfilled are ingested by it."""

    name: str
    assets: tuple[Asset, ...]
    days: int = 60
    before: int = 12
    workers: int = 2
    slower: float = 1.0
    delivered: bool = False
    pools: str = ""
    unknown: tuple[str, ...] = field(default=())
    """Assets that come with the change: nothing is known of them."""

    def write(self, folder: Path) -> None:
        """The project, with what is delivered at first."""
        for name, text in {
            "headrace.toml": SETTINGS.format(workers=self.workers, pools=self.pools),
            "owners.yaml": OWNERS,
            "sources/s.yaml": SOURCE,
        }.items():
            _write(folder / name, text)
        self.write_assets(
            folder, [asset for asset in self.assets if asset.name not in self.unknown], 1.0
        )
        self.deliver(folder, 0, self.before)

    def write_assets(self, folder: Path, assets: list[Asset], factor: float) -> None:
        """Files of bodies that take so many times as long as at first."""
        for asset in assets:
            name, text = asset.text(factor)
            _write(folder / "assets" / name, text)

    def deliver(self, folder: Path, first: int, beyond: int) -> None:
        """The source's days from one to before another."""
        rng = random.Random(first)
        for number in range(first, beyond):
            key = day(number)
            rows = "".join(f"{key},{rng.randrange(1000)}\n" for _ in range(5))
            _write(folder / f"landing/s_{key}.csv", f"day,n\n{rows}")


def day(number: int) -> str:
    """A day by its number."""
    return (FIRST + timedelta(days=number)).isoformat()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _row(count: int, **how: object) -> tuple[Asset, ...]:
    return tuple(Asset(f"a{n}", f"a{n - 1}" if n else "s", **how) for n in range(count))  # type: ignore[arg-type]


def _fan(count: int, **how: object) -> tuple[Asset, ...]:
    return (Asset("a0", "s", **how), *(Asset(f"a{n}", "a0", **how) for n in range(1, count)))  # type: ignore[arg-type]


HEAVY_ROWS = 200_000
POOL = "[pools]\none = 1\n"
SHAPES = (
    Shape("row", _row(3, seconds=0.1), days=60),
    Shape("row, four workers", _row(3, seconds=0.2), days=90, workers=4),
    Shape("row, one worker", _row(2, seconds=0.1), days=60, workers=1),
    Shape("row, days differ", _row(3, seconds=0.1, spread=0.9), days=60),
    Shape("fan", _fan(4, seconds=0.1), days=50),
    Shape("fan, days differ", _fan(4, seconds=0.12, spread=0.9), days=50, workers=3),
    Shape(
        "one slow, three short",
        (
            Asset("a0", "s", seconds=0.02),
            *(Asset(f"a{n}", "a0", seconds=0.3 if n == 1 else 0.03) for n in (1, 2, 3)),
        ),
    ),
    Shape("three times as slow as before", _row(2, seconds=0.06), slower=3.0),
    Shape("three times as fast as before", _row(2, seconds=0.3), slower=1 / 3, days=80),
    Shape("new asset", _row(3, seconds=0.12), unknown=("a2",)),
    Shape("little history", _row(2, seconds=0.15), before=2, days=70),
    Shape(
        "pool of one",
        (Asset("a0", "s", seconds=0.05), Asset("a1", "a0", seconds=0.15, pool=True)),
        pools=POOL,
        days=70,
        workers=3,
    ),
    Shape(
        "months at the end",
        (*_row(2, seconds=0.05), Asset("m", "a1", seconds=0.8, grain="month")),
        days=150,
        before=31,
    ),
    Shape(
        "merge at the end", (Asset("a0", "s", seconds=0.2), Asset("m", "a0", kind="merge")), days=60
    ),
    Shape("ingested as well", _row(2, seconds=0.08), days=90, delivered=True),
    Shape("ingested, SQL", _row(2, kind="sql", rows=1000, batch="off"), days=150, delivered=True),
    Shape("SQL day by day", _row(3, kind="sql", rows=HEAVY_ROWS, batch="off"), days=80),
    Shape("SQL day by day, short", _row(4, kind="sql", rows=1000, batch="off"), days=200),
    Shape("SQL in batches", _row(3, kind="sql", rows=HEAVY_ROWS), days=250),
    Shape("SQL in batches, fan", _fan(4, kind="sql", rows=HEAVY_ROWS), days=200),
    Shape("SQL in batches, slower", _row(2, kind="sql", rows=HEAVY_ROWS), days=150, slower=2.0),
    Shape("SQL in batches, in steps", _row(6, kind="sql", rows=1_000), days=1_000),
    Shape(
        "SQL and Python",
        (Asset("a0", "s", kind="sql", rows=HEAVY_ROWS), Asset("a1", "a0", seconds=0.15)),
        days=80,
    ),
    Shape("long row", _row(8, seconds=0.08), days=25),
)
