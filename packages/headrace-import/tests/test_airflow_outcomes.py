"""What becomes of each task of an Airflow project, and the new project's files."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from airflow_projects import assert_valid, by_id, imported, one_dag, verdicts

from headrace_import.importers.airflow import read_project

FROM_SRC = "FROM src.s WHERE dt = '{{ ds }}'"
# SQL of a daily task, then what its asset's file contains
CARRIED = [
    ((f"DELETE FROM a.t WHERE dt = '{{{{ ds }}}}'; INSERT INTO a.t (dt, n) SELECT dt, count(*)"
     f" {FROM_SRC} GROUP BY dt"),
     "partition: {by: day, column: dt}|count(*) AS n|dt = $partition_start"),
    (("INSERT INTO t SELECT '{{ ds }}' AS dt, x FROM s WHERE ts >= '{{ data_interval_start }}'"
     " AND ts < '{{ data_interval_end }}'"),
     "$partition_start AS dt|ts < $partition_end"),
    ("CREATE OR REPLACE VIEW v AS SELECT a FROM s", "materialize: view"),
    ("TRUNCATE t; INSERT INTO t SELECT a FROM s", "SELECT\n  a\nFROM s"),
    ("DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT a FROM s", "FROM s"),
    ("CREATE TEMP TABLE x AS SELECT a FROM s; TRUNCATE t; INSERT INTO t SELECT a FROM x",
     "WITH x AS"),
    (("INSERT INTO t (id, v) SELECT id, v FROM s WHERE dt = '{{ ds }}' ON CONFLICT (id) DO UPDATE"
     " SET v = EXCLUDED.v"), "materialize: merge|keys: [id]"),
    (("INSERT INTO t SELECT id, v FROM s ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v"),
     "materialize: merge|keys: [id]"),
    ("TRUNCATE t; INSERT INTO t SELECT s.a::date, b FROM s", "CAST(s.a AS DATE) AS a,"),
    (("MERGE INTO t USING (SELECT id, v FROM s WHERE d = '{{ ds }}') s ON t.id = s.id WHEN MATCHED"
     " THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v)"),
     "materialize: merge"),
    (("INSERT INTO t SELECT dt, x FROM s WHERE dt = '{{ ds }}' AND y = '{{ macros.ds_add(ds, -7) }}'"
     " AND z = '{{ ds_nodash }}'"), "$partition_start - 7|strftime($partition_start, '%Y%m%d')"),
    ("BEGIN; TRUNCATE t; INSERT INTO t SELECT a -- why\nFROM s; COMMIT", "why"),
    ("SELECT count(*) FROM s", "AS column_1"),
    (("DELETE FROM t WHERE day = '{{ ds }}'; INSERT INTO t WITH x AS (SELECT at::date AS day, n"
      " FROM s WHERE at >= '{{ ds }}' AND at < '{{ data_interval_end }}') SELECT day, sum(n) AS n"
      " FROM x GROUP BY day"), "partition: {by: day, column: day}"),
    (("DELETE FROM t WHERE day = '{{ ds }}'; INSERT INTO t SELECT date_trunc('day', at) AS day, n"
      " FROM s WHERE date_trunc('day', at) = '{{ ds }}' UNION ALL SELECT v.day, n FROM (SELECT day, n"
      " FROM u WHERE day = '{{ ds }}') AS v"), "partition: {by: day, column: day}"),
    (("DELETE FROM t WHERE day = '{{ ds }}'; INSERT INTO t SELECT o.day, p.n FROM o JOIN p"
      " ON o.k = p.k AND o.day = '{{ ds }}'"), "partition: {by: day, column: day}"),
    ("TRUNCATE t; INSERT INTO t SELECT price / 100.0 AS h FROM s", "/ 100.0"),
    ("TRUNCATE t; WITH x AS (SELECT a FROM s) INSERT INTO t SELECT a FROM x", "WITH x AS"),
    ("DROP TABLE IF EXISTS t; CREATE TABLE t (k, v) AS SELECT a, b FROM s", "a AS k,|b AS v"),
    ("CREATE OR REPLACE VIEW v (k) AS SELECT a FROM s", "a AS k"),
    ("CREATE TABLE IF NOT EXISTS t (a int, b text); TRUNCATE t; INSERT INTO t SELECT a, b FROM s",
     "CAST(a AS INT) AS a|b"),
    ("SET statement_timeout = 0; TRUNCATE t; INSERT INTO t SELECT a FROM s", "FROM s"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "parts"), CARRIED)
def test_sql_that_an_asset_says(tmp_path: Path, sql: str, parts: str) -> None:
    project = one_dag(tmp_path / "a", f"PostgresOperator(task_id='q', sql={sql!r})")
    item = by_id(project)["d.q"]
    assert item.verdict.value == "carried", item.why
    text = project.files[item.created[0]]
    assert not [part for part in parts.split("|") if part not in text], text
    assert_valid(project, tmp_path / "h")


# SQL that no asset says faithfully: an import that carried it would publish other rows.
NOT_CARRIED = [
    ("INSERT INTO t SELECT a FROM s", "appends the same rows"),
    ("INSERT INTO t VALUES (1)", "values"),
    ("INSERT INTO t SELECT id, v FROM s ON CONFLICT (id) DO UPDATE SET w = EXCLUDED.w", "rows"),
    ("INSERT INTO t (v) SELECT v FROM s ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v", "rows"),
    ("INSERT INTO t SELECT a, sum(b) AS b FROM s WHERE dt = '{{ ds }}' GROUP BY a", "no column"),
    ("DELETE FROM t WHERE dt <= '{{ ds }}'; INSERT INTO t SELECT dt FROM s WHERE dt = '{{ ds }}'",
     "DELETE"),
    (("DELETE FROM t WHERE dt = '{{ ds }}' AND x = 1; INSERT INTO t SELECT dt FROM s"
     " WHERE dt = '{{ ds }}'"), "DELETE"),
    ("TRUNCATE t; INSERT INTO t SELECT dt FROM s WHERE dt = '{{ ds }}'", "whole table"),
    ("CREATE TABLE IF NOT EXISTS t AS SELECT a FROM s", "while it doesn't exist"),
    ("CREATE TABLE t AS SELECT a FROM s", "fails where it exists"),
    ("TRUNCATE t; INSERT INTO t SELECT a FROM s WHERE d = CURRENT_DATE", "time of the run"),
    ("TRUNCATE t; INSERT INTO t SELECT a FROM t2 JOIN t USING (a)", "reads the table"),
    (("INSERT INTO t SELECT dt FROM s WHERE dt = '{{ ds }}'; INSERT INTO u SELECT dt FROM s"
     " WHERE dt = '{{ ds }}'"), "more than once"),
    ("UPDATE t SET a = 1", "isn't a query"),
    ("CALL do_it()", "isn't a query"),
    (("MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = s.v + t.v"
     " WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v)"), "MERGE"),
    ("TRUNCATE t; INSERT INTO t SELECT my_udf(a) AS a FROM s", "my_udf"),
    ("TRUNCATE t_{{ ds_nodash }}; INSERT INTO t_{{ ds_nodash }} SELECT a FROM s", "from run to run"),
    ("{% for x in [1] %}SELECT 1{% endfor %}", "{% for"),
    ("TRUNCATE t; INSERT INTO t SELECT price / 100 AS h FROM s", "whole number"),
    ("TRUNCATE t; INSERT INTO t SELECT age(day) AS g FROM s", "time of the run"),
    ("TRUNCATE t; INSERT INTO t SELECT a FROM s WHERE d < 'now'::timestamp", "time of the run"),
    ("TRUNCATE t; INSERT INTO t SELECT user AS u FROM s", "session"),
    ("CREATE OR REPLACE VIEW v AS SELECT a FROM s WHERE u = current_user", "session"),
    ("TRUNCATE t; INSERT INTO t SELECT a FROM s LIMIT 10", "without an order"),
    (("TRUNCATE t; INSERT INTO t SELECT sum(a) OVER (PARTITION BY b ORDER BY c::int ROWS BETWEEN UNBOUNDED"
     " PRECEDING AND UNBOUNDED FOLLOWING) AS x FROM s"), "DuckDB gives wrong results"),
    ("TRUNCATE t; INSERT INTO t SELECT a FROM s WHERE a IS DISTINCT FROM 1 OR a = 2", "#25992"),
    (("CREATE OR REPLACE VIEW v AS SELECT count(*) OVER (PARTITION BY b, b) AS n, count(*) OVER"
     " (PARTITION BY b, c) AS m FROM s"), "#24629"),
    ("TRUNCATE t; INSERT INTO t SELECT to_char(d, 'YYYY-Q') AS q FROM s", "%Y-Q"),
    (("DELETE FROM o.a WHERE day = '{{ ds }}'; INSERT INTO o.a SELECT day, count(*) AS n FROM i.b"
      " GROUP BY day"), "no condition limits the column `day`"),
    (("DELETE FROM t WHERE day = '{{ ds }}'; INSERT INTO t SELECT p.day FROM o JOIN p ON o.k = p.k"
      " WHERE o.day = '{{ ds }}'"), "no condition limits"),
    (("DELETE FROM t WHERE day = '{{ ds }}'; INSERT INTO t SELECT day FROM o WHERE day = '{{ ds }}'"
      " UNION ALL SELECT day FROM p"), "no condition limits"),
    ("TRUNCATE t; INSERT INTO t SELECT a FROM s RETURNING a", "its INSERT has RETURNING"),
    ("CREATE OR REPLACE TABLE t CLONE u; INSERT INTO t SELECT a FROM s", "its CREATE has CLONE"),
    ("DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT a FROM s WITH NO DATA", "WITHDATA"),
    ("CREATE TEMP TABLE x (k) AS SELECT a FROM s; TRUNCATE t; INSERT INTO t SELECT k FROM x",
     "columns of a temporary table"),
    ("CREATE TABLE t (LIKE u); TRUNCATE t; INSERT INTO t SELECT a FROM s", "of another table"),
    ("WITH o AS (SELECT 1) DELETE FROM t; INSERT INTO t SELECT a FROM s", "its DELETE has WITH"),
    (("WITH o AS (SELECT id, v FROM s) MERGE INTO t USING o ON t.id = o.id WHEN MATCHED THEN UPDATE"
      " SET v = o.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (o.id, o.v)"), "its MERGE has WITH"),
    ("SET TIME ZONE 'Europe/Berlin'; TRUNCATE t; INSERT INTO t SELECT x::date AS a FROM s", "SET TIME"),
    ("SET datestyle = 'DMY'; TRUNCATE t; INSERT INTO t SELECT a FROM s", "SET datestyle"),
    ("USE o; TRUNCATE t; INSERT INTO t SELECT a FROM s", "USE o"),
    # what the types of a table change in the values
    (("CREATE TABLE IF NOT EXISTS t (n numeric(10,2)); TRUNCATE t; INSERT INTO t SELECT a / 3.0"
      " FROM s"), "AS DECIMAL(10, 2)"),
    ("CREATE TABLE IF NOT EXISTS t (n real); TRUNCATE t; INSERT INTO t SELECT a FROM s", "FLOAT"),
    (("CREATE TABLE IF NOT EXISTS t (n timestamp(0)); TRUNCATE t; INSERT INTO t SELECT a FROM s"),
     "fewer digits"),
    (("CREATE TABLE IF NOT EXISTS t (id serial, n int); TRUNCATE t; INSERT INTO t (n) SELECT a"
      " FROM s"), "fills the column `id`"),
    ("SELECT 1 FROM", "can't be read"),
    ("TRUNCATE t; TRUNCATE u; INSERT INTO t SELECT a FROM s", "also changes"),
    ("SELECT " + "(" * 200 + "1" + ")" * 200, "nested"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "reason"), NOT_CARRIED)
def test_sql_that_no_asset_says_runs_unchanged(tmp_path: Path, sql: str, reason: str) -> None:
    project = one_dag(tmp_path / "a", f"PostgresOperator(task_id='q', sql={sql!r})")
    item = by_id(project)["d.q"]
    assert (item.verdict.value, reason in item.why) == ("command", True), item.why
    assert_valid(project, tmp_path / "h")


# SQL of other databases with clauses of their own, by the operator's arguments
NOT_FOLLOWED = [
    ("SQLExecuteQueryOperator", "conn_id='mysql_default'",
     "TRUNCATE t; INSERT IGNORE INTO t SELECT a FROM s", "INSERT has IGNORE"),
    ("SQLExecuteQueryOperator", "conn_id='sqlite_default'",
     "DELETE FROM t; INSERT OR REPLACE INTO t SELECT a FROM s", "INSERT has OR REPLACE"),
    ("SQLExecuteQueryOperator", "conn_id='sqlite_default'",
     "DELETE FROM t WHERE d = '{{ ds }}' LIMIT 5; INSERT INTO t SELECT d FROM s WHERE d = '{{ ds }}'",
     "DELETE has LIMIT"),
    ("SQLExecuteQueryOperator", "conn_id='spark_default'",
     "INSERT OVERWRITE TABLE t PARTITION (d='{{ ds }}') SELECT n FROM s WHERE ts <= '{{ ds }}'",
     "sorts after its day"),
    ("SQLExecuteQueryOperator", "conn_id='sqlite_default'",
     "DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT a FROM s WHERE ts > '2024-01-01'",
     "sorts after its day"),
    ("SQLExecuteQueryOperator", "conn_id='mssql'",
     "SET ANSI_NULLS OFF; TRUNCATE TABLE t; INSERT INTO t SELECT a FROM s", "SET ANSI_NULLS"),
    ("PostgresOperator", "params={'least': 10}",
     "TRUNCATE t; INSERT INTO t SELECT a FROM s WHERE a > {{ params.least }}", "`a > {{ … }}`"),
    ("PostgresOperator", "hook_params={'options': '-c timezone=Europe/Berlin'}",
     "TRUNCATE t; INSERT INTO t SELECT a FROM s", "hook_params"),
    ("BigQueryInsertJobOperator", ("configuration={'query': {'query': 'SELECT a FROM s',"
     " 'useLegacySql': False, 'defaultDataset': {'datasetId': 'd'}}}"), "", "defaultDataset"),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "arguments", "sql", "reason"), NOT_FOLLOWED)
def test_a_clause_that_is_not_followed_leaves_the_task(
    tmp_path: Path, operator: str, arguments: str, sql: str, reason: str
) -> None:
    """Would catch: a clause beside the query that is dropped, so that other rows are published."""
    given = f", sql={sql!r}" if sql else ""
    project = one_dag(tmp_path, f"{operator}(task_id='q', {arguments}{given})")
    item = by_id(project)["d.q"]
    assert (item.verdict.value, reason in item.why) == ("command", True), item.why


@pytest.mark.parametrize("order", ["c >> q", ""])
def test_a_table_that_another_task_defines_has_its_types(tmp_path: Path, order: str) -> None:
    """Would catch: 33.333… published where the table of the origin keeps 33.33."""
    project = one_dag(
        tmp_path,
        "c = PostgresOperator(task_id='c', sql='CREATE TABLE IF NOT EXISTS t (n numeric(9,2), k int)')\n"
        "q = PostgresOperator(task_id='q', sql='TRUNCATE t; INSERT INTO t SELECT a / 3.0 AS n, k FROM s')\n"
        f"{order}",
    )
    assert verdicts(project) == {"d.c": "command", "d.q": "command"}
    assert "fraction" in by_id(project)["d.q"].why


def test_the_same_table_of_another_database_is_another(tmp_path: Path) -> None:
    """Would catch: two tables of one name that are read as one."""
    project = one_dag(
        tmp_path,
        "PostgresOperator(task_id='q', database='other', sql='TRUNCATE t; INSERT INTO t SELECT a FROM s')",
    )
    assert "postgres_default_other" in by_id(project)["d.q"].todo


def test_a_schedule_decides_whether_an_interval_can_be_carried(tmp_path: Path) -> None:
    """06:00 to 06:00 is no day: rows of other hours would be published."""
    stamp = "SELECT '{{ ds }}' AS dt, x FROM s WHERE ts >= '{{ data_interval_start }}'"
    whole = "INSERT INTO t SELECT dt, x FROM s WHERE dt = '{{ ds }}'"
    found = {}
    for name, schedule, sql in [
        ("six", "'0 6 * * *'", f"INSERT INTO t {stamp}"),
        ("six_ds", "'0 6 * * *'", whole),
        ("sunday", "'@weekly'", whole),
        ("hourly", "'@hourly'", whole),
        ("often", "'*/10 * * * *'", whole),
        ("month", "'@monthly'", whole),
        ("twice", "timedelta(hours=12)", whole),
    ]:
        body = f"PostgresOperator(task_id='q', sql={sql!r})"
        found[name] = one_dag(tmp_path / name, body, schedule).items[0].verdict.value
    assert found == {
        "six": "command",
        "six_ds": "carried",
        "sunday": "command",
        "hourly": "command",
        "often": "command",
        "month": "carried",
        "twice": "command",
    }


BASH = [
    ("psql $DB -c \"TRUNCATE t; INSERT INTO t SELECT a FROM s\"", "carried"),
    ("psql \"$DB\" <<EOF\nTRUNCATE t; INSERT INTO t SELECT a FROM s\nEOF", "carried"),
    ("bq query --use_legacy_sql=false --replace --destination_table=d.t 'SELECT a FROM d.s'",
     "carried"),
    ("sqlite3 x.db 'DROP TABLE IF EXISTS t; CREATE TABLE t AS SELECT a FROM s'", "carried"),
    ("psql -c 'TRUNCATE t' && psql -c \"INSERT INTO t SELECT a FROM s WHERE x = 'a && b'\"",
     "carried"),
    ("psql -d x -c 'TRUNCATE t' && psql -d y -c 'INSERT INTO t SELECT a FROM s'", "command"),
    ("psql -c 'TRUNCATE t'; psql -c 'INSERT INTO t SELECT a FROM s'", "command"),
    ("psql -c 'TRUNCATE t; INSERT INTO t SELECT a FROM s' && rm -rf x", "command"),
    ("psql -c \"TRUNCATE t; INSERT INTO t SELECT a FROM s WHERE x = $X\"", "command"),
    ("psql -c 'SELECT a FROM s' > out.csv", "command"),
    ("psql -c 'SELECT a FROM s' -o out.csv", "command"),
    ("bq query 'SELECT a FROM [d.s]'", "command"),
    ("echo psql", "command"),
    ("psql -c '\\copy t from x.csv'", "command"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "verdict"), BASH)
def test_bash_with_nothing_but_sql(tmp_path: Path, command: str, verdict: str) -> None:
    project = one_dag(tmp_path, f"BashOperator(task_id='b', bash_command={command!r})")
    item = by_id(project)["d.b"]
    assert item.verdict.value == verdict, item.why


PERSON = [
    (("b = BranchPythonOperator(task_id='b', python_callable=print)\n"
     "b >> BashOperator(task_id='x', bash_command='x')"), "b x"),
    (("ShortCircuitOperator(task_id='b', python_callable=print) >> "
     "BashOperator(task_id='x', bash_command='x') >> EmptyOperator(task_id='e')"), "b x"),
    ("BashOperator(task_id='x', bash_command='x', trigger_rule='all_done')", "x"),
    ("@task\ndef f():\n    return 1\n@task\ndef g(v):\n    print(v)\ng(f())", "f g"),
    ("@task\ndef f():\n    print(1)\n@task\ndef g(v):\n    print(v)\ng(f())", ""),
    (("def pull(ti):\n    return ti.xcom_pull(task_ids='p')\n"
     "PythonOperator(task_id='p', python_callable=print)\n"
     "PythonOperator(task_id='q', python_callable=pull)"), "p q"),
    (("BashOperator(task_id='p', bash_command='x')\n"
     "BashOperator(task_id='q', bash_command=\"{{ ti.xcom_pull(task_ids='p') }}\")"), "p q"),
    ("BashOperator.partial(task_id='m').expand(bash_command=['a'])", "m"),
    ("BashOperator(task_id='c', bash_command='{{ dag_run.conf[1] }}')", "c"),
    ("if Variable.get('x'):\n    BashOperator(task_id='c', bash_command='x')", "c"),
    ("BashOperator(task_id='x', bash_command='x').as_teardown()", "x"),
    ("PostgresOperator(task_id='v', sql=\"SELECT '{{ var.value.x }}' AS x\")", "v"),
    ("PostgresOperator(task_id='v', sql='gone.sql')", "v"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "ids"), PERSON)
def test_what_a_person_must_decide(tmp_path: Path, body: str, ids: str) -> None:
    project = one_dag(tmp_path / "a", body)
    found = {key for key, verdict in verdicts(project).items() if verdict == "person"}
    assert found == {f"d.{name}" for name in ids.split()}
    assert all(item.todo for item in project.items if item.verdict.value == "person")
    assert_valid(project, tmp_path / "h")


PROJECT = """
from airflow.operators.email import EmailOperator
default_args = {"owner": "sales team", "retries": 2, "email": ["a@example.com"]}
with DAG("sales", default_args=default_args, schedule="0 6 * * *", start_date=START) as dag:
    start = EmptyOperator(task_id="start")
    wait = FileSensor(task_id="wait", filepath="/data/{{ ds }}/raw.csv")
    # Orders without tests.
    clean = PostgresOperator(task_id="clean", postgres_conn_id="shop", sql="sql/clean.sql",
                             pool="pg", execution_timeout=timedelta(minutes=30))
    clear = PostgresOperator(task_id="clear", postgres_conn_id="shop", sql="TRUNCATE rep.top")
    top = PostgresOperator(
        task_id="top", postgres_conn_id="shop",
        sql="INSERT INTO rep.top (customer, n) SELECT customer, count(*) FROM clean.orders GROUP BY 1")
    mail = EmailOperator(task_id="mail", to="a@example.com", subject="{{ ds }}")
    start >> clean >> clear >> top >> [wait, mail]
    wait >> mail
