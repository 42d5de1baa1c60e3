"""The daily reports of `data/jhu_csse` as they were published, day by day, through the command: a
vendor that announces nothing, and an operator who accepts a new header with one command and, after
a day, what the vendor hasn't sent again."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from serve_lab import serving

from headrace.cli.main import run

DATA = Path(__file__).parents[3] / "shared" / "data" / "jhu_csse"
FIRST, LAST = date(2020, 1, 22), date(2020, 4, 5)
PUBLISHED_IN_ONE_GO = date(2020, 2, 13)
"""Up to this day the archive was published afterwards; its reports are taken to have come half an
hour after midnight."""
BEGIN = datetime(2020, 1, 23, 0, 10, tzinfo=UTC)
NUMBERS = {"Confirmed", "Deaths", "Recovered", "Latitude", "Longitude"}
END = datetime(2020, 4, 7, 6, tzinfo=UTC)

HEADER = "/* headrace\nowner: health\npartition: {by: day, column: report_day}\n*/\n"
FILES = {
    "headrace.toml": '[project]\nname = "cases"\ntimezone = "UTC"\n',
    "owners.yaml": (
        "csse: {kind: vendor, manager: health}\nhealth: {kind: team, contact:"
        " ['mailto:health@example.com']}\n"
    ),
    "sources/daily.yaml": (
        "source: daily\nowner: csse\npartition: day\nfiles: landing/{date:%m-%d-%Y}.csv\nexpect:"
        " {by: '05:00'}\n"
    ),
    "assets/cases.sql": (
        HEADER + 'select $partition_start as report_day, trim("Country/Region") as country,'
        ' trim("Province/State") as province, coalesce(try_cast("Confirmed" as bigint), 0) as'
        " confirmed from daily\n"
    ),
    "assets/world.sql": (
        HEADER
        + "select report_day, sum(confirmed) as confirmed, count(*) as places from cases group by"
        " report_day\n"
    ),
    "consumers.yaml": "- consumer: bulletin\n  owner: health\n  reads: [world]\n  due: '07:00'\n",
}


class Sent(NamedTuple):
    """One version of one day's report."""

    at: datetime
    day: date
    file: Path


class Seen(NamedTuple):
    """One thing that was found odd, or one change of a header or a format that isn't simply let
    through.
    """

    partition: str
    kind: str
    severity: str
    detail: str


