#!/usr/bin/env bash
# croniter 7.0.0 (Airflow, Dagster) reads a range of one value as all values: `0 7-7 * * *` runs each hour, not at 7;
# `0 0 13-13 * *` runs each day, `0 0 * * 5-5` too. cronsim 2.8 and APScheduler 3.11.3, as cron does, read it as that
# value. Programs that write crontab lines from a first and a last value write such ranges. Nothing is raised. Exits
# with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check croniter==7.0.0 cronsim==2.8 apscheduler==3.11.3
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from datetime import datetime, timezone
from importlib.metadata import version

from apscheduler.triggers.cron import CronTrigger
from croniter import croniter
from cronsim import CronSim

print(*(f"{name} {version(name)}" for name in ("croniter", "cronsim", "apscheduler")))
start = datetime(2024, 1, 1, 0, 30, tzinfo=timezone.utc)
seen = []
for line in ("0 7-7 * * *", "0 0 13-13 * *", "5-5 * * * *"):
    trigger = CronTrigger.from_crontab(line, timezone=timezone.utc)
    others = next(CronSim(line, start)), trigger.get_next_fire_time(None, start)
    first = croniter(line, start).get_next(datetime)
    print(f"{line}: croniter {first:%d %b %H:%M}, cronsim and APScheduler", *(f"{at:%d %b %H:%M}" for at in others))
    seen.append((f"{first:%d %H:%M}", *{f"{at:%d %H:%M}" for at in others}))
right = [("01 01:00", "01 07:00"), ("02 00:00", "13 00:00"), ("01 00:31", "01 01:05")]
sys.exit(0 if seen == right else 1)
PYTHON