with DAG("after", schedule="0 6 * * *", start_date=START):
    w = ExternalTaskSensor(task_id="w", external_dag_id="sales", external_task_id="clean")
    w >> EmailOperator(task_id="use", to="a@example.com", subject="x")
"""
CLEAN = (
    "-- one day of orders\nDELETE FROM clean.orders WHERE day = '{{ ds }}';\n"
    "INSERT INTO clean.orders (id, customer, day)\n"
    "SELECT o.id, o.customer, o.at::date FROM shop.orders o WHERE o.at::date = '{{ ds }}';\n"
)


def test_a_whole_project(tmp_path: Path) -> None:
    """Names, comments, order, owners, retries, pools and time limits arrive in the new project."""
    project = imported(tmp_path / "a", {"dags/sales.py": PROJECT, "dags/sql/clean.sql": CLEAN})
    assert verdicts(project) == {
        "sales.start": "carried",
        "sales.wait": "carried",
        "sales.clean": "carried",
        "sales.clear": "carried",
        "sales.top": "carried",
        "sales.mail": "command",
        "after.w": "carried",
        "after.use": "command",
    }
    clean = project.files["assets/orders.sql"]
    for part in (
        "owner: sales-team", "attempts_max: 3", "timeout: 30m", "pool: pg",
        "start: 2024-01-01", "-- Orders without tests.", "-- one day of orders", "FROM shop_orders",
        "partition: {by: day, column: day}", "o.customer",
    ):  # fmt: skip
        assert part in clean
    assert "files: landing/data/{date:%Y-%m-%d}/raw.csv" in project.files["sources/raw.yaml"]
    assert "table: shop.orders" in project.files["sources/shop_orders.yaml"]
    assert "depends: [top, raw]" in project.files["assets/sales_mail.yaml"]
    assert "sales, mail, '06:00'" in project.files["assets/sales_mail.yaml"]
    assert "depends: [orders]" in project.files["assets/after_use.yaml"]
    assert "mailto:a@example.com" in project.files["owners.yaml"]
    assert {s.kind for s in project.suggestions} == {"sensor_to_dependency"}
    assert_valid(project, tmp_path / "h")


def test_definitions_of_tables_that_assets_write(tmp_path: Path) -> None:
    """A DAG of its own that only creates the tables isn't needed any more; other tables are."""
    project = imported(
        tmp_path,
        {
            "setup.py": textwrap.dedent("""
                with DAG("setup", schedule="@once", start_date=START):
                    PostgresOperator(task_id="t", sql="CREATE TABLE IF NOT EXISTS a.t (x int)")
                    PostgresOperator(task_id="u", sql="CREATE TABLE IF NOT EXISTS a.u (x int)")
            """),
            "load.py": textwrap.dedent("""
                with DAG("load", schedule="@daily", start_date=START):
                    PostgresOperator(task_id="t", sql="TRUNCATE a.t; INSERT INTO a.t SELECT x FROM s")
            """),
        },
    )
    assert verdicts(project) == {
        "setup.t": "carried", "setup.u": "command", "load.t": "carried",
    }  # fmt: skip
    assert by_id(project)["setup.t"].created == by_id(project)["load.t"].created


