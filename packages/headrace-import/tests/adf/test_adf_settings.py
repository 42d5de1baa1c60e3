"""Settings that change which rows a Copy, Script or Lookup gives: none is overlooked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from adf_factories import (
    EMPTIES,
    activity,
    basics,
    copy,
    dataset,
    imported,
    items,
    pipeline,
    write,
)

from headrace_import.importers.adf.sql_tasks import NotTranslatedError, translate
from headrace_import.importers.imported import ImportedItem

TEXT = {"type": "DelimitedTextSource"}
COLUMNS = {"source": {"name": "a"}, "sink": {"name": "customer"}}


def _item(tmp_path: Path, **settings: Any) -> ImportedItem:
    root = tmp_path / "factory"
    basics(root)
    file = settings.pop("file", None)
    if file is not None:
        location = {"type": "AzureBlobFSLocation", "fileSystem": "raw", "fileName": "a.csv"}
        dataset(
            root, "file", "DelimitedText", "lake", firstRowAsHeader=True, location=location, **file
        )
    load = copy("Load", "file" if file is not None else "orders_csv", "orders_table", **settings)
    pipeline(root, "p", [load])
    return items(imported(root, tmp_path / "new"))["p/Load"]


def _mapped(**more: Any) -> dict[str, Any]:
    return {"translator": {"type": "TabularTranslator", "mappings": [COLUMNS], **more}}


CHANGES: dict[str, dict[str, Any]] = {
    "rows that don't fit are left out": {"enableSkipIncompatibleRow": True},
    "files that don't fit are left out": {"skipErrorFile": {"dataInconsistency": True}},
    "lines above the header": {"source": {**TEXT, "formatSettings": {"skipLineCount": 3}}},
    "columns from folders": {
        "source": {**TEXT, "storeSettings": {"type": "x", "enablePartitionDiscovery": True}}
    },
    "a procedure by its older name": {"sink": {**EMPTIES, "sqlWriterTableType": "t"}},
    "rows that PolyBase rejects": {"sink": {**EMPTIES, "polyBaseSettings": {"rejectValue": 9}}},
    "the same rows at each run": {"sink": {"type": "AzureSqlSink"}},
    "a mapping by its older name": {
        "translator": {"type": "TabularTranslator", "schemaMapping": {"a": "b"}}
    },
    "formats of dates": _mapped(typeConversionSettings={"dateFormat": "dd.MM.yyyy"}),
    "numbers of a language": _mapped(
        mappings=[{"source": {"name": "a", "culture": "de-DE"}, "sink": {"name": "customer"}}]
    ),
    "another quote": {"file": {"quoteChar": "'"}},
    "no quote": {"file": {"quoteChar": "", "escapeChar": ""}},
    "other line ends": {"file": {"rowDelimiter": "|"}},
    "one that isn't known": {"somethingNew": True},
    "one of the source that isn't known": {"source": {**TEXT, "somethingNew": True}},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_that_changes_rows_keeps_a_copy_in_the_factory(tmp_path: Path, name: str) -> None:
    """Would catch: a setting that nobody looks at, and rows that the factory doesn't have."""
    item = _item(tmp_path, **CHANGES[name])
    assert str(item.verdict) == "command", (name, item.todo)


