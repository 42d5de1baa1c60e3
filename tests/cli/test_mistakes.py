"""What people who know dbt, Airflow or Dagster write first: each mistake is found before anything
runs, and says what to write.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from clilab import FILES, Project

HEAD = "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"
SOURCE = "source: other\nowner: acme\npartition: day\nfiles: landing/other_{date:%Y-%m-%d}.csv\n"
SETTINGS = FILES["headrace.toml"]


def sql(text: str) -> dict[str, str]:
    return {"assets/bad.sql": HEAD + text}


def field(line: str) -> dict[str, str]:
    return {
        "assets/bad.sql": (
            HEAD.replace("owner: core", f"owner: core\n{line}") + "select id, day from orders"
        )
    }


def python(text: str) -> dict[str, str]:
    return {"assets/bad.py": text}


def command(words: str) -> dict[str, str]:
    return {
        "assets/bad.yaml": (
            f"asset: bad\nowner: core\npartition: day\ninputs: [orders]\ncommand: {words}\n"
        )
    }


def connection(line: str) -> dict[str, str]:
    return {"headrace.toml": f"{SETTINGS}[connections.wh]\n{line}\n"}


def channel(line: str) -> dict[str, str]:
    return {"headrace.toml": f"{SETTINGS}[notify.ops]\n{line}\n"}


MISTAKES: dict[str, tuple[dict[str, str], str, int, str]] = {
    # name: files, code, line, a part of the hint
    "ref": (sql("select id, day\nfrom {{ ref('orders') }}"), "sql_template", 6, "from orders"),
    "ref of a package": (
        sql("select id, day from {{ref('p', 'orders')}} o"),
        "sql_template",
        5,
        "from orders",
    ),
    "source": (
        sql("select id, day from {{ source('erp', 'orders') }}"),
        "sql_template",
        5,
        "sources/orders.yaml",
    ),
    "var": (
        sql("select id, day from orders where id > {{ var('least') }}"),
        "sql_template",
        5,
        "$least",
    ),
    "is_incremental": (
        sql("select id, day from orders {% if is_incremental() %} where 1 {% endif %}"),
        "sql_template",
        5,
        "partition: day",
    ),
    "ds in quotes": (
        sql("select id, day from orders where day = '{{ ds }}'"),
        "sql_template",
        5,
        "$partition_start",
    ),
    "a macro of dbt": (
        {"macros/m.sql": "-- cents\n{% macro cents(x) %} {{ x }} / 100 {% endmacro %}"},
        "bad_macro",
        2,
        "",
    ),
    "a macro with a word of SQL as name": (
        {"macros/m.sql": "create macro both(a, b) as a + b;\n"},
        "bad_macro",
        1,
        "`both` is a word of SQL",
    ),
    "a schema": (sql("select id, day from raw.orders"), "qualified_name", 5, "write `orders`"),
    "a parameter with a colon": (
        sql("select id, day from orders where id > :least"),
        "sql_syntax",
        5,
        "$name",
    ),
    "backticks": (sql("select `id`, day from orders"), "sql_syntax", 5, "double quotes"),
    "a type of Snowflake": (
        sql("select id::number(10,2) as n, day from orders"),
        "sql_binding",
        5,
        "",
    ),
    "a function of SQL Server": (
        sql("select id, day, getdate() as now from orders"),
        "unknown_function",
        5,
        "current_timestamp",
    ),
    "GROUP BY without a column": (
        sql("select id, day, count(*) as n\nfrom orders group by day"),
        "sql_binding",
        5,
        "",
    ),
    "a window in WHERE": (
        sql("select day, id from orders where row_number() over () = 1"),
        "sql_binding",
        5,
        "",
    ),
    "a nested aggregate": (
        sql("select day, sum(count(*)) as n from orders group by day"),
        "sql_binding",
        5,
        "",
    ),
    "tests": (field("tests: [unique]"), "unknown_field", 3, "checks:"),
    "unique_key": (field("unique_key: id"), "unknown_field", 3, "merge: {keys: [id]}"),
    "materialized incremental": (
        field("materialize: incremental"),
        "wrong_value",
        3,
        "partition: day",
    ),
    "schedule": (field("schedule: '@daily'"), "unknown_field", 3, "trigger:"),
    "a nickname of cron": (field("trigger: {cron: '@daily'}"), "wrong_value", 3, "0 0 * * *"),
    "retries": (field("retries: 3"), "unknown_field", 3, "attempts_max"),
    "relationships": (
        field("checks: [{relationships: {to: orders}}]"),
        "unknown_check",
        3,
        "references:",
    ),
    "an asset without the import": (
        python("@asset(owner='core')\ndef bad(ctx):\n    return 1\n"),
        "asset_not_found",
        2,
        "from headrace import",
    ),
    "an asset of Dagster": (
        python("from dagster import asset\n@asset\ndef bad():\n    return 1\n"),
        "asset_not_found",
        3,
        "from headrace import",
    ),
    "snowflake": (
        connection('url = "snowflake://u:${PW}@account/db"'),
        "wrong_value",
        9,
        "postgresql",
    ),
    "a driver in the URL": (
        connection('url = "postgresql+psycopg2://u:${PW}@h/db"'),
        "wrong_value",
        9,
        "postgresql://",
    ),
    "bigquery": (connection('type = "bigquery"'), "wrong_value", 9, "Python asset"),
    "an unknown service": (
        channel('url = "hdfs://${HOST}/messages"'),
        "unknown_service",
        9,
        "slack://",
    ),
    "a file server as a channel": (
        channel('url = "ftp://ftp.example/in"'),
        "unknown_service",
        9,
        "https://",
    ),
    "an unknown service as a contact": (
        {"owners.yaml": FILES["owners.yaml"] + "ops: {contact: ['ftp://a.example/b']}\n"},
        "unknown_service",
        3,
        "file:",
    ),
    "a program that isn't there": (
        command("[no-such-program-here, a]"),
        "missing_program",
        5,
        "install it",
    ),
    "a script that isn't there": (
        command("[python3, jobs/nope.py, --fast]"),
        "missing_program",
        5,
        "relative to the project",
    ),
    "a line of a shell": (command("['dbt run && echo done']"), "missing_program", 5, "sh"),
    "files of another kind": (
        {"sources/other.yaml": SOURCE.replace(".csv", ".avro")},
        "unsupported_kind",
        4,
        "Parquet",
    ),
    "daily": (
        {"sources/other.yaml": SOURCE.replace("partition: day", "partition: daily")},
        "wrong_value",
        3,
        "day",
    ),
    "several files in a bucket": (
        {
            "sources/far.yaml": (
                "source: far\nowner: acme\npartition: day\nfiles:"
                " s3://b/{date:%Y-%m-%d}*.csv\ncomplete: {files: 2}\n"
            )
        },
        "unsupported_kind",
        1,
        "one file",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_mistake_is_an_error_with_line_and_hint(new: Project, name: str) -> None:
    files, code, line, hint = MISTAKES[name]
    for path, text in files.items():
        (new.root / path).parent.mkdir(exist_ok=True)
        (new.root / path).write_text(text)
    response = new.json("validate", "--bind")
    result = [
        row for row in response["problems"] if row["severity"] == "error" and row["code"] == code
    ]
    assert len(result) == 1, response["problems"]
    assert (result[0]["file"], result[0]["line"]) == (next(iter(files)), line), result
    assert hint in result[0]["hint"], result
    assert "Token" not in result[0]["message"], (
        "what the parser holds in memory is nobody's business"
    )
    new.text("explain", code)


def test_what_is_no_mistake_stays_none(new: Project) -> None:
    (new.root / "assets/pkg").mkdir()
    (new.root / "assets/__init__.py").write_text("")
    (new.root / "assets/pkg/__init__.py").write_text("\n\n")
    (new.root / "assets/pkg/helper.py").write_text("def model(x):\n    return x\n")
    (new.root / "run.sh").write_text("exit 0\n")
    (new.root / "assets/job.yaml").write_text(
        "asset: job\nowner: core\npartition: day\ninputs: [orders]\ncommand: [sh, run.sh]\n"
    )
    (new.root / "assets/inline.yaml").write_text(
        "asset: inline\nowner: core\npartition: day\ninputs: [orders]\ncommand: [sh, -c, 'x.sh ||"
        " true']\n"
    )
    fine = {
        "alias": (
            "select date_trunc('day', day) as day, sum(amount) as amount from orders group by all"
        ),
        "grouped": "select cast(day as date) as d, day, count(*) as n from orders group by d, day",
        "quoted": "select day, '{{ customer }}' as template, {'a': {'b': 1}} as nested from orders",
        "windows": (
            "select day, sum(sum(amount)) over (order by day) as running from orders group by day"
        ),
        "listed": (
            "select day, list_transform([id], lambda x: x + 1) as l, customer.upper() as u from"
            " orders"
        ),
    }
    for name, text in fine.items():
        (new.root / f"assets/{name}.sql").write_text(HEAD + text)
    response = new.json("validate", "--bind")
    assert response["problems"] == []
    assert response["binding"]["left"] == 0


def test_a_contact_that_names_no_channel_holds_no_secret(new: Project) -> None:
    (new.root / "owners.yaml").write_text(
        FILES["owners.yaml"] + "ops: {contact: ['hook:team', 'a@b.example']}\n"
    )
    problems = new.json("validate")["problems"]
    assert [(row["severity"], row["code"]) for row in problems] == [
        ("warning", "unknown_contact")
    ] * 2
    assert any("write mailto:a@b.example" in row["hint"] for row in problems)
    (new.root / "owners.yaml").write_text(
        FILES["owners.yaml"] + "ops: {contact: ['https://hooks.example/T0/secret']}\n"
    )
    assert [row["code"] for row in new.json("validate")["problems"]] == ["literal_secret"]


def test_six_gigabytes_of_sql_are_refused_without_being_read(new: Project) -> None:
    """A sparse file: reading it whole would take 6 GB of memory, which the process may not have."""
    with (new.root / "assets/huge.sql").open("wb") as file:
        file.truncate(6_000_000_000)
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30));"
        "from headrace.cli.main import run; sys.exit(run(['validate', '--json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited],
        cwd=new.root,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 1, done.stderr
    assert '"file_too_large"' in done.stdout
    assert "assets/huge.sql" in done.stdout