def test_a_template_whose_folder_is_one_of_airflows_machine(tmp_path: Path) -> None:
    """`/usr/local/airflow/sql` isn't in the project; its `sql/load.sql` is, and `old/` has another."""
    dag = """
with DAG("d", schedule="@daily", start_date=START, template_searchpath="/usr/local/airflow/sql"):
    PostgresOperator(task_id="one", sql="load/t.sql")
"""
    other = (
        dag.replace('"d"', '"e"')
        + """
    PostgresOperator(task_id="two", sql="load/twice.sql")
    PostgresOperator(task_id="out", sql="../load/t.sql")
"""
    )
    query = "TRUNCATE a.t; INSERT INTO a.t SELECT x FROM s"
    files = {
        "example/dags/d.py": dag,
        "example/sql/load/t.sql": query,
        "old/sql/load/t.sql": query.replace("x", "y"),
        "one/sql/load/twice.sql": query,
        "two/sql/load/twice.sql": query,
    }
    project = imported(tmp_path, files)
    assert verdicts(project) == {"d.one": "carried"}
    assert "x\nFROM" in project.files[by_id(project)["d.one"].created[0]]
    project = imported(tmp_path, files | {"example/dags/e.py": other})
    assert verdicts(project) == {
        "d.one": "command", "e.one": "command", "e.two": "person", "e.out": "person",
    }  # fmt: skip


