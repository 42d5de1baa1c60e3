"""Schemas of several deliveries as one, and values that aren't of their column's type."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from connect_workbench import Workbench
from legacy_formats import NEEDS_LEGACY

from headrace.connect.deliveries import (
    AlmostTyped,
    BadColumn,
    Disagreement,
    Format,
    Lesson,
    SourceSchema,
)
from headrace.connect.formats.registry import FileHeader
from headrace.connect.formats.text_values import (
    Bad,
    bad_columns,
    column_types,
    drift_of,
    located,
    selected,
)
from headrace.connect.schemas import (
    agreed,
    as_promised,
    computed,
    disputed,
    renamed,
    widened,
    with_names,
)
from headrace.lake import LakeColumn
from headrace.lake.strict_casts import bad_value_condition, checked_cast, strict_cast
from headrace.model import Place
from headrace.model.nodes import ContractColumn
from headrace.model.texts import plain


def schema(
    kind: str = "csv", form: Mapping[str, object] | None = None, **types: str
) -> SourceSchema:
    columns = tuple(LakeColumn(name, type_name, 0) for name, type_name in types.items())
    return SourceSchema(columns, msgspec.convert({"kind": kind, **(form or {})}, Format))


def types_of(item: SourceSchema) -> dict[str, str]:
    return {column.name: column.type for column in item.columns}


def test_a_wider_schema_holds_both_deliveries() -> None:
    """Would catch: a type that loses values of one delivery, a column that records of only one have
    and that is then missed, and words for no value that are forgotten.
    """
    first = schema(form={"null": ["", "NA"], "date_format": "%d/%m/%Y"}, a="BIGINT", b="DATE")
    second = schema(
        form={"null": ["", "-"], "date_format": "%Y", "timestamp_format": "%H"},
        b="DATE",
        a="DOUBLE",
    )
    both = widened(first, second)
    assert types_of(both) == {"a": "DOUBLE", "b": "DATE"}
    assert both.format.null == ("", "NA", "-")
    assert (both.format.date_format, both.format.timestamp_format) == ("%d/%m/%Y", "%H")
    assert both.optional == ()
    assert widened(first, None) == first
    assert widened(first, schema(a="DOUBLE", c="BIGINT")) == first
    records = widened(schema("jsonl", a="BIGINT", b="DATE"), schema("jsonl", c="DATE", a="VARCHAR"))
    assert types_of(records) == {"a": "VARCHAR", "b": "DATE", "c": "DATE"}
    assert records.optional == ("b", "c")


@pytest.mark.parametrize(
    ("types", "agreed_type", "disputes"),
    [
        (["BIGINT", "BIGINT", "VARCHAR"], "BIGINT", [{}, {}, {"a": "BIGINT"}]),
        (["BIGINT", "DOUBLE", "VARCHAR"], "DOUBLE", [{}, {}, {"a": "DOUBLE"}]),
        (["VARCHAR", "BIGINT", "VARCHAR"], "VARCHAR", [{}, {}, {}]),
        (["VARCHAR", "BIGINT"], "VARCHAR", [{"a": "BIGINT"}, {}]),
        (["BIGINT", "BIGINT"], "BIGINT", [{}, {}]),
        (["VARCHAR", "VARCHAR"], "VARCHAR", [{}, {}]),
        (["DATE", "BIGINT", "VARCHAR"], "VARCHAR", [{}, {"a": "DATE"}, {"a": "DATE"}]),
    ],
)
@pytest.mark.parametrize(
    "kind", ["csv", "jsonl", "parquet", pytest.param("excel", marks=NEEDS_LEGACY)]
)
def test_most_deliveries_say_the_type(
    kind: str, types: list[str], agreed_type: str, disputes: list[dict[str, str]]
) -> None:
    """Would catch: one broken value of one delivery that makes a column text for ever, and codes
    that are whole numbers on some days.
    """
    schemas = [schema(kind, a=type_name, b="DATE") for type_name in types]
    together = agreed(schemas)
    assert types_of(together) == {"a": agreed_type, "b": "DATE"}
    assert disputed(schemas, together) == disputes


def test_a_column_without_values_has_no_say() -> None:
    """Would catch: a column that is text because one file has only nulls in it."""
    schemas = [schema(a=type_name) for type_name in ("VARCHAR", "NULL", "BIGINT", "NULL", "BIGINT")]
    together = agreed(schemas)
    assert types_of(together) == {"a": "BIGINT"}
    assert disputed(schemas, together) == [{"a": "BIGINT"}, {}, {}, {}, {}]
    assert types_of(agreed([schema(a="NULL"), schema(a="NULL")])) == {"a": "VARCHAR"}


def test_a_delivery_with_another_header_has_no_say() -> None:
    """Would catch: types of a file that was delivered by mistake."""
    schemas = [schema(a="VARCHAR"), schema(a="BIGINT", b="DATE"), schema(a="BIGINT")]
    together = agreed(schemas)
    assert types_of(together) == {"a": "VARCHAR"}
    assert disputed(schemas, together) == [{"a": "BIGINT"}, None, {}]


def test_dates_written_in_two_ways_are_text() -> None:
    """Would catch: 01/02/2013 read as a day of January and of February."""
    ways = [schema(form={"date_format": way}, a="DATE") for way in ("%d/%m/%Y", "%m/%d/%Y")]
    assert types_of(agreed([*ways, schema(a="VARCHAR")])) == {"a": "VARCHAR"}
    assert types_of(agreed([ways[0], ways[0], schema(a="VARCHAR")])) == {"a": "DATE"}


def test_a_contract_gives_types_and_columns() -> None:
    """Would catch: a promised column that no file has and that is then not missed."""
    place = Place(file="contracts/s.yaml")
    promised = [
        ContractColumn(name="b", type="decimal(9, 2)", place=place),
        ContractColumn(name="c", type="date", place=place),
        ContractColumn(name="d", place=place),
    ]
    result = as_promised(schema(a="BIGINT", b="DOUBLE"), promised)
    assert types_of(result) == {"a": "BIGINT", "b": "DECIMAL(9,2)", "c": "DATE", "d": "VARCHAR"}
    assert result.pinned_by == "contract"
    assert [column.id for column in result.columns] == [0, 0, 0, 0]


def test_names_of_a_file_become_those_of_the_columns() -> None:
    """Would catch: two columns of one name after a rename."""
    header = renamed(
        FileHeader(("late", "id", "delay"), optional=("late", "id")), {"late": "delay", "id": "id"}
    )
    assert header.names == ("delay", "id", "delay\0")
    assert header.optional == ("delay", "id")
    learnt = msgspec.structs.replace(
        schema(late="BIGINT", id="DATE", sampled="DOUBLE"), optional=("late", "sampled")
    )
    named = with_names(learnt, FileHeader(("delay", "id")))
    assert types_of(named) == {"delay": "BIGINT", "id": "DATE", "sampled": "DOUBLE"}
    assert named.optional == ("delay", "sampled")


def test_computed_columns_are_exact(bench: Workbench) -> None:
    """Would catch: a fraction that is rounded into a column of whole numbers."""
    connection = bench.session.connection
    item = schema(a="BIGINT", b="DOUBLE", c="VARCHAR")
    rows = "SELECT 4::BIGINT AS a, 3.0::DOUBLE AS b, 'x' AS c"
    halves = computed(rows, item, {"a": "a / 2", "b": "b / 2"})
    assert connection.execute(halves).fetchall() == [(2, 1.5, "x")]
    missing = computed(rows, item, {"a": "CAST(NULL AS DOUBLE)"})
    assert connection.execute(missing).fetchall() == [(None, 3.0, "x")]
    with pytest.raises(Exception, match=r"a: .*its type is BIGINT"):
        connection.execute(computed(rows, item, {"a": "b / 2"})).fetchall()


# Values that are text
# --------------------------------------------------------------------------------------------------

AMERICAN = {"date_format": "%m/%d/%Y", "timestamp_format": "%m/%d/%Y %H:%M"}
VALUES: list[tuple[str, dict[str, str], dict[str, str | None]]] = [
    # Each text → the value as DuckDB writes it; None: it isn't one.
    (
        "BIGINT",
        {},
        {
            "1": "1",
            "+1": "1",
            "007": "7",
            " 1 ": "1",
            "1.0": None,
            "0x10": None,
            "1e3": None,
            "": None,
        },
    ),
    ("UTINYINT", {}, {"255": "255", "256": None, "-1": None}),
    (
        "DOUBLE",
        {},
        {"1.5": "1.5", "1e3": "1000.0", "1e400": None, "inf": None, "nan": None, "x": None},
    ),
    (
        "DECIMAL(9,2)",
        {},
        {
            "1.00": "1.00",
            "1.005": None,
            "1.050": "1.05",
            "1e1": None,
            "0x1": None,
            "12345678": None,
        },
    ),
    ("BOOLEAN", {}, {"true": "true", "F": "false", "maybe": None}),
    (
        "DATE",
        {},
        {"2013-02-03": "2013-02-03", "2013-02-30": None, "2013-02-03x": None, "02/03/2013": None},
    ),
    (
        "DATE",
        AMERICAN,
        {
            "02/03/2013": "2013-02-03",
            "2013-02-03": "2013-02-03",
            "13/02/2013": None,
            "02/03/13": None,
        },
    ),
    (
        "TIMESTAMP",
        {},
        {"2013-02-03 04:05:06": "2013-02-03 04:05:06", "2013-02-03 04:05:06+05": None},
    ),
    (
        "TIMESTAMP",
        AMERICAN,
        {"02/03/2013 04:05": "2013-02-03 04:05:00", "2013-02-03T04:05:06": "2013-02-03 04:05:06"},
    ),
    (
        "DATE",
        {"date_format": "%m/%d/%Y %H:%M"},
        {"02/03/2013 00:00": "2013-02-03", "02/03/2013 04:05": None},
    ),
    ("VARCHAR", {}, {"x": "x", "": ""}),
]


@pytest.mark.parametrize(("type_name", "form", "values"), VALUES)
def test_a_text_is_a_value_of_its_type_or_bad(
    bench: Workbench, type_name: str, form: dict[str, str], values: dict[str, str | None]
) -> None:
    """Would catch: a value that DuckDB bends to the type, and one that is refused for its form."""
    connection = bench.session.connection
    form_of = msgspec.convert({"kind": "csv", **form}, Format)
    bad = bad_value_condition("t", type_name, form_of)
    checked = checked_cast(strict_cast("t", type_name, form_of), "it isn't one")
    for text, value in values.items():
        rows = "(SELECT $t::VARCHAR AS t) WHERE t IS NOT NULL"
        is_bad = connection.execute(f"SELECT {bad} FROM {rows}", {"t": text}).fetchone()
        assert is_bad == (value is None,), text
        query = f"SELECT CAST({checked} AS VARCHAR) FROM {rows}"
        if value is not None:
            assert connection.execute(query, {"t": text}).fetchone() == (value,), text
            continue
        with pytest.raises(
            Exception, match=r"it isn't one|Conversion Error|Invalid Input|Out of Range"
        ):
            connection.execute(query, {"t": text}).fetchall()
    assert connection.execute(f"SELECT {bad} FROM (SELECT NULL::VARCHAR AS t)").fetchone() == (
        False,
    )


def test_columns_are_selected_by_name_and_counted_where_bad(bench: Workbench) -> None:
    """Would catch: values of a neighbouring column, and a count of the wrong one."""
    connection = bench.session.connection
    connection.execute(
        "CREATE TEMP TABLE texts AS SELECT * FROM (VALUES ('1', '2', '3'), ('x', NULL, '4'),"
        " ('y', 'z', '5'), ('x', '6', '7')) AS t(c1, c2, c3)"
    )
    header = FileHeader(("a", "b", "c"))
    item = schema(c="BIGINT", gone="DATE", b="BIGINT", a="BIGINT")
    bad = bad_columns(connection, "texts", header, item)
    assert bad == [
        Bad(0, "a", "BIGINT", 3, frozenset("xy")),
        Bad(1, "b", "BIGINT", 1, frozenset("z")),
    ]
    form = msgspec.structs.replace(item.format, lenient=("a", "b"))
    query = selected("texts", form, header, item.columns)
    assert connection.execute(query).fetchall() == [
        (3, None, 2, 1),
        (4, None, None, None),
        (5, None, None, None),
        (7, None, 6, None),
    ]
    with pytest.raises(Exception, match=r"column 1: a value isn't BIGINT|Could not convert"):
        connection.execute(selected("texts", item.format, header, item.columns)).fetchall()
    assert column_types(["a", "it's"], ["DATE", "JSON"]) == "{'a': 'DATE', 'it''s': 'JSON'}"


def test_the_first_bad_value_is_located_by_its_line() -> None:
    """Would catch: the line of another column's value, and a short row that ends the search."""
    bad = [
        Bad(1, "b", "DATE", 3, frozenset({"q", "p"})),
        Bad(0, "a", "BIGINT", 1, frozenset("x")),
        Bad(2, "c", "BIGINT", 1, frozenset("zy")),
    ]
    rows = iter([(2, ["q", "2"]), (3, ["1"]), (5, ["x", "q", "1"]), (6, ["2", "p"]), (7, ["x"])])
    assert located(bad, rows) == [
        BadColumn("b", "DATE", 3, "q", 5),
        BadColumn("a", "BIGINT", 1, "x", 5),
        BadColumn("c", "BIGINT", 1, "y", None),
    ]


