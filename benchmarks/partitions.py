"""A year of flights, one partition at a time: what a checked and published partition costs, and how
long one request takes.

365 days × 4 assets through `headrace run` on two workers, each partition computed alone (`batch:
off`), its checks run, its file synced and published. The time is that of the whole command,
start-up and end included, by 1,460.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

from benchmarks.harness import Figure, main
from benchmarks.headrace_cli import run
from headrace.acts.command_context import CommandContext
from headrace.acts.commands import COMMANDS, RequestHandler, answer, work_until_done
from headrace.project.session import ProjectSession, Silent
from headrace.runtime.leadership import hold
from headrace.security.audit import Actor, ActorType
from headrace.services.run import RunArguments
from headrace_demo import demo_data
from headrace_demo.demo_data import DemoFault

DAYS = 365
DAYS_QUICK = 14
REQUESTS = 50
REQUESTS_QUICK = 5
WARM_UP = 4
NOW = "2014-01-02T12:00-05:00"

HEADRACE_TOML = '[project]\nname = "year"\ntimezone = "America/New_York"\n[run]\nworkers = 2\n'
OWNERS = "core: {kind: team, contact: ['mailto:core@example.com']}\n"
SOURCE = """source: flights
owner: core
partition: day
files: landing/flights_{date:%Y-%m-%d}.csv
contract: flights
on_anomaly: warn
"""
FRONT = (
    "/* headrace\nowner: core\npartition: {{by: day, column: flight_date}}\nbatch: {batch}\nchecks:"
    " {checks}\n*/{sql}\n"
)
ASSETS = {
    "clean": (
        (
            "[{unique: [flight_id]}, {not_null: [carrier, origin]}, {accepted_values: {column:"
            " origin, values: [EWR, JFK, LGA]}}]"
        ),
        """
select md5(concat_ws('|', carrier, flight, origin, dest, epoch(time_hour))) as flight_id, make_date(year, month, day) as flight_date,
    carrier, tailnum, origin, dest, dep_delay, arr_delay, distance, time_hour, dep_time is null as cancelled
from flights""",
    ),
    "by_carrier": (
        "[{unique: [flight_date, carrier]}, {not_null: [carrier]}]",
        """
select flight_date, carrier, count(*) as flights, count(*) filter (cancelled) as cancelled, avg(arr_delay) as mean_arr_delay
from clean
group by flight_date, carrier""",
    ),
    "by_hour": (
        "[{unique: [flight_date, origin, time_hour]}, {not_null: [origin]}]",
        """
select flight_date, origin, time_hour, count(*) as flights, avg(dep_delay) as mean_dep_delay
from clean
group by flight_date, origin, time_hour""",
    ),
    "by_route": (
        "[{unique: [flight_date, origin, dest]}, {not_null: [dest]}]",
        """
select flight_date, origin, dest, count(*) as flights, sum(distance) as miles
from clean
group by flight_date, origin, dest""",
    ),
}


def project(folder: Path, days: int, *, batch: str = "off") -> None:
    """Write a project of one source and four assets, and `days` deliveries of real flights. `batch`
    is each asset's.
    """
    for name, text in {
        "headrace.toml": HEADRACE_TOML,
        "owners.yaml": OWNERS,
        "sources/flights.yaml": SOURCE,
    }.items():
        _write(folder / name, text)
    for name, (checks, sql) in ASSETS.items():
        _write(folder / f"assets/{name}.sql", FRONT.format(checks=checks, sql=sql, batch=batch))
    contract = resources.files("headrace_demo").joinpath(
        "demo_project", "contracts", "flights.odcs.yaml"
    )
    _write(folder / "contracts/flights.odcs.yaml", contract.read_text(encoding="utf-8"))
    for n in range(days):
        demo_data.deliver(folder / "landing", date(2013, 1, 1) + timedelta(days=n), DemoFault.NONE)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def year(folder: Path, days: int) -> tuple[float, float]:
    """Milliseconds a delivery ingested, and milliseconds a partition of the assets."""
    project(folder, days)
    began = time.perf_counter()
    taken = run(folder, "run", "flights", "--now", NOW)
    ingested = time.perf_counter() - began
    began = time.perf_counter()
    computed = run(folder, "run", *ASSETS, "--now", NOW)
    seconds = time.perf_counter() - began
    partitions = len(computed["published"])
    if len(taken["published"]) != days or partitions != days * len(ASSETS):
        raise SystemExit(
            f"published {len(taken['published'])} deliveries and {partitions} partitions of {days}"
            f" × {len(ASSETS)}"
        )
    return 1000 * ingested / days, 1000 * seconds / partitions


def requests(folder: Path, count: int) -> list[float]:
    """Milliseconds from asking a leader with warm workers for one partition to its publication,
    `count` times.
    """
    session = ProjectSession.open(folder, "prod", NOW, "benchmark")
    taken = []
    with hold(
        session.root,
        session.settings,
        actor=Actor(ActorType.SERVICE, "benchmark"),
        now=session.now_given,
    ) as held:
        context = CommandContext(session, held)
        handler = RequestHandler(context, answer)
        for n in range(-WARM_UP, count):
            key = (date(2013, 1, 1) + timedelta(days=n % DAYS_QUICK)).isoformat()
            asked = RunArguments(
                ["by_carrier"], [], [key], None, None, again=True, reason="a benchmark"
            )
            began = time.perf_counter()
            work: Any = COMMANDS["run"].do(context, asked)
            document: Any = work_until_done(work, handler, Silent())
            if n >= 0:
                taken.append(1000 * (time.perf_counter() - began))
            if len(document.published) != 1:
                raise SystemExit(f"by_carrier@{key} wasn't published: {document}")
    return taken


def measure(*, quick: bool) -> list[Figure]:
    """Three years (one short one with `quick`), each in a folder of its own, and single requests in
    the last.
    """
    deliveries, partitions = [], []
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as base:
        for n in range(1 if quick else 3):
            folder = Path(base, str(n))
            ingested, each = year(folder, DAYS_QUICK if quick else DAYS)
            deliveries.append(ingested)
            partitions.append(each)
            if n:
                shutil.rmtree(Path(base, str(n - 1)))
        single = requests(folder, REQUESTS_QUICK if quick else REQUESTS)
    return [
        Figure(
            name="partition",
            value=statistics.median(partitions),
            unit="ms",
            goal=4.0,
            runs=partitions,
        ),
        Figure(
            name="request_to_published_p50",
            value=statistics.median(single),
            unit="ms",
            goal=15.0,
            runs=single,
        ),
        Figure(
            name="delivery_taken_in",
            value=statistics.median(deliveries),
            unit="ms",
            goal=None,
            runs=deliveries,
        ),
    ]


if __name__ == "__main__":
    main(__doc__, measure)