def test_two_writers_of_one_table_run_unchanged(tmp_path: Path) -> None:
    """One of two assets would replace the other one's rows."""
    sql = "DELETE FROM t WHERE d = '{{ ds }}'; INSERT INTO t SELECT d FROM s WHERE d = '{{ ds }}'"
    text = "".join(
        f"with DAG('{name}', schedule='@daily', start_date=START):\n"
        f"    PostgresOperator(task_id='w', sql={sql!r})\n"
        for name in ("x", "y")
    )
    project = imported(tmp_path / "a", {"d.py": text})
    assert verdicts(project) == {"x.w": "command", "y.w": "command"}
    assert {s.kind for s in project.suggestions} == {
        "duplicate_tasks",
        "table_with_several_writers",
    }


def test_names_that_collide_after_cleaning(tmp_path: Path) -> None:
    body = "".join(
        f"BashOperator(task_id={name!r}, bash_command='x')\n" for name in ("a-b", "a.b", "a_b", "ä")
    ) + "".join(
        f"PostgresOperator(task_id='q{n}', sql='TRUNCATE {table}; INSERT INTO {table} SELECT a"
        f" FROM {source}')\n"
        for n, (table, source) in enumerate(
            (("x.order", "y.order"), ("x.t", "z.T"), ("y.t", "k.t"))
        )
    )
    project = one_dag(tmp_path / "a", body)
    assert len(project.items) == 7
    created = [item.created[0] for item in project.items]
    assert len(set(created)) == 7
    assert_valid(project, tmp_path / "h")


