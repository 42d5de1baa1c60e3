"""Scripts of mapping data flows as ADF Studio writes them, broken ones, and what they mean here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from adf_factories import (
    activity,
    basics,
    copy,
    dataset,
    imported,
    items,
    pipeline,
    verdicts,
    write,
)

from headrace_import.importers.adf.dataflow_script import (
    BadScriptError,
    Column,
    Function,
    Named,
    Number,
    Operation,
    Text,
    parse_script,
)

SINK = (
    "v sink(allowSchemaDrift: true,\n\tvalidateSchema: false,\n\tinput(\n\t\tid as long,\n"
    "\t\tamount as decimal(10,2)\n\t),\n\tdeletable:false,\n\tinsertable:true,\n"
    "\tupdateable:false,\n\tupsertable:false,\n\ttruncate:true,\n\tkeys:[('id'),'b'],\n"
    "\tformat: 'table',\n\tpreSQLs: [],\n\tumask: 0022,\n\tskipDuplicateMapInputs: true,\n"
    "\tskipDuplicateMapOutputs: true,\n\tsaveOrder: 1,\n"
    "\terrorHandlingOption: 'stopOnFirstError',\n\tmapColumn(\n\t\tid,\n\t\t{to tal} = amount\n\t),"
    "\n\tpartitionBy('hash', 1)) ~> out"
)
SCRIPTS = {
    "sink": SINK,
    "assert": (
        "a, b assert(expectTrue(Country == 'US', false, 'nonUS', null, 'only U.S.'),\n"
        "\texpectExists(a@Id == b@Id, false, 'there', State == 'WA', toString(a@Id) + ' is'),\n"
        "\texpectUnique(a@Id, false, 'uniqueness', null, 'twice'),\n\tabort: true) ~> Assert1"
    ),
    "select by rules": (
        "d select(mapColumn(\n\t\teach(a, match(true())),\n\t\tmovie,\n\t\ttitle1 = title,\n"
        "\t\teach(match(name == 'Rating')),\n\t\teach(patternMatch(`(y)`),\n"
        "\t\t\t$1 + 'regex' = $$)\n\t),\n\tskipDuplicateMapInputs: true) ~> Select1"
    ),
    "aggregate by rules": (
        "aggregate(each(match(type=='double'||type=='short'), $$+'_n' = countIf(!isNull($$)), "
        "$$ + '_min' = min ($$))) ~> S"
    ),
    "split": "split(contains(array(columns()),isNull(#item)),\n\tdisjoint: false) ~> L@(a, b)",
    "union of split": "S@Insert, S@Update union(byName: true)~> A",
    "lookup": (
        "A, B lookup(A@country == B@country,\n\tmultiple: false,\n\tpickup: 'any',\n"
        "\tbroadcast: 'auto')~> L"
    ),
    "join": (
        "A@Weekly, B join(week == other_week,\n\tjoinType:'inner',\n\tmatchType:'exact',\n"
        "\tignoreSpaces: false,\n\tbroadcast: 'auto')~> J"
    ),
    "exists": "A, B exists(A@id == B@id,\n\tnegate:true,\n\tbroadcast: 'auto')~> E",
    "pivot": (
        "B pivot(groupBy(Tm),\n    pivotBy(Pos, ['confirmed cases', 'deaths']),\n"
        "    {} = count(),\n    columnNaming: '$V$N count',\n    lateral: true) ~> P"
    ),
    "unpivot": (
        "P unpivot(output(\n\t\tPos as string,\n\t\tCount as long\n\t),\n\tungroupBy(Tm),\n"
        "\tlateral: true,\n\tignoreNullPivots: false) ~> U"
    ),
    "flatten": (
        "source(output(\n\t\tname as string,\n\t\tsatellites as string[],\n"
        "\t\tgoods as (trade as boolean, orders as (id as string, items as (n as string)[])[])\n"
        "\t),\n\tallowSchemaDrift: true) ~> s\n"
        "s foldDown(unroll(goods.orders.items, goods.orders),\n\tmapColumn(\n\t\tname,\n"
        "\t\tid = goods.orders.id\n\t),\n\tskipDuplicateMapInputs: false) ~> f"
    ),
    "parse": (
        "D parse(json = text ? (trade as boolean,\n\t\tcustomers as string[]),\n"
        "\tformat: 'json',\n\tdocumentForm: 'arrayOfDocuments') ~> J"
    ),
    "window": (
        "K keyGenerate(output(sk as long),\n\tstartAt: 1L) ~> G\n"
        "G window(over(dummy),\n\tasc(sk, true),\n\tstartRowOffset: -7L,\n\tendRowOffset: 7L,\n"
        "\tprevious = coalesce(Rating, last(Rating, true()))) ~> W"
    ),
    "sort": "A sort(desc(P@country, true),\n\tasc(toTimestamp(byName('t')), false)) ~> S",
    "alterRow": "A alterRow(upsertIf(or(equals(x,'C'),y==1)),\n\tdeleteIf(x == 'D')) ~> R",
    "derive": (
        "A derive(:local = a + 1, b = :local * -2, at = attributes.dates[7], "
        "w = year+\"-W\"+lpad(week,2,\"0\"), {the end} = iif(a>1 && !(b<2), 'x', \"y\")) ~> D"
    ),
    "source": (
        "source(output(\n\t\tday as date 'yyyy-MM-dd',\n\t\tn as decimal(10,2)\n\t),\n"
        "\tallowSchemaDrift: true,\n\tignoreNoFilesFound: false,\n\tpartitionBy('hash', 1),\n"
        "\twildcardPaths:['in/*.json']) ~> s"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_of_the_studio_are_parsed(name: str) -> None:
    """Would catch `:true` read as one word, arrays, paths, patterns and rules."""
    assert parse_script(SCRIPTS[name])


def test_options_have_their_values_with_and_without_a_space() -> None:
    for text in ("v sink(truncate:true) ~> out", "v sink(truncate: true) ~> out"):
        (step,) = parse_script(text)
        assert step.transformation.arguments == (Named("truncate", Column("true")),)


def test_operators_bind_as_in_the_language() -> None:
    (step,) = parse_script("v filter(a + 2 * b >= 3 && !c || d) ~> f")
    (outer,) = step.transformation.arguments
    assert isinstance(outer, Operation)
    assert outer.sign == "||"
    (left, _) = outer.operands
    assert isinstance(left, Operation)
    compared = Operation(
        ">=",
        (
            Operation("+", (Column("a"), Operation("*", (Number("2"), Column("b"))))),
            Number("3"),
        ),
    )
    assert left == Operation("&&", (compared, Operation("!", (Column("c"),))))
    (minus,) = parse_script("v filter(a - b - c) ~> f")[0].transformation.arguments
    assert minus == Operation("-", (Operation("-", (Column("a"), Column("b"))), Column("c")))


def test_texts_have_escapes_and_interpolations() -> None:
    """Would catch a line break that becomes `n`, and a column that is copied as text."""
    (step,) = parse_script(r"""v derive(f('a\n\'b', "it's {name}", "plain")) ~> f""")
    (call,) = step.transformation.arguments
    assert isinstance(call, Function)
    assert call.arguments == (Text("a\n'b"), Function('"', (Text("it's {name}"),)), Text("plain"))


@pytest.mark.parametrize(
    "text",
    [
        "v sink(", "v sink(truncate:) ~> out", "v sink(truncate:true ~> out", "v sink() ~>",
        "v sink() ~> a@(b", "v sink() ~> 'x'", "v derive(a = ) ~> b", "v derive(a = [1, 2) ~> b",
        "v derive(a = 'x) ~> b", "v derive(a as (b as string) ~> c", "~> x", "v", "v,", "v@", "/* x",
        "v filter(" + "(" * 5000 + "a" + ")" * 5000 + ") ~> f",
        "v filter(" + "!" * 5000 + "a) ~> f", "v filter(" + "f(" * 5000 + ") ~> f",
        "v filter(a" + "[1]" * 5000 + ") ~> f", "v filter(a" + " + 1" * 5000 + ") ~> f",
        "v filter(" + "[" * 5000 + ") ~> f",
    ],
)  # fmt: skip
def test_broken_and_hostile_scripts_are_refused(text: str) -> None:
    """Would catch a RecursionError, or a script that is half read."""
    with pytest.raises(BadScriptError):
        parse_script(text)


@pytest.mark.parametrize("depth", [10, 95])
def test_nested_scripts_are_parsed(depth: int) -> None:
    assert parse_script("v filter(" + "upper(" * depth + "a" + ")" * depth + ") ~> f")


SOURCE = (
    "source(output(\n\t\tid as integer,\n\t\tname as string,\n\t\ttotal as double\n\t),\n"
    "\tallowSchemaDrift: true,\n\tvalidateSchema: false,\n\tignoreNoFilesFound: false) ~> S\n"
)
_SINK_OF_TABLE = (
    " sink(allowSchemaDrift: true,\n\tvalidateSchema: false,\n\tinput(\n\t\tid as long\n\t),\n"
    "\tdeletable:false,\n\tinsertable:true,\n\tupdateable:false,\n\tupsertable:false,\n"
    "\ttruncate:true,\n\tformat: 'table',\n\tskipDuplicateMapInputs: true,\n"
    "\tskipDuplicateMapOutputs: true,\n\terrorHandlingOption: 'stopOnFirstError') ~> T"
)


def _flow(root: Path, script: str, sink: str = "orders_table") -> dict[str, Any]:
    """Write a data flow from orders.csv, and return the activity that runs it."""
    settings = {
        "sources": [{"name": "S", "dataset": {"referenceName": "orders_csv"}}],
        "sinks": [{"name": "T", "dataset": {"referenceName": sink}}],
        "scriptLines": script.split("\n"),
    }
    properties = {"type": "MappingDataFlow", "typeProperties": settings}
    write(root, "dataflow/df.json", {"name": "df", "properties": properties})
    return activity("Flow", "ExecuteDataFlow", settings={"dataflow": {"referenceName": "df"}})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the linked services and datasets that tests share."""
    basics(tmp_path / "factory")
    return tmp_path / "factory"