def test_a_drift_of_types_names_three_columns() -> None:
    """Would catch: a message of a thousand columns, and a cell's number given as a line."""
    columns = [BadColumn(name, "BIGINT", at, f"v{name}", at) for at, name in enumerate("abcde", 1)]
    columns[1] = msgspec.structs.replace(columns[1], line=None, written="%d", rows=1_234)
    first = "column a: first value that isn't BIGINT: 'va' at line 1, 1 row"
    second = "column b: first value that isn't BIGINT (%d): 'vb', 1,234 rows"
    third = "column c: first value that isn't BIGINT: 'vc' at line 3, 3 rows"
    assert plain(drift_of(columns[:1]).reason) == first
    assert plain(drift_of(columns[:3]).reason) == f"{first}; {second}; {third}"
    assert plain(drift_of(columns).reason) == f"{first}; {second}; {third}; and 2 more columns"
    assert drift_of(columns).columns == tuple(columns)
    rows = drift_of(columns[:1], unit="row")
    assert plain(rows.reason) == first.replace("line", "row")
    assert [column.line for column in rows.columns] == [None]
    hidden = drift_of(columns[:3]).without_values({"a", "x"})
    assert "'va'" not in plain(hidden.reason) and "'vb'" in plain(hidden.reason)
    assert [column.value for column in hidden.columns] == ["", "vb", "vc"]


