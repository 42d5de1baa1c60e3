"""A year of one small daily model in SQLMesh on DuckDB; run inside its own environment: FOLDER,
repeats, quick.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

from sqlmesh import Context

FOLDER, REPEATS, QUICK = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "quick"
LAST = "2013-01-07" if QUICK else "2013-12-31"
DAYS = 7 if QUICK else 365
CONFIG = """gateways:
  g:
    connection: {{type: duckdb, database: {folder}/data.duckdb}}
    state_connection: {{type: duckdb, database: {folder}/state.duckdb}}
default_gateway: g
model_defaults: {{dialect: duckdb, start: 2013-01-01}}
"""
MODEL = """MODEL (
  name db.daily, cron '@daily', start '2013-01-01', end '{last}',
  kind INCREMENTAL_BY_TIME_RANGE (time_column day, batch_size {batch}),
  audits (unique_combination_of_columns(columns := (day, n)), not_null(columns := (n)))
);
select @start_ds::date + d.days::int as day, n.n, n.n * n.n as squared
from range(100) as n(n), range(datediff('day', @start_ds::date, @end_ds::date) + 1) as d(days)
"""


def year(batch: int, repeat: int) -> float:
    folder = FOLDER / f"{batch}-{repeat}"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "models").mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG.format(folder=folder))
    (folder / "models" / "daily.sql").write_text(MODEL.format(batch=batch, last=LAST))
    context = Context(paths=str(folder))
    began = time.perf_counter()
    context.plan("prod", auto_apply=True, no_prompts=True)
    taken = 1000 * (time.perf_counter() - began) / DAYS
    rows = context.fetchdf("select count(*) as n, count(distinct day) as days from db.daily")
    assert (int(rows["n"][0]), int(rows["days"][0])) == (DAYS * 100, DAYS), rows
    context.close()
    return taken


if __name__ == "__main__":
    figures = {
        "partition_ms": {
            "sqlmesh, day by day": [year(1, n) for n in range(REPEATS)],
            "sqlmesh, 30 days a batch": [year(30, n) for n in range(REPEATS)],
        }
    }
    document = {
        "figures": figures,
        "durability": "DuckDB files of data and state; audited after they were written, not before",
    }
    print("\n" + json.dumps(document))