def test_secrets_are_named_and_never_copied(tmp_path: Path) -> None:
    body = (
        "BashOperator(task_id='a', bash_command='curl https://bob:hunter22@host/')\n"
        "BashOperator(task_id='b', bash_command='x', env={'API_TOKEN': 'tok-98765'})\n"
        "PostgresOperator(task_id='c', sql=\"SELECT 'AKIAABCDEFGHIJKLMNOP' AS k\")\n"
        "BashOperator(task_id='d', bash_command='x', env={'DB_PASSWORD': '{{ conn.x.password }}'})"
    )
    project = one_dag(tmp_path / "a", body)
    assert {(found.line - 19, found.name) for found in project.secrets} == {
        (0, "password in a https URI"),
        (1, "API_TOKEN"),
        (2, "AWS access key"),
    }
    everything = repr(project)
    for value in ("hunter22", "tok-98765", "AKIAABCDEFGHIJKLMNOP"):
        assert value not in everything
    assert verdicts(project)["d.c"] == "person"
    assert_valid(project, tmp_path / "h")


def test_hostile_names_stay_data(tmp_path: Path) -> None:
    """Names of DAGs, tasks, owners, pools and descriptions reach YAML, TOML and SQL comments."""
    name = "a*/ select 1; -- \"'\\n: {x} ../../etc"
    body = (
        f"BashOperator(task_id={name!r}, bash_command='x', owner={name!r}, pool={name!r},"
        f" doc={name!r})\nPostgresOperator(task_id='q', doc={name!r}, owner={name!r},"
        f" sql='TRUNCATE t; INSERT INTO t SELECT a FROM s')"
    )
    project = one_dag(tmp_path / "a", body, "'*/5 * * * *'")
    assert all(".." not in path for path in project.files)
    assert_valid(project, tmp_path / "h")