SAME: dict[str, dict[str, Any]] = {
    "as the portal writes it": {
        "enableStaging": False,
        "source": {**TEXT, "storeSettings": {"type": "AzureBlobFSReadSettings", "recursive": True},
                   "formatSettings": {"type": "DelimitedTextReadSettings", "skipLineCount": 0}},
        "sink": {**EMPTIES, "writeBehavior": "insert", "sqlWriterUseTableLock": False,
                 "tableOption": "autoCreate", "disableMetricsCollection": False},
        **_mapped(typeConversion=True, typeConversionSettings={
            "allowDataTruncation": True, "treatBooleanAsNumber": False}),
    },
    "a file with its escape sign": {"file": {"quoteChar": '"', "escapeChar": '"'}},
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_a_copy_as_it_is_usually_written_is_carried_on_a_condition(
    tmp_path: Path, name: str
) -> None:
    """Would catch: a table of settings that carries nothing, and types that nobody mentions."""
    item = _item(tmp_path, **SAME[name])
    assert (str(item.verdict), item.on_condition) == ("carried", True), item.why
    assert "the types of its table" in item.todo
    assert ("backslash" in item.todo) == ("file" not in SAME[name])


def test_a_lookup_of_one_row_is_no_table(tmp_path: Path) -> None:
    """Would catch: an asset with all rows of a query, of which the factory reads one."""
    root = tmp_path / "factory"
    basics(root)
    query = "SELECT customer FROM dbo.Orders WHERE customer > 3"
    settings = {
        "source": {"type": "AzureSqlSource", "sqlReaderQuery": query},
        "dataset": {"referenceName": "orders_table", "type": "DatasetReference"},
    }
    pipeline(root, "p", [activity("Read", "Lookup", settings=settings)])
    item = items(imported(root, tmp_path / "first"))["p/Read"]
    assert (str(item.verdict), "the first row" in item.why) == ("command", True)
    every = activity("Read", "Lookup", settings={**settings, "firstRowOnly": False})
    pipeline(root, "p", [every])
    item = items(imported(root, tmp_path / "all"))["p/Read"]
    assert (str(item.verdict), "5,000 rows" in item.todo) == ("carried", True)


def _with(tmp_path: Path, *others: Any, after: tuple[str, ...] = ()) -> ImportedItem:
    root = tmp_path / "factory"
    basics(root)
    dataset(root, "sums", "AzureSqlTable", "sql", schema="dbo", table="Sums")
    pipeline(root, "other", [*others] if not after else [])
    for name in ("made", "same"):
        location = {"type": "AzureBlobFSLocation", "fileSystem": "raw", "fileName": "made.csv"}
        dataset(root, name, "DelimitedText", "lake", firstRowAsHeader=True, location=location)
    load = copy("Load", "made", "orders_table", after)
    pipeline(root, "p", [*others, load] if after else [load])
    return items(imported(root, tmp_path / "new"))["p/Load"]


def test_a_file_that_something_outside_writes_or_prepares_is_read_there(tmp_path: Path) -> None:
    """Would catch: a source that is ingested before the command that exports its file."""
    web = activity("Export", "WebActivity", settings={"url": "https://x.example", "method": "POST"})
    copies = copy("Export", "sums", "same", source={"type": "S", "new": 1})
    known = activity("Export", "GetMetadata", settings={"fieldList": ["exists"]})
    for number, (other, after) in enumerate(
        [(web, ("Export",)), (copies, ()), (copies, ("Export",))]
    ):
        item = _with(tmp_path / str(number), other, after=after)
        assert (str(item.verdict), "`Export` prepares" in item.why) == ("command", True), number
    assert str(_with(tmp_path / "known", known, after=("Export",)).verdict) == "carried"


def test_programs_that_stay_are_named(tmp_path: Path) -> None:
    """Would catch: a table that a notebook of another pipeline fills, without a word about it."""
    item = _with(tmp_path, activity("Note", "DatabricksNotebook", settings={"notebookPath": "/n"}))
    assert (item.on_condition, "files: `Note`" in item.todo) == (True, True), item.todo


def _flow(tmp_path: Path, expression: str) -> tuple[ImportedItem, str]:
    root = tmp_path / "factory"
    basics(root)
    dataset(root, "sums", "AzureSqlTable", "sql", schema="dbo", table="Sums")
    text = (
        "source(output(id as double, customer as string)) ~> a\n"
        f"a derive(x = {expression}) ~> b\nb sink(truncate: true) ~> c"
    )
    sides = (("sources", "a", "orders_csv"), ("sinks", "c", "sums"))
    parts = {key: [{"name": n, "dataset": {"referenceName": d}}] for key, n, d in sides}
    properties = {"type": "MappingDataFlow", "typeProperties": {**parts, "script": text}}
    write(root, "dataflow/df.json", {"name": "df", "properties": properties})
    run = activity("Flow", "ExecuteDataFlow", settings={"dataFlow": {"referenceName": "df"}})
    pipeline(root, "p", [run])
    project = imported(root, tmp_path / "new")
    return items(project)["p/Flow"], project.files.get("assets/p/sums.sql", "")


@pytest.mark.parametrize("expression", ["upper(customer)", "round(id, 2)"])
def test_functions_that_spark_computes_otherwise_stay(tmp_path: Path, expression: str) -> None:
    """Would catch: STRASSE and STRAẞE, 1.01 and 1.0, as Spark and DuckDB have them."""
    item, _ = _flow(tmp_path, expression)
    assert str(item.verdict) == "command", item.todo


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("toDate(customer)", []), ("toInteger(id)", None), ("trim(customer)", ["x\u00a0"]),
    ],
)  # fmt: skip
def test_conversions_of_a_data_flow(
    tmp_path: Path, expression: str, rows: list[str] | None
) -> None:
    """Would catch: no-break spaces that are cut, a number that is too large as null, no condition."""
    item, sql = _flow(tmp_path, expression)
    assert (str(item.verdict), item.on_condition) == ("carried", True), item.why
    assert "a date of 2024" in item.todo
    with duckdb.connect() as connection:
        connection.execute("create table orders_csv as select 1e20 as id, 'x\u00a0' as customer")
        query = sql.partition("*/")[2]
        if rows is None:
            with pytest.raises(duckdb.Error):
                connection.execute(query).fetchall()
        elif rows:
            assert [row[-1] for row in connection.execute(query).fetchall()] == rows


INSERT = "INSERT INTO dbo.A (id) SELECT id FROM dbo.B WHERE id > 3"


@pytest.mark.parametrize(
    "text",
    [
        f"{INSERT}; TRUNCATE TABLE dbo.A", f"DELETE TOP (10) FROM dbo.A; {INSERT}",
        f"TRUNCATE TABLE dbo.A WITH (PARTITIONS (2)); {INSERT}",
        f"SET ROWCOUNT 5 -- nocount\nTRUNCATE TABLE dbo.A; {INSERT}",
        f"DROP TABLE dbo.A, dbo.B; {INSERT}",
    ],
)  # fmt: skip
def test_a_table_that_is_not_emptied_as_a_whole_before_isnt_replaced(text: str) -> None:
    """Would catch: TOP, a partition or the order of the statements, which are overlooked."""
    with pytest.raises(NotTranslatedError):
        translate(text, "tsql", "shop")


@pytest.mark.parametrize(
    "before", ["TRUNCATE TABLE dbo.A", "DELETE FROM dbo.A", "SET NOCOUNT ON; DELETE dbo.A"]
)
def test_a_table_that_is_emptied_before_is_replaced(before: str) -> None:
    assert translate(f"{before}; {INSERT}", "tsql", "shop").replaces
    whole = "DROP TABLE IF EXISTS dbo.A; SELECT id INTO dbo.A FROM dbo.B WHERE id > 3"
    assert translate(whole, "tsql", "shop").replaces
