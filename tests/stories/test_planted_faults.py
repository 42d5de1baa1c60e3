"""Three faults are planted in the demo, found by commands, repaired by one printed command each, and
the month after shows it. Everything is typed as a person does, on virtual time.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.cli.main import run

pytest.importorskip("headrace_demo")
from headrace_demo import demo_data
from headrace_demo.demo_data import FIRST_DAY, ZONE, DemoDataError, DemoFault

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(1500)]
GOOD_DAYS, FAULTY_DAYS, MONTH_DAYS = 2, 9, 30
TRIGGERED_AT = time(5, 40)
"""An hour after the last delivery of a day."""
REPORT = "assets/operations/daily_report.py"
FAULTS = {
    "assets/operations/wet_departures.sql": """/* headrace
description: Departures on days with known weather, with the seats of the plane
owner: operations
domain: operations
partition: {by: day, column: flight_date}
*/
with that_day as (
    select distinct f.flight_id, f.flight_date, f.tailnum, f.distance, f.flight
    from flights_clean as f
    join flying_conditions as c on c.observed_on = f.flight_date
),
planes_of as (
    select distinct d.flight_id, d.flight_date, d.tailnum, p.seats, d.distance, d.flight
    from that_day as d left join fleet as p on p.tailnum = d.tailnum
),
far as (
    select distinct flight_id, flight_date, tailnum, seats, distance, flight
    from planes_of where distance > 100
),
listed as (
    select distinct flight_id, flight_date, seats, distance, flight from far
)
select distinct flight_id, flight_date, seats, distance, flight
from listed
""",
    "assets/operations/departures_copy.sql": """/* headrace
description: Departures with the seats of their plane, once meant for a forecast
owner: operations
domain: operations
partition: {by: day, column: flight_date}
checks:
  - unique: [flight_id]
*/
select f.flight_id, f.flight_date, f.distance, f.flight, p.seats
from flights_clean as f left join fleet as p on p.tailnum = f.tailnum
""",
}
EDITS = (
    ("headrace.toml", "[run]\n", '[retention]\npruned = "20d"\n\n[run]\n'),
    ("consumers.yaml", "carrier_delays, airport_ranking]", "carrier_delays, airport_ranking, wet_departures]"),
    (REPORT, '    partition="day",\n', '    partition="day",\n    trigger={"cron": "40 5 * * *"},\n'),
)  # fmt: skip


class Operator:
    """Types commands in the demo's folder, at a time that goes on."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self._capsys = root, capsys
        self.now = datetime.combine(FIRST_DAY, time(), ZONE)

    def types(self, *words: str, code: int = 0) -> str:
        self._capsys.readouterr()
        result = run([*words, "--now", self.now.isoformat()])
        out, err = self._capsys.readouterr()
        assert result == code, (words, result, out[-1500:], err[-1500:])
        return str(out)

    def json(self, *words: str) -> Any:
        return json.loads(self.types(*words, "--json"))

    def agrees(self, command: str) -> None:
        """Type a command as it was printed, and agree."""
        program, *words = shlex.split(command)
        assert program == "headrace"
        self.types(*words, "--yes")

    def lives_through(self, first: date, days: int, *, at: tuple[time, ...] = ()) -> date:
        """Ticks when the last file of a day has arrived, and at other times of the morning."""
        for number in range(days):
            day = first + timedelta(days=number)
            demo_data.deliver(self.root / "landing", day, DemoFault.NONE)
            morning = day + timedelta(days=1)
            times = [
                demo_data.arrives(day),
                *(datetime.combine(morning, each, ZONE) for each in at),
            ]
            for self.now in times:
                self.types("tick")
        return first + timedelta(days=days)


