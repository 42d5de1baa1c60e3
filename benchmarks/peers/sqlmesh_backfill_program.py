"""A year of four models in SQLMesh on DuckDB; run inside its own environment: FOLDER, ORDER."""

from __future__ import annotations

import json
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import duckdb
from sqlmesh import Context

FOLDER, ORDER = Path(sys.argv[1]).absolute(), json.loads(Path(sys.argv[2]).read_text())
LAST = date(2013, 1, 1) + timedelta(days=ORDER["days"] - 1)
CONFIG = """gateways:
  g:
    connection: {{type: duckdb, database: {folder}/data.duckdb, concurrent_tasks: 2}}
    state_connection: {{type: duckdb, database: {folder}/state.duckdb}}
default_gateway: g
model_defaults: {{dialect: duckdb, start: 2013-01-01}}
"""
MODEL = """MODEL (
  name db.{name}, cron '@daily', start '2013-01-01', end '{last}',
  kind INCREMENTAL_BY_TIME_RANGE (time_column flight_date{batch})
);
with {upstream} as (select * from {table} where {day} between @start_ds::date and @end_ds::date)
{sql}
"""


def year(batch: int | None) -> float:
    folder = FOLDER / str(batch)
    (folder / "models").mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG.format(folder=folder))
    for name, sql in ORDER["assets"].items():
        first = name == "clean"
        text = MODEL.format(
            name=name,
            last=LAST,
            batch=f", batch_size {batch}" if batch else "",
            upstream="flights" if first else "clean",
            table="main.flights" if first else "db.clean",
            day="make_date(year, month, day)" if first else "flight_date",
            sql=sql,
        )
        (folder / "models" / f"{name}.sql").write_text(text)
    with duckdb.connect(f"{folder}/data.duckdb") as connection:
        connection.execute(f"CREATE TABLE flights AS SELECT * FROM read_parquet('{ORDER['rows']}')")
    context = Context(paths=str(folder))
    began = time.perf_counter()
    context.plan("prod", auto_apply=True, no_prompts=True)
    taken = time.perf_counter() - began
    for name in ORDER["assets"]:
        days = context.fetchdf(f"select count(distinct flight_date) as days from db.{name}")
        assert int(days["days"][0]) == ORDER["days"], (name, days)
    context.close()
    return taken


if __name__ == "__main__":
    seconds = {"sqlmesh, 30 days a batch": year(30), "sqlmesh, one batch": year(None)}
    notes = (
        "tables in one DuckDB file instead of Parquet files; no audits; the deliveries are a table"
        " there before it begins; its own start-up, loading and planning aren't in it before `plan`"
        " is called"
    )
    print("\n" + json.dumps({"seconds": seconds, "notes": notes}))