def test_the_how_to_page_shows_what_the_import_writes(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/from-airflow.md").read_text(encoding="utf-8")
    blocks = re.findall(r"`airflow/(dags/[^`]+)`:\n\n```\w+\n(.*?)```", page, re.DOTALL)
    for path, text in blocks:
        (tmp_path / "a" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / path).write_text(text, encoding="utf-8")
    project = read_project(tmp_path / "a")
    assert textwrap.indent(project.files["assets/orders.sql"], "    ") in page
    assert verdicts(project) == {
        "sales.start": "carried",
        "sales.clean": "carried",
        "sales.mail": "command",
    }
    assert_valid(project, tmp_path / "h")


def test_the_same_files_give_the_same_project(tmp_path: Path) -> None:
    first = imported(tmp_path, {"dags/sales.py": PROJECT, "dags/sql/clean.sql": CLEAN})
    assert read_project(tmp_path) == first


SECRETS = [
    (("BashOperator(task_id='a', bash_command=\"psql -c 'select 1' | gzip\","
     " env={'PGPASSWORD': 'hunter2secret'})"), "hunter2secret"),
    ("BashOperator(task_id='a', bash_command='x', env={'DB_PASSWORD': 'monkey'})", "monkey"),
    ("BashOperator(task_id='a', bash_command='x', env={'API_TOKEN': 'prod-9f8a7-api-key'})",
     "prod-9f8a7-api-key"),
    (("BashOperator(task_id='a', bash_command='x', env={\n    'SNOWFLAKE_PASSWORD': (\n"
     "        'keyfile'\n    )})"), "keyfile"),
    ("BashOperator(task_id='a', bash_command='mysql -u bob -pTiger99 -e \"select 1\"')", "Tiger99"),
    ("BashOperator(task_id='a', bash_command='curl -u bob:Lion77name https://host')", "Lion77name"),
    (("BashOperator(task_id='a', bash_command='x', env={'KEY': Variable.get('api_token',"
     " default_var='shh-my-token')})"), "shh-my-token"),
    ("BashOperator(task_id='a', bash_command=\"curl -H 'Authorization: Bearer ab12cd34ef'\")",
     "ab12cd34ef"),
    ("BashOperator(task_id='a', bash_command='x', env={'DB_PASSWORD': 'two words'})", "two words"),
    ("BashOperator(task_id='a', bash_command='x', env={'DB_PASSWORD': '$ecret123'})", "$ecret123"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "value"), SECRETS)
def test_a_secret_that_looks_like_a_name_is_listed(tmp_path: Path, body: str, value: str) -> None:
    """Would catch: passwords that end in key, secret, token or name, written into the report."""
    project = one_dag(tmp_path / "a", body)
    assert len(project.secrets) == 1
    assert value not in repr(project)
    assert_valid(project, tmp_path / "h")


@pytest.mark.parametrize(
    "body",
    [
        "env={'DB_PASSWORD': '$DB_PASSWORD', 'TOKEN': '${TOKEN}', 'PWD': '<password>'}",
        "env={'DB_PASSWORD': \"{{ conn.shop.password }}\"}",
        "secrets=[Secret('env', 'DB', secret='airflow-secrets', key='sql_conn')]",
        "env={'TOKEN_FILE': '/run/secrets/token', 'DB_PASSWORD': '/run/secrets/db'}",
    ],
)
def test_where_a_secret_is_kept_is_no_secret(tmp_path: Path, body: str) -> None:
    """Would catch: texts full of `***`, because names of secrets are taken for secrets."""
    project = one_dag(tmp_path, f"BashOperator(task_id='a', bash_command='x', {body})")
    assert project.secrets == ()


def test_a_secret_that_is_an_ordinary_word(tmp_path: Path) -> None:
    """Would catch: every command refused, because a password is a word of the new project."""
    body = "BashOperator(task_id='a', bash_command='x', env={'PGPASSWORD': 'airflow'})"
    project = one_dag(tmp_path, body)
    assert ([found.name for found in project.secrets], verdicts(project)) == (
        ["PGPASSWORD"], {"d.a": "command"},
    )  # fmt: skip
    assert "'PGPASSWORD': '***'" in by_id(project)["d.a"].original


def test_secrets_of_sql_files(tmp_path: Path) -> None:
    """Would catch: a password of an SQL file in the asset that it becomes."""
    sql = "TRUNCATE t; INSERT INTO t SELECT a FROM s -- postgresql://bob:hunter22@host/db\n"
    body = "with DAG('d', schedule='@daily', start_date=START):\n"
    body += "    PostgresOperator(task_id='q', sql='q.sql')\n"
    project = imported(tmp_path, {"dags/d.py": body, "dags/q.sql": sql})
    assert [(found.file, found.line) for found in project.secrets] == [("dags/q.sql", 1)]
    assert "hunter22" not in repr(project)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("'none_failed'", "`none_failed` starts it also after tasks that were skipped, but not"),
        ("'one_failed'", "`one_failed` starts it only after a task before it failed"),
        ("'all_done'", "also after a failure or a skip"),
        ("'dummy'", "`dummy` starts it at once"),
        ("TriggerRule.ONE_SUCCESS", "`one_success` starts it as soon as one"),
        ("Variable.get('rule')", "known only at run time"),
    ],
)
def test_the_reason_of_a_trigger_rule_is_its_own(tmp_path: Path, rule: str, reason: str) -> None:
    """Would catch: "also after a failure" for a rule that never starts after one."""
    body = (
        "from airflow.utils.trigger_rule import TriggerRule\n"
        f"BashOperator(task_id='a', bash_command='x', trigger_rule={rule})"
    )
    item = by_id(one_dag(tmp_path, body))["d.a"]
    assert (item.verdict.value, reason in item.why) == ("person", True), item.why


