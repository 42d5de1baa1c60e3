#!/usr/bin/env bash
# Three libraries read the crontab line `0 0 */2 * 1` in three ways. croniter 7.0.0 (Airflow, Dagster): each second day
# of the month *or* Monday. cronsim 2.8, and cron itself: each second day *and* Monday, since the day begins with a `*`.
# APScheduler 3.11.3, from_crontab: each second day and *Tuesday*, since its weeks begin with Monday as 0. For
# `0 0 31 * 1`, APScheduler needs both, and the others one of them: one run in 2024, not 60. Nothing is raised. Exits with 0
# while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check croniter==7.0.0 cronsim==2.8 apscheduler==3.11.3
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from datetime import datetime, timedelta, timezone
from importlib.metadata import version

from apscheduler.triggers.cron import CronTrigger
from croniter import croniter
from cronsim import CronSim

print(*(f"{name} {version(name)}" for name in ("croniter", "cronsim", "apscheduler")))
start, end = (datetime(year, 1, 1, tzinfo=timezone.utc) - timedelta(seconds=1) for year in (2024, 2025))


def runs(line: str) -> list[list[datetime]]:
    """The days of 2024, by each library."""
    other, trigger = croniter(line, start), CronTrigger.from_crontab(line, timezone=timezone.utc)
    steps = (lambda at: other.get_next(datetime), lambda at, sim=CronSim(line, start): next(sim))
    steps = (*steps, lambda at: trigger.get_next_fire_time(None, at + timedelta(seconds=1)))
    found = []
    for step in steps:
        at, days = start, []
        while (at := step(at)) <= end:
            days.append(at)
        found.append(days)
    return found


seen = []
for line in ("0 0 */2 * 1", "0 0 31 * 1"):
    found = runs(line)
    seen.append([len(days) for days in found])
    print(f"{line}: {seen[-1]} runs in 2024; first", *(f"{days[0]:%a %d %b}," for days in found))
sys.exit(0 if seen == [[213, 27, 26], [60, 60, 1]] else 1)
PYTHON