@pytest.fixture
def planted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Operator]:
    """The demo after some days with the three faults in it."""
    monkeypatch.setenv("COLUMNS", "250")

    def plant() -> Operator:
        try:
            demo_data.sdist()
        except DemoDataError as error:
            pytest.skip(f"the demo's data can't be fetched: {error}")
        root = tmp_path / "demo"
        words = ["demo", str(root), "--days", str(GOOD_DAYS), "--fault", "none", "--no-serve"]
        assert run([*words, "--json"]) == 0
        for path, text in FAULTS.items():
            (root / path).write_text(text)
        for path, old, new in EDITS:
            text = (root / path).read_text()
            assert text.count(old) == 1
            (root / path).write_text(text.replace(old, new))
        monkeypatch.chdir(root)
        operator = Operator(root, capsys)
        first = FIRST_DAY + timedelta(days=GOOD_DAYS)
        operator.now = datetime.combine(first, time(7, 30), ZONE)
        operator.types("apply", "--yes")
        operator.lives_through(first, FAULTY_DAYS, at=(TRIGGERED_AT,))
        operator.now += timedelta(hours=2)  # the last report has been due
        return operator

    return plant


def _printed(page: str, command: str) -> str:
    """The command that a page prints on a line of its own."""
    lines = [line.strip().removeprefix("next: ") for line in page.splitlines()]
    (result,) = {line for line in lines if re.match(rf"headrace {command}\b", line)}
    return result


def _ready(operator: Operator, day: date) -> time:
    """When the morning report of a day was there."""
    line = operator.types("why", f"morning-report@{day}").splitlines()[1]
    match = re.search(r"was there (?:\w+ [\d-]+ )?(\d\d:\d\d)", line)
    assert match, line
    return time.fromisoformat(match[1])


def _rows(operator: Operator, day: date) -> list[str]:
    rows = operator.json("read", f"wet_departures@{day}", "--limit", "10000")["rows"]
    return sorted(str(row) for row in rows)


def test_three_faults_are_found_and_repaired_and_a_month_shows_it(
    planted: Callable[[], Operator],
) -> None:
    """Would catch: a fault that its command doesn't name, a repair that takes more than the one
    command that is printed, one that changes rows, and a promise that nobody compares later."""
    operator = planted()
    last_faulty = FIRST_DAY + timedelta(days=GOOD_DAYS + FAULTY_DAYS - 1)
    assert _ready(operator, last_faulty) == TRIGGERED_AT

    # a report that waits an hour for nothing
    page = operator.types("bottleneck", "morning-report")
    assert f"before {FAULTY_DAYS} of" in page
    assert "1 h 00 min as a median, with all its inputs there" in page
    operator.agrees(_printed(page, "bottleneck apply"))
    assert "trigger" not in (operator.root / REPORT).read_text()

    # an unread asset that is computed each day
    assert "departures_copy" in operator.types("costs")
    operator.agrees(_printed(operator.types("complexity"), "complexity prune"))
    assert "departures_copy" not in {row["name"] for row in operator.json("ls")}

    # five DISTINCTs that hide a fan-out
    before = _rows(operator, last_faulty)
    page = operator.types("optimize", "wet_departures", "--prove", "--budget", "300s")
    assert "the join with flying_conditions repeats rows, and DISTINCT removes them again" in page
    together = page.partition("all of wet_departures at once:")[2]
    operator.agrees(_printed(together, "optimize apply"))
    text = (operator.root / "assets/operations/wet_departures.sql").read_text()
    assert "distinct" not in text
    assert "exists (select 1 from flying_conditions" in text
    assert operator.json("plan")["steps"] == []

    # the month after
    end = operator.lives_through(last_faulty + timedelta(days=1), MONTH_DAYS)
    for day in (last_faulty + timedelta(days=1), end - timedelta(days=1)):
        assert _ready(operator, day) == demo_data.arrives(day).time()
    assert len(_rows(operator, end - timedelta(days=1))) > 0
    assert _rows(operator, last_faulty) == before
    operator.types("db", "gc")  # a replay runs no maintenance by itself
    page = operator.types("bottleneck", "morning-report", "--window", f"{MONTH_DAYS}d")
    assert "waiting for the time of a trigger" not in page
    assert "departures_copy" not in operator.types("costs", "--window", f"{MONTH_DAYS - 1}d")
    trial = next(row for row in operator.json("ab") if " " in (row["finding"] or ""))
    assert trial["followed_up"]["days"] >= MONTH_DAYS - 1
    (line,) = [
        line for line in operator.types("ab").splitlines() if line.startswith(f"  {trial['id']} ")
    ]
    assert re.search(r"promised [+-][\d.]+ %, was [+-][\d.]+ % in \d+ days", line), line
    assert operator.json("status")["incidents_open"] == 0