def test_several_programs_with_sql_have_a_reason_of_their_own(tmp_path: Path) -> None:
    """Would catch: "does more than give SQL to a database" for a command that doesn't."""
    command = "psql -c 'UPDATE t SET a = 1' -d x && psql -c 'UPDATE u SET a = 1' -d y"
    project = one_dag(tmp_path, f"BashOperator(task_id='b', bash_command={command!r})")
    assert "starts several programs with SQL" in by_id(project)["d.b"].why


FILES = [
    ("'/data/in/{{ ds }}/clicks.csv'", "'@hourly'", "all runs of a day wait for one file"),
    ("'in/clicks.csv'", "'@daily'", "relative to a folder"),
    ("'/data/{{ ds }}/clicks.xyz'", "'@daily'", "a format that Headrace reads"),
    ("Variable.get('path')", "'@daily'", "known only at run time"),
    ("'/data/{{ tomorrow_ds }}.csv'", "'@daily'", "isn't that of the day"),
]


@pytest.mark.parametrize(("path", "schedule", "reason"), FILES)
def test_a_file_sensor_says_why_it_is_no_source(
    tmp_path: Path, path: str, schedule: str, reason: str
) -> None:
    """Would catch: a sensor of a file that runs in Airflow without a reason."""
    project = one_dag(tmp_path, f"FileSensor(task_id='f', filepath={path})", schedule)
    item = by_id(project)["d.f"]
    assert (item.verdict.value == "carried", reason in item.why) == (False, True), item.why


