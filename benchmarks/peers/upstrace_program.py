"""upstrace on the same days: a job a line on standard input, what it says a line on standard
output. Runs in its own environment.

It wants a dbt project only for the manifest with the lineage; the tables are built here by the same
SELECTs. `frozen` compares two profiles of the same days, as its own evaluation does; `rolling`
judges each day by those before it, as its manual says for production.
"""

import json
import os
import sys
from pathlib import Path

import duckdb

work = Path(sys.argv[1])
models = json.loads(sys.argv[2])
work.mkdir(parents=True, exist_ok=True)
(work / "target").mkdir(exist_ok=True)
os.environ["UPSTRACE_CONFIG"] = str(work / "upstrace.yml")
(work / "upstrace.yml").write_text(
    f"project: flights\nwarehouse: {work}/upstrace.duckdb\ndbt_project_dir: {work}\nprofile:"
    " {partition_column: {flights: flight_date, facts: flight_date, by_carrier: flight_date,"
    " by_origin: flight_date}}\n"
)
nodes = {
    f"model.flights.{name}": {
        "resource_type": "model",
        "name": name,
        "relation_name": f"main.{name}",
        "config": {"materialized": "table"},
        "depends_on": {
            "nodes": ["source.flights.flights" if name == "facts" else "model.flights.facts"]
        },
    }
    for name in models
}
source = {"source.flights.flights": {"name": "flights", "relation_name": "main.flights"}}
(work / "target" / "manifest.json").write_text(json.dumps({"nodes": nodes, "sources": source}))

from upstrace import drift, rca  # noqa: E402 - they read the configuration when they are imported
from upstrace.profiler import run_profile  # noqa: E402
from upstrace.settings import get_settings  # noqa: E402
from upstrace.warehouse import connect  # noqa: E402


def build(job: dict, files: str) -> None:
    """The tables of some days, the facts by the job's model from its first day on."""
    with duckdb.connect(str(work / "upstrace.duckdb")) as db:
        db.execute(
            "create or replace table flights as select make_date(year, month, day) as flight_date,"
            " * from read_csv(?, all_varchar = false) where make_date(year, month, day) <= ?::date",
            [files, job["last"]],
        )
        sound, changed = models["facts"], job.get("body") or models["facts"]
        since = f"date '{job['first']}'"
        db.execute(
            f"create or replace table facts as select * from ({sound}) where flight_date < {since}"
            f" union all by name select * from ({changed}) where flight_date >= {since}"
        )
        for name, body in models.items():
            if name != "facts":
                db.execute(f"create or replace table {name} as {body}")


def judged(job: dict, mode: str) -> list[dict]:
    """Its incidents, the first one first."""
    baseline = None
    if mode == "frozen":
        build({**job, "body": ""}, job["clean"])
        con = connect()
        baseline = run_profile(con)
        con.close()
    build(job, job["files"])
    get_settings().baseline_mode = "rolling" if mode == "rolling" else "previous_run"
    con = connect()
    run = run_profile(con)
    drift.detect(con, run_id=run, baseline_run_id=baseline)
    result = rca.analyse(con, run_id=run)
    con.close()
    return [
        {"root": item.root, "columns": item.columns, "severity": item.severity} for item in result
    ]


for line in sys.stdin:
    job = json.loads(line)
    (work / "upstrace.duckdb").unlink(missing_ok=True)
    print(json.dumps({mode: judged(job, mode) for mode in ("frozen", "rolling")}), flush=True)
