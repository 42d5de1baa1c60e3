"""A year of four assets in Dagster, each day's Parquet file written by DuckDB; run inside an
environment of its own: FOLDER, ORDER.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import time
from pathlib import Path

FOLDER, ORDER = Path(sys.argv[1]).absolute(), json.loads(Path(sys.argv[2]).read_text())
FOLDER.mkdir(parents=True)
os.environ["DAGSTER_HOME"] = str(FOLDER)
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
(FOLDER / "dagster.yaml").write_text("telemetry: {enabled: false}\n")

import dagster as dg  # noqa: E402
import duckdb  # noqa: E402

DAYS = dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01")
KEYS = DAYS.get_partition_keys()[: ORDER["days"]]
BATCH = 30
SAMPLE = 30
OUT = FOLDER / "out"
CONNECTION = duckdb.connect()
CONNECTION.execute(
    "SET threads = 2; SET preserve_insertion_order = false; SET TimeZone = 'America/New_York'"
)


def asset_of(name: str, sql: str):
    upstream = "flights" if name == "clean" else "clean"

    @dg.asset(
        name=name,
        partitions_def=DAYS,
        deps=[] if name == "clean" else ["clean"],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def compute(context) -> None:
        first, last = context.partition_key_range.start, context.partition_key_range.end
        between = f"BETWEEN '{first}' AND '{last}'"
        if upstream == "flights":
            rows = (
                f"SELECT * FROM read_parquet('{ORDER['rows']}') WHERE make_date(year, month, day)"
                f" {between}"
            )
        else:
            days = ", ".join(
                f"'{OUT}/clean/day={key}/*.parquet'" for key in KEYS if first <= key <= last
            )
            rows = f"SELECT * FROM read_parquet([{days}])"
        query = (
            f"WITH {upstream} AS ({rows}), made AS ({sql}) SELECT *, flight_date AS day FROM made"
        )
        OUT.mkdir(exist_ok=True)
        CONNECTION.execute(
            f"COPY ({query}) TO '{OUT}/{name}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY"
            " (day), OVERWRITE_OR_IGNORE)"
        )

    return compute


ASSETS = [asset_of(name, sql) for name, sql in ORDER["assets"].items()]


def day_by_day(instance: dg.DagsterInstance) -> float:
    """Seconds for all days, from a sample of them: each takes as long as the other."""
    keys = KEYS[:SAMPLE]
    began = time.perf_counter()
    for key in keys:
        assert dg.materialize(ASSETS, partition_key=key, instance=instance).success
    return (time.perf_counter() - began) * len(KEYS) / len(keys)


def in_ranges(instance: dg.DagsterInstance) -> float:
    began = time.perf_counter()
    for n in range(0, len(KEYS), BATCH):
        part = KEYS[n : n + BATCH]
        tags = {
            "dagster/asset_partition_range_start": part[0],
            "dagster/asset_partition_range_end": part[-1],
        }
        assert dg.materialize(ASSETS, tags=tags, instance=instance).success
    return time.perf_counter() - began


def check() -> None:
    for name in ORDER["assets"]:
        assert len(list(OUT.glob(f"{name}/day=*"))) == len(KEYS), name


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    instance = dg.DagsterInstance.get()
    ranged = in_ranges(instance)
    check()
    shutil.rmtree(OUT)
    seconds = {
        "dagster, a run a day, in process": day_by_day(instance),
        f"dagster, {BATCH} days a run, in process": ranged,
    }
    notes = (
        "runs in one process, without a daemon that launches them; no checks; files are visible as"
        f" they are written. A run a day is Dagster's way unless an asset says otherwise; {SAMPLE}"
        " days of it were measured, the year is their multiple"
    )
    print("\n" + json.dumps({"seconds": seconds, "notes": notes}))