def deliveries() -> list[Sent]:
    """Every version, in the order in which it came; each content of a day once."""
    with (DATA / "MANIFEST.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    sent = {(item.at, item.day, row["blob"]): item for row in rows for item in [_sent(row)]}
    return [
        sent[key] for key in sorted(sent) if FIRST <= key[1] <= LAST and key[0].date() <= END.date()
    ]


def _sent(row: dict[str, str]) -> Sent:
    day = datetime.strptime(row["report_date"], "%m-%d-%Y").replace(tzinfo=UTC).date()
    at = datetime.fromisoformat(row["published_at"]).astimezone(UTC)
    if row["file"].startswith("daily_reports/") and day <= PUBLISHED_IN_ONE_GO:
        at = datetime.combine(day + timedelta(1), time(0, 30), UTC)
    return Sent(at, day, DATA / row["file"])


def total(path: Path) -> int:
    """Confirmed cases in a report, by the standard library alone."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return sum(int(float(row["Confirmed"] or 0)) for row in csv.DictReader(file))


def difference(before: Path, after: Path) -> str:
    """How many rows are new and how many are gone, where numbers are numbers; by the standard
    library alone."""
    was, now = _rows(before), _rows(after)
    return f"{(now - was).total()} rows added, {(was - now).total()} rows removed"


def _rows(path: Path) -> Counter[tuple[object, ...]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return Counter(
            tuple(float(cell) if name in NUMBERS and cell else cell for name, cell in row.items())
            for row in csv.DictReader(file)
        )


@dataclass
class Story:
    """The project, and what happened in it."""

    root: Path
    final: dict[str, Path] = field(default_factory=dict)
    accepted: list[str] = field(default_factory=list)
    """Partitions whose new header was accepted."""
    released: list[str] = field(default_factory=list)
    """Partitions that were accepted as exceptions."""
    held: dict[str, tuple[date, str]] = field(default_factory=dict)
    """Partition → when it was first withheld, and why."""

    def begin(self) -> None:
        for path, text in FILES.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text, encoding="utf-8")
        (self.root / "landing").mkdir()

    def live(self, until: datetime = END) -> None:
        """Each delivery as it came, a pass five minutes later, and a morning at six every day."""
        waiting, morning = deliveries(), BEGIN.replace(hour=6, minute=0)
        with serving(
            self.root, "--now", BEGIN.isoformat()
        ):  # its workers stay: a pass costs no processes
            while morning <= until:
                while waiting and waiting[0].at <= morning:
                    self._deliver(waiting[0])
                    self._look(waiting.pop(0).at + timedelta(minutes=5))
                self._look(morning)
                self._release(morning)
                morning += timedelta(days=1)

    def seen(self) -> list[Seen]:
        """Facts, and drift that was held or mapped. What is simply allowed is no alarm."""
        facts = self.rows("select partition, kind, severity, detail from fact where node = 'daily'")
        return [Seen(*row) for row in facts]

    def totals(self) -> dict[str, int]:
        read = self.headrace("read", "world", "--format", "json")["rows"]
        return {str(row["report_day"])[:10]: int(row["confirmed"]) for row in read}

    def expected(self) -> dict[str, int]:
        return {day: total(path) for day, path in self.final.items()}

    def rows(self, sql: str, *values: object) -> list[Any]:
        with sqlite3.connect(f"file:{self.root}/.headrace/state.db?mode=ro", uri=True) as db:
            return db.execute(sql, values).fetchall()

    def headrace(self, *arguments: str, code: int | None = 0) -> Any:
        """A command beside the server, in this process; its document."""
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            result = run([*arguments, "--json", "--project", str(self.root)])
        assert code is None or result == code, (
            f"{' '.join(arguments)}: exit {result}\n{errors.getvalue()}"
        )
        return json.loads(out.getvalue())

    def _deliver(self, sent: Sent) -> None:
        target = self.root / "landing" / f"{sent.day:%m-%d-%Y}.csv"
        shutil.copyfile(sent.file, target)
        os.utime(target, (sent.at.timestamp(), sent.at.timestamp()))
        self.final[sent.day.isoformat()] = sent.file

    def _look(self, now: datetime) -> None:
        withheld = self._tick(now)
        for key in withheld:
            self.held.setdefault(key, (now.date(), self._why(key)))
            if self._has_a_new_header(key):
                self.headrace(
                    "contract", "accept", f"daily@{key}", "--yes", "--now", now.isoformat()
                )
                self.accepted.append(key)
                self._tick(now)

    def _tick(self, now: datetime) -> list[str]:
        done = self.headrace("tick", "--now", now.isoformat(), code=None)
        stopped = (
            item
            for item in done["attempts"]
            if item["asset"] == "daily" and item["state"] in ("held", "rejected")
        )
        return [key for item in stopped for key in item["partitions"]]

    def _release(self, now: datetime) -> None:
        """What still waits a day after it came, and hasn't been sent again, is what it is."""
        for row in self.headrace("quarantine", "--now", now.isoformat()):
            key = row["partition"]
            if (
                row["node"] == "daily"
                and self.held[key][0] < now.date()
                and key not in self.released
            ):
                self.headrace(
                    "quarantine",
                    "accept",
                    f"daily@{key}",
                    "--reason",
                    "the vendor confirms it",
                    "--now",
                    now.isoformat(),
                )
                self.released.append(key)
                self._tick(now)

    def _why(self, key: str) -> str:
        sql = (
            "select reason from quarantine where node = 'daily' and partition = ? order by id desc"
            " limit 1"
        )
        return "".join(str(row[0]) for row in self.rows(sql, key))

    def _has_a_new_header(self, key: str) -> bool:
        return any(kind in ("renamed", "dropped") for (kind,) in self._blocked(key))

    def _blocked(self, key: str) -> Iterator[tuple[str]]:
        newest = (
            "select max(epoch * 1000000 + n) from drift where source = 'daily' and partition = ?"
        )
        sql = (
            "select kind from drift where source = 'daily' and partition = ? and policy = 'block'"
            f" and epoch * 1000000 + n = ({newest})"
        )
        yield from self.rows(sql, key, key)