def test_a_flow_of_the_studio_into_a_table_is_carried(root: Path, tmp_path: Path) -> None:
    """Would catch whole numbers that are rounded, a division by zero, and nulls in another place."""
    script = (
        SOURCE + "S derive(whole = toInteger(total),\n\t\tpart = toDouble(id) / total) ~> D\n"
        "D window(over(name),\n\tdesc(total, true),\n\tplace = rowNumber()) ~> W\n"
        "W" + _SINK_OF_TABLE
    )
    pipeline(root, "p", [_flow(root, script)])
    project = imported(root, tmp_path / "new")
    assert verdicts(project) == {"p/Flow": "carried"}, items(project)["p/Flow"].why
    query = project.files["assets/p/orders.sql"].partition("*/")[2]
    with duckdb.connect() as connection:
        connection.execute(
            "create table orders_csv as from (values (1, 'a', 1.7), (2, 'a', 0.0), (3, 'a', null)) "
            "v(id, name, total)"
        )
        rows = connection.execute(f"select * from ({query}) order by id").fetchall()
    assert [row[3:] for row in rows] == [(1, 1 / 1.7, 2), (0, None, 3), (None, None, 1)]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("derive(x = id / 2)", "divides columns"),
        ('derive(x = "{name}!")', 'it calls `"()`'),
        ("derive(:l = id, x = :l)", "local variables"),
        ("derive(x = sqrt(total))", "sqrt"),
        ("derive(x = name[1])", "[]"),
        ("filter(id > 1, limit: 5)", "the option `limit`"),
        ("assert(expectTrue(id > 1, false, 'x', null, 'y'))", "`assert`"),
        ("window(over(name), asc(id), n = rowNumber())", "where it puts nulls"),
        ("window(over(name), asc(id, true), n = rowNumber(), startRowOffset: -1L)", "startRow"),
        ("join(id == id, joinType:'left')", "has 1 inputs"),
    ],
)
def test_what_means_something_else_stays_in_the_factory(
    root: Path, tmp_path: Path, step: str, reason: str
) -> None:
    pipeline(root, "p", [_flow(root, f"{SOURCE}S {step} ~> D\nD{_SINK_OF_TABLE}")])
    item = items(imported(root, tmp_path / "new"))["p/Flow"]
    assert (str(item.verdict), reason in item.why) == ("command", True), item.why


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("insertable:true", "insertable:false"),
        ("truncate:true", "truncate:false"),
        ("updateable:false", "updateable:true"),
        ("format: 'table'", "format: 'table',\n\tpreSQLs: ['delete from x']"),
        ("format: 'table'", "format: 'table',\n\trowUrlColumn: 'file'"),
        ("'stopOnFirstError'", "'allowErrors'"),
    ],
)
def test_a_sink_that_does_more_than_replace_rows_stays(
    root: Path, tmp_path: Path, old: str, new: str
) -> None:
    """Would catch SQL around a sink, and a sink that adds or changes rows."""
    assert old in _SINK_OF_TABLE
    pipeline(root, "p", [_flow(root, f"{SOURCE}S{_SINK_OF_TABLE.replace(old, new)}")])
    item = items(imported(root, tmp_path / "new"))["p/Flow"]
    assert (str(item.verdict), "its sink `T`" in item.why) == ("command", True), item.why


@pytest.mark.parametrize("reads", ["the dataset", "another dataset of its folder", "nothing"])
def test_a_flow_into_a_file_that_others_read_stays(root: Path, tmp_path: Path, reads: str) -> None:
    """Would catch a file that nobody writes any more while another activity reads it."""
    place = {"type": "AzureBlobFSLocation", "fileSystem": "out", "folderPath": "totals"}
    dataset(root, "totals", "Parquet", "lake", location=place)
    dataset(root, "one", "Parquet", "lake", location={**place, "fileName": "a.parquet"})
    pipeline(root, "p", [_flow(root, f"{SOURCE}S sink(truncate:true) ~> T", "totals")])
    reader = {"the dataset": "totals", "nothing": "orders_csv"}.get(reads, "one")
    pipeline(root, "other", [copy("Read", reader, "orders_table")])
    project = imported(root, tmp_path / "new")
    expected = "carried" if reads == "nothing" else "command"
    assert verdicts(project)["p/Flow"] == expected, items(project)["p/Flow"].why
    if reads != "nothing":
        assert "`Read` may read the file" in items(project)["p/Flow"].why
