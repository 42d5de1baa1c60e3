"""What becomes of the activities of a factory; every new project validates."""

from __future__ import annotations

from pathlib import Path

import pytest
from adf_factories import (
    activity,
    basics,
    copy,
    dataset,
    expression,
    imported,
    items,
    pipeline,
    script,
    service,
    trigger,
    verdicts,
    write,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the linked services and datasets that tests share."""
    folder = tmp_path / "factory"
    basics(folder)
    return folder


def test_a_copy_of_a_file_into_a_table_is_a_source(root: Path, tmp_path: Path) -> None:
    """Would catch a source without its connection, delimiter or description."""
    one = copy("Load orders", "orders_csv", "orders_table")
    pipeline(root, "daily", [{**one, "description": "Orders of the shop"}])
    project = imported(root, tmp_path / "new")
    assert verdicts(project) == {"daily/Load orders": "carried"}
    text = project.files["sources/orders.yaml"]
    assert "files: az://raw/orders.csv" in text
    assert "csv: {delimiter: ;}" in text
    assert "description: Orders of the shop" in text
    assert 'account_name = "shopdata"' in project.files["headrace.toml"]


def test_a_copy_that_renames_columns_has_an_asset_behind_its_source(
    root: Path, tmp_path: Path
) -> None:
    mappings = [
        {"source": {"name": "Order Id"}, "sink": {"name": "order_id"}},
        {"source": {"name": "total"}, "sink": {"name": "total"}},
    ]
    translator = {"type": "TabularTranslator", "mappings": mappings}
    pipeline(root, "daily", [copy("Load", "orders_csv", "orders_table", translator=translator)])
    project = imported(root, tmp_path / "new")
    assert items(project)["daily/Load"].created == (
        "sources/orders_raw.yaml",
        "assets/daily/orders.sql",
    )
    assert '"Order Id" as order_id' in project.files["assets/daily/orders.sql"]


def _dated(root: Path, name: str = "events") -> None:
    path = expression("@concat('events/', dataset().day)")
    dataset(
        root, name, "Parquet", "lake", parameters={"day": {"type": "string"}},
        location={"type": "AzureBlobFSLocation", "fileSystem": "raw", "folderPath": path,
                  "fileName": "events.parquet"},
    )  # fmt: skip


def test_a_tumbling_window_becomes_partitions(root: Path, tmp_path: Path) -> None:
    """Would catch a window that is pasted as text, or a lost delay."""
    _dated(root)
    day = expression("@formatDateTime(pipeline().parameters.start, 'yyyy/MM/dd')")
    notebook = activity("Enrich", "DatabricksNotebook", ["Load"], settings={
        "notebookPath": "/enrich", "baseParameters": {"d": expression("@pipeline().parameters.start")},
    })  # fmt: skip
    adds = {"type": "AzureSqlSink"}
    load = copy("Load", "events", "orders_table", parameters={"day": day}, sink=adds)
    pipeline(root, "hourly", [load], parameters={"start": {"type": "string"}})
    trigger(
        root, "window", "TumblingWindowTrigger", "hourly",
        {"frequency": "Hour", "interval": 24, "startTime": "2025-03-01T00:00:00Z", "delay": "02:30:00",
         "maxConcurrency": 4},
        parameters={"start": "@trigger().outputs.windowStartTime"},
    )  # fmt: skip
    project = imported(root, tmp_path / "new")
    assert verdicts(project) == {"hourly/Load": "carried"}
    assert "az://raw/events/{date:%Y/%m/%d}/events.parquet" in project.files["sources/orders.yaml"]
    pipeline(root, "hourly", [load, notebook], parameters={"start": {"type": "string"}})
    project = imported(root, tmp_path / "with_notebook")
    assert verdicts(project) == {"hourly/Load": "command", "hourly/Enrich": "command"}
    enrich = project.files["assets/hourly/enrich.yaml"]
    assert "partition: day" in enrich
    assert "--start, start" in enrich
    assert "depends: [load]" in enrich
    assert "concurrency: 4" in enrich


def test_a_script_that_replaces_a_table_is_an_asset(root: Path, tmp_path: Path) -> None:
    """Would catch T-SQL that DuckDB reads differently, and names that lead to other tables."""
    text = (
        "TRUNCATE TABLE dbo.Totals; INSERT INTO dbo.Totals (customer, label, total) "
        "SELECT o.customer, 'c-' + o.name + '!', o.total + 0.5 FROM [dbo].[Orders] o "
        "JOIN stg.Regions ON Regions.id = o.region WHERE o.customer > 5"
    )
    pipeline(
        root, "daily", [copy("Load", "orders_csv", "orders_table"), script("Sum", text, ["Load"])]
    )
    project = imported(root, tmp_path / "new")
    assert verdicts(project) == {"daily/Load": "carried", "daily/Sum": "carried"}
    sql = project.files["assets/daily/totals.sql"]
    assert "FROM orders AS o" in sql
    assert "'c-' || o.name || '!'" in sql
    assert "o.total + 0.5 AS total" in sql
    assert "landing/stg_regions.parquet" in project.files["sources/stg_regions.yaml"]
    table = [one for one in project.dependencies if str(one.how) == "table"]
    assert [(one.origin, one.target) for one in table] == [("daily/Load", "daily/Sum")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("INSERT INTO dbo.A SELECT * FROM dbo.B", "once more"),
        ("UPDATE dbo.A SET x = 1", "UPDATE"),
        ("MERGE dbo.A USING dbo.B ON A.i = B.i WHEN MATCHED THEN UPDATE SET A.x = B.x;", "MERGE"),
        ("TRUNCATE TABLE dbo.A; INSERT INTO dbo.A SELECT a / b AS c FROM dbo.B", "`a / b`"),
        ("TRUNCATE TABLE dbo.A; INSERT INTO dbo.A SELECT * FROM #t", "temporary"),
        ("TRUNCATE TABLE dbo.A; INSERT INTO dbo.A SELECT * FROM dbo.A", "reads the table"),
        ("TRUNCATE TABLE dbo.B; INSERT INTO dbo.A SELECT * FROM dbo.C", "another table"),
        ("SELECT dbo.f(x) FROM dbo.B", "`dbo.f(x)`"),
        ("SELECT x FROM dbo.B WHERE d > GETDATE()", "the time of the run"),
        ("SELECT TOP 5 x FROM dbo.B", "without an order"),
        ("EXEC dbo.p", "EXECUTE"),
        ("SELECT (((", "isn't understood"),
    ],
)
def test_sql_that_would_mean_something_else_runs_in_the_factory(
    root: Path, tmp_path: Path, text: str, reason: str
) -> None:
    pipeline(root, "daily", [script("Run", text)])
    found = items(imported(root, tmp_path / "new"))["daily/Run"]
    assert (str(found.verdict), reason in found.why) == ("command", True), found.why


def test_a_table_that_a_procedure_needs_stays_in_its_database(root: Path, tmp_path: Path) -> None:
    """Would catch a copy that is moved away below a procedure that goes on reading its table."""
    procedure = activity(
        "Merge", "SqlServerStoredProcedure", ["Load"], settings={"storedProcedureName": "p"}
    )
    procedure["linkedServiceName"] = {"referenceName": "sql"}
    pipeline(root, "daily", [copy("Load", "orders_csv", "orders_table"), procedure])
    project = imported(root, tmp_path / "new")
    assert verdicts(project) == {"daily/Load": "command", "daily/Merge": "command"}
    assert "the procedure of `Merge` may read the table" in items(project)["daily/Load"].why


def test_a_table_below_a_procedure_that_a_person_decides_stays(root: Path, tmp_path: Path) -> None:
    """Would catch "where it goes on running", although nothing runs the procedure."""
    parameters = {"n": {"value": expression("@activity('Load').output.rowsCopied"), "type": "Int"}}
    settings = {"storedProcedureName": "dbo.p", "storedProcedureParameters": parameters}
    procedure = activity("Proc", "SqlServerStoredProcedure", ["Load"], settings=settings)
    procedure["linkedServiceName"] = {"referenceName": "sql"}
    pipeline(root, "daily", [copy("Load", "orders_csv", "orders_table"), procedure])
    project = imported(root, tmp_path / "new")
    assert verdicts(project) == {"daily/Load": "command", "daily/Proc": "person"}
    why = items(project)["daily/Load"].why
    assert "goes on running" not in why
    assert "the files don't tell; `Proc` is for a person" in why.replace("which the", "the")


def test_a_table_that_a_later_copy_reads_there_stays(root: Path, tmp_path: Path) -> None:
    """Would catch a table that nobody fills any more below a Copy that goes on reading it."""
    dataset(root, "zip", "DelimitedText", "lake", compressionCodec="gzip",
            location={"type": "AzureBlobFSLocation", "fileSystem": "raw", "fileName": "o.gz"})  # fmt: skip
    pipeline(root, "daily", [copy("Load", "orders_csv", "orders_table")])
    pipeline(root, "export", [copy("Out", "orders_table", "zip")])
    dead = activity("If", "IfCondition", settings={
        "expression": expression("@equals(1, 2)"),
        "ifTrueActivities": [script("Dead", "EXEC dbo.p 'orders_table'")]})  # fmt: skip
    pipeline(root, "other", [dead])
    project = imported(root, tmp_path / "new")
    assert verdicts(project)["export/Out"] == "command"
    assert verdicts(project)["daily/Load"] == "command"
    assert "`Out` may read the table" in items(project)["daily/Load"].why


def test_values_that_only_a_run_knows_are_a_persons(root: Path, tmp_path: Path) -> None:
    """Would catch a command without the value that another activity gave it."""
    lookup = activity("Last", "Lookup", settings={
        "source": {"type": "AzureSqlSource", "sqlReaderQuery": "select max(t) as t from dbo.w"},
        "dataset": {"referenceName": "orders_table"}})  # fmt: skip
    uses = expression("@activity('Last').output.firstRow.t")
    notebook = activity("Use", "SynapseNotebook", ["Last"], settings={"parameters": {"t": uses}})
    decide = activity("If", "IfCondition", ["Last"], settings={
        "expression": expression("@greater(activity('Last').output.firstRow.t, 1)"),
        "ifTrueActivities": [activity("Yes", "Delete")], "ifFalseActivities": [activity("No", "Wait")]})  # fmt: skip
    loop = activity("Each", "ForEach", ["Last"], settings={
        "items": expression("@activity('Last').output.value"), "activities": [activity("One", "Delete")]})  # fmt: skip
    failed = activity(
        "Tell", "WebActivity", {"Use": "Failed"}, settings={"url": "https://x", "method": "POST"}
    )
    pipeline(root, "p", [lookup, notebook, decide, loop, failed])
    project = imported(root, tmp_path / "new")
    assert set(verdicts(project).values()) == {"person"}
    assert set(verdicts(project)) == {
        "p/Last", "p/Use", "p/If", "p/If/Yes", "p/If/No", "p/Each", "p/Each/One", "p/Tell",
    }  # fmt: skip
    assert all(item.why and item.todo for item in project.items)
    hows = {(one.origin, one.target): str(one.how) for one in project.dependencies}
    assert hows["p/Last", "p/Use"] == "expression"


def test_a_list_in_the_files_is_unrolled(root: Path, tmp_path: Path) -> None:
    """Would catch items that share a name, or a ForEach that is left out."""
    dataset(root, "any_csv", "DelimitedText", "lake", parameters={"n": {"type": "string"}}, firstRowAsHeader=True,
            location={"type": "AzureBlobFSLocation", "fileSystem": "raw", "fileName": expression("@{dataset().n}.csv")})  # fmt: skip
    dataset(root, "any_table", "AzureSqlTable", "sql", parameters={"n": {"type": "string"}},
            table=expression("@dataset().n"))  # fmt: skip
    empties = {"type": "S", "preCopyScript": expression("@concat('TRUNCATE TABLE ', item().name)")}
    one = copy(
        "Load", "any_csv", "any_table", parameters={"n": expression("@item().name")}, sink=empties
    )
    one["outputs"][0]["parameters"] = {"n": expression("@item().name")}
    items_ = expression('@json(\'[{"name":"cities"},{"name":"roads"}]\')')
    pipeline(
        root, "p", [activity("Each", "ForEach", settings={"items": items_, "activities": [one]})]
    )
    project = imported(root, tmp_path / "new")
    assert verdicts(project) == {"p/Each": "carried", "p/Each/Load": "carried"}
    assert items(project)["p/Each/Load"].created == ("sources/cities.yaml", "sources/roads.yaml")


def test_a_called_pipeline_gets_parameters_and_order(root: Path, tmp_path: Path) -> None:
    notebook = activity(
        "Work",
        "DatabricksNotebook",
        settings={"notebookPath": expression("@pipeline().parameters.path")},
    )
    pipeline(root, "child", [notebook], parameters={"path": {"type": "string"}})
    before = activity(
        "Before", "AzureFunctionActivity", settings={"functionName": "f", "method": "POST"}
    )
    call = activity("Call", "ExecutePipeline", ["Before"], settings={
        "pipeline": {"referenceName": "child"}, "parameters": {"path": "/a"}, "waitOnCompletion": True})  # fmt: skip
    after = activity("After", "DatabricksNotebook", ["Call"], settings={"notebookPath": "/b"})
    pipeline(root, "parent", [before, call, after])
    project = imported(root, tmp_path / "new")
    assert set(verdicts(project).values()) == {"command"}
    assert "depends: [before]" in project.files["assets/child/work.yaml"]
    assert "path=/a" in project.files["assets/child/work.yaml"]
    assert "depends: [work]" in project.files["assets/parent/after.yaml"]
    assert "trigger" in {str(one.how) for one in project.dependencies}


def test_pipelines_that_call_each_other_in_a_circle_are_named(root: Path, tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        call = activity("Call", "ExecutePipeline", settings={"pipeline": {"referenceName": other}})
        pipeline(root, one, [call])
    project = imported(root, tmp_path / "new")
    assert all("circle" in item.why for item in project.items)


def test_a_schedule_with_its_zone_is_a_cron_trigger(root: Path, tmp_path: Path) -> None:
    recurrence = {"frequency": "Day", "interval": 1, "startTime": "2025-01-01T00:00:00", "timeZone": "W. Europe Standard Time",
                  "schedule": {"hours": [6], "minutes": [30]}}  # fmt: skip
    pipeline(
        root, "p", [activity("Run", "HDInsightSpark", policy={"timeout": "0.02:00:00", "retry": 2})]
    )
    trigger(root, "t", "ScheduleTrigger", "p", {"recurrence": recurrence})
    text = imported(root, tmp_path / "new").files["assets/p/run.yaml"]
    assert "trigger: {cron: 30 6 * * *, timezone: Europe/Berlin, catch_up: latest}" in text
    assert "timeout: 2h" in text
    assert "attempts_max: 3" in text


def test_a_data_flow_becomes_a_query(root: Path, tmp_path: Path) -> None:
    """Would catch columns that a derive, a join or an aggregate loses."""
    dataset(root, "totals_csv", "DelimitedText", "lake",
            location={"type": "AzureBlobFSLocation", "fileSystem": "out", "folderPath": "totals"})  # fmt: skip
    script_ = (
        "source(output(\n\tid as integer,\n\tcustomer as string,\n\ttotal as double\n),\n\tallowSchemaDrift: true) ~> Orders\n"
        "Orders filter(total > 0 && !isNull(customer)) ~> Kept\n"
        "Kept derive(label = 'c-' + lower(customer), total = round(total)) ~> Named\n"
        "Named aggregate(groupBy(label), sum_total = sum(total), n = count()) ~> Summed\n"
        "Summed sink(allowSchemaDrift: true) ~> Totals"
    )
    flow = {"type": "MappingDataFlow", "typeProperties": {
        "sources": [{"name": "Orders", "dataset": {"referenceName": "orders_csv"}}],
        "sinks": [{"name": "Totals", "dataset": {"referenceName": "totals_csv"}}], "script": script_}}  # fmt: skip
    write(root, "dataflow/df.json", {"name": "df", "properties": flow})
    run = activity("Flow", "ExecuteDataFlow", settings={"dataFlow": {"referenceName": "df"}})
    pipeline(root, "p", [run])
    project = imported(root, tmp_path / "new")
    assert verdicts(project) == {"p/Flow": "carried"}, items(project)["p/Flow"].why
    import duckdb

    sql = project.files["assets/p/totals_csv.sql"].partition("*/")[2]
    with duckdb.connect() as connection:
        connection.execute("create table orders_csv as from (values (1,'a',1.239),(2,'a',2.0),(3,null,9.0),(4,'b',-1.0)) v(id,customer,total)")  # fmt: skip
        assert connection.execute(sql).fetchall() == [("c-a", 3.0, 2)]


def test_secrets_are_named_and_never_copied(root: Path, tmp_path: Path) -> None:
    """Would catch a password in a connection, an original, or a command."""
    secret = "Tr0ub4dor-and-3"
    service(
        root,
        "pg",
        "AzurePostgreSql",
        connectionString=f"host=db;port=5432;database=d;uid=u;password={secret}",
    )
    dataset(root, "pg_table", "AzurePostgreSqlTable", "pg", schema="public", table="orders")
    web = activity(
        "Ask",
        "WebActivity",
        settings={"url": "https://x", "method": "POST", "headers": {"Authorization": secret}},
    )
    pipeline(
        root,
        "p",
        [copy("Load", "pg_table", "orders_table", source={"type": "AzurePostgreSqlSource"}), web],
    )
    project = imported(root, tmp_path / "new")
    assert verdicts(project)["p/Load"] == "carried"
    assert {one.file for one in project.secrets} == {"linkedService/pg.json", "pipeline/p.json"}
    assert secret not in repr(project)
    assert 'password = "secret://env/PG_PASSWORD"' in project.files["headrace.toml"]


def test_a_command_never_lacks_a_variable_that_another_activity_sets(
    root: Path, tmp_path: Path
) -> None:
    """Would catch an activity that runs alone, with an empty variable."""
    settings = {"variableName": "folder", "value": "constant"}
    uses = {"notebookPath": "/n", "baseParameters": {"f": expression("@variables('folder')")}}
    kept = {"notebookPath": "/n", "baseParameters": {"f": expression("@variables('fixed')")}}
    pipeline(
        root, "p",
        [activity("Set", "SetVariable", settings=settings),
         activity("Use", "DatabricksNotebook", ["Set"], settings=uses),
         activity("Fixed", "DatabricksNotebook", settings=kept)],
        variables={"folder": {"type": "String"}, "fixed": {"type": "String", "defaultValue": "x"}},
    )  # fmt: skip
    found = verdicts(imported(root, tmp_path / "new"))
    assert found == {"p/Set": "person", "p/Use": "person", "p/Fixed": "command"}


@pytest.mark.parametrize(("after", "expected"), [(["Set"], "carried"), ([], "person")])
def test_a_variable_is_constant_only_after_it_is_set(
    root: Path, tmp_path: Path, after: list[str], expected: str
) -> None:
    """Would catch an activity that reads a variable early, with the value that it gets later."""
    decides = {
        "expression": expression("@equals(variables('folder'), 'constant')"),
        "ifTrueActivities": [activity("Wait", "Wait", settings={"waitTimeInSeconds": 1})],
    }
    pipeline(
        root, "p",
        [activity("Set", "SetVariable", settings={"variableName": "folder", "value": "constant"}),
         activity("If", "IfCondition", after, settings=decides)],
        variables={"folder": {"type": "String", "defaultValue": "other"}},
    )  # fmt: skip
    results = verdicts(imported(root, tmp_path / "new"))
    assert results["p/If"] == results["p/If/Wait"] == expected


def test_files_that_start_a_pipeline_are_a_persons(root: Path, tmp_path: Path) -> None:
    """Would catch a command that runs without the name of the file."""
    uses = {
        "notebookPath": "/n",
        "baseParameters": {"f": expression("@pipeline().parameters.file")},
    }
    pipeline(
        root, "p",
        [activity("Use", "DatabricksNotebook", settings=uses), activity("Free", "Delete")],
        parameters={"file": {"type": "string"}},
    )  # fmt: skip
    trigger(
        root, "t", "BlobEventsTrigger", "p", {"blobPathBeginsWith": "/raw/blobs/in"},
        parameters={"file": "@triggerBody().fileName"},
    )  # fmt: skip
    project = imported(root, tmp_path / "new")
    assert verdicts(project) == {"p/Use": "person", "p/Free": "command"}
    assert "trigger: manual" in project.files["assets/p/free.yaml"]
    assert "raw/blobs/in" in items(project)["p/Free"].todo


def test_a_script_over_a_window_is_partitioned_by_its_column(root: Path, tmp_path: Path) -> None:
    """Would catch a window that is pasted into SQL, or an interval without its end."""
    text = expression(
        "INSERT INTO dbo.Daily (day, total) SELECT o.day, o.total FROM dbo.Orders o WHERE "
        "o.day >= '@{formatDateTime(pipeline().parameters.a,'yyyy-MM-dd')}' AND "
        "o.day < '@{formatDateTime(pipeline().parameters.b,'yyyy-MM-dd')}'"
    )
    pipeline(
        root,
        "p",
        [script("Run", text)],
        parameters={"a": {"type": "string"}, "b": {"type": "string"}},
    )
    window = {"frequency": "Hour", "interval": 24, "startTime": "2025-03-01T00:00:00Z"}
    passed = {"a": "@trigger().outputs.windowStartTime", "b": "@trigger().outputs.windowEndTime"}
    trigger(root, "t", "TumblingWindowTrigger", "p", window, parameters=passed)
    project = imported(root, tmp_path / "new")
    assert verdicts(project) == {"p/Run": "carried"}, items(project)["p/Run"].why
    sql = project.files["assets/p/daily.sql"]
    assert "o.day >= $partition_start AND o.day < $partition_end" in sql
    assert "partition: {by: day, column: day}" in sql


def test_what_could_be_untangled_is_suggested_with_evidence(root: Path, tmp_path: Path) -> None:
    lookup = activity("Last", "Lookup", settings={"dataset": {"referenceName": "orders_table"}})
    query = expression("select * from t where x > @{activity('Last').output.firstRow.t}")
    load = copy("Load", "orders_csv", "orders_table", ["Last"], source={"sqlReaderQuery": query})
    update = activity("Update", "SqlServerStoredProcedure", ["Load"])
    pipeline(root, "watermark", [lookup, load, update])
    for name in ("a", "b"):
        pipeline(root, name, [activity("Same", "Wait", settings={"waitTimeInSeconds": 5})])
    calls = [activity("A", "ExecutePipeline", settings={"pipeline": {"referenceName": "a"}})]
    pipeline(root, "master", calls)
    project = imported(root, tmp_path / "new")
    found = {one.kind: one for one in project.suggestions}
    assert set(found) == {"watermark", "duplicate", "pass_through", "waiting"}
    assert found["watermark"].items == ("watermark/Last", "watermark/Load", "watermark/Update")
    assert all(set(one.items) <= set(items(project)) for one in project.suggestions)


def _query_copy(target: str, query: str, **more: object) -> dict[str, object]:
    source = {"type": "AzureSqlSource", "sqlReaderQuery": query}
    if target == "totals":
        more["sink"] = {"type": "AzureSqlSink", "preCopyScript": "TRUNCATE TABLE dbo.Totals"}
    return copy("Load", "orders_table", target, source=source, **more)


def test_a_copy_of_a_query_is_an_asset_in_sql(root: Path, tmp_path: Path) -> None:
    """Would catch a query that stays in the factory, and a mapping that is lost."""
    dataset(root, "totals", "AzureSqlTable", "sql", schema="dbo", table="Totals")
    query = "SELECT o.customer, SUM(o.total) AS amount FROM dbo.Orders o GROUP BY o.customer"
    mappings = [{"source": {"name": "customer"}, "sink": {"name": "client"}}]
    translator = {"type": "TabularTranslator", "mappings": mappings}
    pipeline(root, "daily", [_query_copy("totals", query, translator=translator)])
    project = imported(root, tmp_path / "new")
    assert verdicts(project) == {"daily/Load": "carried"}
    sql = project.files["assets/daily/totals.sql"]
    assert "customer as client" in sql.replace('"', "")
    assert "sum(o.total) AS amount" in sql
    assert "landing/orders.parquet" in project.files["sources/orders.yaml"]


def test_datasets_that_disagree_about_a_column_leave_its_type_open(
    root: Path, tmp_path: Path
) -> None:
    """Would catch text compared as numbers because one of two datasets is out of date."""
    dataset(root, "totals", "AzureSqlTable", "sql", schema="dbo", table="Totals")
    query = "SELECT customer, COUNT(*) AS n FROM dbo.Orders GROUP BY customer"
    pipeline(root, "daily", [_query_copy("totals", query)])
    assert verdicts(imported(root, tmp_path / "new")) == {"daily/Load": "carried"}
    dataset(root, "orders_2", "AzureSqlTable", "sql", schema="dbo", table="Orders",
            columns={"customer": "nvarchar"})  # fmt: skip
    assert verdicts(imported(root, tmp_path / "newer")) != {"daily/Load": "carried"}


@pytest.mark.parametrize(
    ("written", "verdict", "on_condition"),
    [
        ({"storeSettings": {"type": "AzureBlobFSWriteSettings", "blockSizeInMB": 8},
          "formatSettings": {"type": "DelimitedTextWriteSettings", "fileExtension": ".csv"}},
         "carried", False),
        ({"formatSettings": {"quoteAllText": True}}, "carried", True),
        ({"formatSettings": {"filePattern": "setOfObjects"}}, "carried", False),
        ({"formatSettings": {"filePattern": "arrayOfObjects"}}, "command", False),
        ({"formatSettings": {"maxRowsPerFile": 10}}, "command", False),
        ({"formatSettings": {"somethingNew": 1}}, "command", False),
        ({"storeSettings": {"copyBehavior": "PreserveHierarchy"}}, "carried", False),
        ({"storeSettings": {"copyBehavior": "MergeFiles"}}, "command", False),
        ({"storeSettings": {"somethingNew": 1}}, "command", False),
    ],
)  # fmt: skip
def test_settings_of_the_file_that_a_copy_writes(
    root: Path, tmp_path: Path, written: dict[str, object], verdict: str, on_condition: bool
) -> None:
    """Would catch: ten rows per file that become one file, without a word about it."""
    sink = {"type": "DelimitedTextSink", **written}
    pipeline(root, "p", [_query_copy("orders_csv", "SELECT customer FROM dbo.Orders", sink=sink)])
    item = items(imported(root, tmp_path / "new"))["p/Load"]
    assert (str(item.verdict), item.on_condition) == (verdict, on_condition), item.todo


def test_a_copy_of_a_query_into_a_file_that_others_read_stays(root: Path, tmp_path: Path) -> None:
    """Would catch a file that nobody writes any more while a later activity reads it."""
    query = "SELECT customer FROM dbo.Orders"
    pipeline(root, "alone", [_query_copy("orders_csv", query)])
    alone = imported(root, tmp_path / "new")
    assert verdicts(alone) == {"alone/Load": "carried"}
    reader = activity("Read", "Lookup", settings={"dataset": {"referenceName": "orders_csv"}})
    pipeline(root, "other", [reader])
    shared = imported(root, tmp_path / "shared")
    assert verdicts(shared)["alone/Load"] == "command"
    assert "`Read` needs the file" in items(shared)["alone/Load"].why


def test_a_copy_of_a_query_that_means_something_else_stays(root: Path, tmp_path: Path) -> None:
    pipeline(root, "daily", [_query_copy("orders_table", "SELECT TOP 5 x FROM dbo.B")])
    found = items(imported(root, tmp_path / "new"))["daily/Load"]
    assert (str(found.verdict), "without an order" in found.why) == ("command", True), found.why


TOTALS = "TRUNCATE TABLE dbo.Totals; INSERT INTO dbo.Totals (n) SELECT o.n FROM dbo.Sales o"
_PROCEDURE = activity("X", "SqlServerStoredProcedure", settings={"storedProcedureName": "dbo.p"})
OUTSIDE = {
    "an update after it": [
        script("Sum", TOTALS),
        script("X", "UPDATE dbo.Totals SET n = 5", ["Sum"]),
    ],
    "an update in no order": [script("Sum", TOTALS), script("X", "UPDATE dbo.Totals SET n = 5")],
    "an update of what it reads": [script("Sum", TOTALS), script("X", "DELETE FROM dbo.Sales")],
    "a procedure": [script("Sum", TOTALS), _PROCEDURE],
    "a notebook before it": [activity("X", "DatabricksNotebook"), script("Sum", TOTALS, ["X"])],
    "a notebook after it": [script("Sum", TOTALS), activity("X", "DatabricksNotebook", ["Sum"])],
    "a reader by another schema's name": [
        script("Sum", TOTALS),
        script(
            "X", "TRUNCATE TABLE dbo.Y; INSERT INTO dbo.Y (n) SELECT n FROM other.Totals", ["Sum"]
        ),
    ],
    "a reader in no order": [
        script("Sum", TOTALS),
        script("X", "TRUNCATE TABLE dbo.Y; INSERT INTO dbo.Y (n) SELECT n FROM dbo.Totals"),
    ],
}


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_table_that_something_outside_shares_stays_in_the_factory(
    root: Path, tmp_path: Path, name: str, *, elsewhere: bool
) -> None:
    """Would catch an asset whose table the factory goes on changing, filling or reading."""
    activities = OUTSIDE[name]
    if elsewhere and any(one["dependsOn"] for one in activities):
        call = {"pipeline": {"referenceName": "first"}, "waitOnCompletion": True}
        pipeline(root, "first", activities[:1])
        then = [{**one, "dependsOn": []} for one in activities[1:]]
        pipeline(root, "then", then)
        second = {"pipeline": {"referenceName": "then"}, "waitOnCompletion": True}
        pipeline(
            root, "main",
            [activity("A", "ExecutePipeline", settings=call),
             activity("B", "ExecutePipeline", ["A"], settings=second)],
        )  # fmt: skip
    elif elsewhere:
        for number, one in enumerate(activities):
            pipeline(root, f"p{number}", [one])
    else:
        pipeline(root, "p", activities)
    found = {
        key.rpartition("/")[2]: value
        for key, value in verdicts(imported(root, tmp_path / "n")).items()
    }
    assert (found["Sum"], found["X"]) == ("command", "command")