def test_a_lesson_warns_of_what_was_guessed() -> None:
    """Would catch: a guess that nobody is told of, and a warning for what is certain."""
    assert Lesson(("a.csv",)).warnings == ()
    disagreed = (
        Disagreement("a.csv", "n", "BIGINT", "x", 3),
        Disagreement("b.csv", "m", "DATE", "", None),
        Disagreement("c.csv"),
    )
    assert [plain(item.text) for item in disagreed] == [
        "n 'x' isn't BIGINT (line 3 of a.csv)",
        "m isn't DATE (b.csv)",
        "c.csv has another header",
    ]
    lesson = Lesson(
        ("a.csv",),
        encoding="cp1252",
        declared_encoding="utf-16",
        undeclared=True,
        disagreed=disagreed,
        undecided=("m", "n"),
        almost=(AlmostTyped("k", "DATE", 1_999, 2_000, "a.csv", "y", 7),),
    )
    first, almost, declared, undeclared = lesson.warnings
    assert first == f"{disagreed[0].text}; {disagreed[1].text}: read as text"
    assert plain(almost).startswith(
        "k 'y' isn't a date (line 7 of a.csv), 1,999 of 2,000 values are: read"
    )
    assert declared == (
        "the first delivery is CP1252, though UTF-16 is declared, and is read as CP1252"
    )
    assert undeclared.startswith("the first delivery is CP1252, so the source is held to that")