def test_a_connection_is_one_database_for_all_operators(tmp_path: Path) -> None:
    """Would catch: a table "exported as Parquet" beside another one of the same database."""
    body = (
        "PostgresOperator(task_id='a', postgres_conn_id='pms',"
        " sql='TRUNCATE t; INSERT INTO t SELECT a FROM x.bookings')\n"
        "SQLExecuteQueryOperator(task_id='b', conn_id='pms',"
        " sql='TRUNCATE u; INSERT INTO u SELECT a FROM x.guests')"
    )
    project = one_dag(tmp_path, body)
    for name in ("bookings", "guests"):
        assert "connection: pms" in project.files[f"sources/{name}.yaml"]
    assert {item.table.connection for item in project.items if item.table} == {"pms"}


def test_a_command_names_its_database(tmp_path: Path) -> None:
    """Would catch: tables of two servers that are sources of one connection."""
    body = "".join(
        f"BashOperator(task_id='{name}', bash_command=\"PGPASSWORD=$P psql -h {name} -d shop"
        f" -U me -c 'TRUNCATE t_{name}; INSERT INTO t_{name} SELECT a FROM x.s'\")\n"
        for name in ("db", "other")
    )
    project = one_dag(tmp_path, body)
    settings = project.files["headrace.toml"]
    assert "[connections.postgres_db_shop]" in settings
    assert "[connections.postgres_other_shop]" in settings
    assert "the server and database of the command (db shop)" in by_id(project)["d.db"].todo


def test_tags_and_words_of_a_dag_arrive(tmp_path: Path) -> None:
    """Would catch: tags, a description and a doc_md that are dropped without a word."""
    text = (
        '"""Clicks of the shop."""\nfrom airflow import DAG\n'
        "from airflow.operators.bash import BashOperator\n"
        "with DAG('d', schedule='@daily', tags=['web', 'Tier 1'], description='All clicks.',"
        " doc_md=__doc__):\n    BashOperator(task_id='a', bash_command='x')\n"
    )
    project = imported(tmp_path / "shop", {"dags/d.py": text.encode()})
    asset = project.files["assets/d_a.yaml"]
    assert "tags: [d, web, tier_1]" in asset
    assert "# DAG d: All clicks.\n# DAG d: Clicks of the shop.\n" in asset
    assert 'name = "shop"' in project.files["headrace.toml"]
    assert_valid(project, tmp_path / "h")


def test_names_that_a_person_would_give(tmp_path: Path) -> None:
    """Would catch: an asset `h`, and `FROM raw_clicks AS CLICKS` where nothing uses the alias."""
    body = (
        "PostgresOperator(task_id='a', sql='TRUNCATE m.h; INSERT INTO m.h SELECT c FROM RAW.CLICKS')"
        "\nPostgresOperator(task_id='b', sql='TRUNCATE m.clicks; INSERT INTO m.clicks"
        " SELECT CLICKS.c FROM X.CLICKS')\nPostgresOperator(task_id='h', sql='SELECT c FROM x.y')"
    )
    project = one_dag(tmp_path, body)
    assert project.files["assets/m_h.sql"].endswith("SELECT\n  c\nFROM raw_clicks\n")
    assert "FROM x_clicks AS CLICKS" in project.files["assets/clicks.sql"]
    assert "assets/d_h.sql" in project.files
    assert by_id(project)["d.a"].why == "its query replaces all rows of m.h"


def test_a_short_word_that_is_a_secret_doesnt_stop_other_tasks(tmp_path: Path) -> None:
    """Would catch: sixteen tasks left to a person, because a test's key is called like a program."""
    dag = (
        "from airflow import DAG\nfrom airflow.operators.bash import BashOperator\n"
        "with DAG('d', schedule='@daily'):\n"
        "    BashOperator(task_id='a', bash_command='copy to minio')\n"
    )
    project = imported(tmp_path, {"conftest.py": "ACCESS_KEY = 'minio'\n", "d.py": dag})
    assert [secret.name for secret in project.secrets] == ["ACCESS_KEY"]
    assert verdicts(project) == {"d.a": "command"}


@pytest.mark.parametrize(
    "sql",
    [
        "select * from " + "(select * from " * 5_000 + "(select 1 as a)" + ")" * 5_000,
        "select 1 as a from x " + "join y " * 10_000 + "on 1=1 " * 10_000,
    ],
    ids=["brackets", "joins"],
)
def test_sql_that_is_nested_too_deeply_stays_a_command(tmp_path: Path, sql: str) -> None:
    """Would catch: a file whose SQL ends the process, and with it the whole import."""
    project = one_dag(tmp_path / "a", f"PostgresOperator(task_id='a', sql='insert into m.t {sql}')")
    (item,) = project.items
    assert item.verdict == "command"
    assert "nested too deeply" in item.why
