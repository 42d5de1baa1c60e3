"""Every field of INTERFACE §1's table, wherever an asset stands, and what is said when one is
wrong.
"""

from __future__ import annotations

import json

import pytest
from modellab import Load, Parse, sql, told
from source_packages import NEEDS_DATABASES, NEEDS_HTTP

from headrace.model import (
    CommandBody,
    Complete,
    Expect,
    Grain,
    InputMode,
    InputSpec,
    PartitionSpec,
    Place,
    Severity,
    SqlBody,
)

EVERYTHING = """/* headrace
name: delays
owner: core
description: What was late
tags: [daily, "x"]
domain: ops
timezone: Europe/Berlin
partition: {by: day, column: flight_date}
start: 2013-01-01
inputs:
  flights: {lookback: 7d, optional: true}
  weather: within
  planes: all
depends: [other]
materialize: merge
merge: {keys: [id]}
columns: {a: bigint, b: null}
parameters: {threshold: 15, codes: [a, b], on: true}
checks:
  - unique: [id]
on_fail: hold
on_anomaly: ignore
contract: delays
trigger: {cron: "0 6 * * 1-5", catch_up: latest}
timeout: 90m
attempts_max: 3
memory_max: 2GB
pool: warehouse
priority: 5
batch: off
on_reference_change: rebuild
renamed_from: late
*/

select 1
"""


def test_every_field_of_the_table_is_read(parse: Parse) -> None:
    """A field that is parsed away silently does nothing, and nobody is told."""
    declared = parse("assets/sub/x.sql", EVERYTHING)
    assert declared.problems == ()
    (asset,) = declared.assets

    def at(line: int) -> Place:
        return Place(file="assets/sub/x.sql", line=line)

    assert asset.name == "delays"
    assert asset.body == SqlBody(
        text="select 1", file="assets/sub/x.sql", line=EVERYTHING.splitlines().index("select 1") + 1
    )
    assert (asset.description, asset.tags, asset.domain, asset.timezone) == (
        "What was late",
        ("daily", "x"),
        "ops",
        "Europe/Berlin",
    )
    assert asset.partition == PartitionSpec(grain=Grain.DAY, column="flight_date")
    assert asset.inputs == (
        InputSpec(node="flights", lookback="7d", optional=True, place=at(11)),
        InputSpec(node="weather", mode=InputMode.WITHIN, place=at(12)),
        InputSpec(node="planes", mode=InputMode.ALL, place=at(13)),
    )
    assert (asset.start, asset.depends, asset.materialize, asset.merge_keys) == (
        "2013-01-01",
        ("other",),
        "merge",
        ("id",),
    )
    assert asset.columns == {"writes": {"a": "bigint", "b": None}, "reads": {}}
    assert asset.parameters == {"threshold": 15, "codes": ["a", "b"], "on": True}
    assert (asset.on_fail, asset.on_anomaly, asset.contract) == ("hold", "ignore", "delays")
    assert asset.trigger == {"cron": "0 6 * * 1-5", "catch_up": "latest"}
    assert (asset.timeout, asset.attempts_max, asset.memory_max, asset.pool, asset.priority) == (
        "90m",
        3,
        "2GB",
        "warehouse",
        5,
    )
    assert (asset.batch, asset.on_reference_change, asset.renamed_from) == (
        "off",
        "rebuild",
        "late",
    )
    assert [(check.kind, check.place.line) for check in asset.checks] == [("unique", 20)]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("partition", "daily", "wrong_value"),
        ("partition", "12", "wrong_type"),
        ("partition", "{by: day, colum: x}", "unknown_field"),
        ("partition", "{column: x}", "missing_field"),
        ("partition", "[day, week]", "wrong_value"),
        ("partition", "{key: r, values: []}", "wrong_value"),
        ("partition", "{key: r, values: [a, a]}", "wrong_value"),
        ("inputs", "7", "wrong_type"),
        ("inputs", "[a, A]", "duplicate_name"),
        ("inputs", "{a: allways}", "wrong_value"),
        ("inputs", "{a: {lookback: 7}}", "wrong_type"),
        ("inputs", "{a: {lookback: 7 days}}", "bad_duration"),
        ("inputs", "{a: {all: true, previous: true}}", "conflicting_fields"),
        ("inputs", "{a: {lokback: 7d}}", "unknown_field"),
        ("depends", "{a: b}", "wrong_type"),
        ("materialize", "tabel", "wrong_value"),
        ("materialize", "merge", "wrong_value"),
        ("merge", "{key: [a]}", "unknown_field"),
        ("columns", "7", "wrong_type"),
        ("columns", "{a: 7}", "wrong_type"),
        ("columns", "{a: hugeint}", "wrong_value"),
        ("columns", "{a: {type: UINT128}}", "wrong_value"),
        ("columns", "{a: 'HUGEINT[]'}", "wrong_value"),
        ("columns", "{a: 'STRUCT(\"it''s\" INTEGER, b MAP(VARCHAR, uhugeint))'}", "wrong_value"),
        ("parameters", "[a]", "wrong_type"),
        ("parameters", "{a-b: 1}", "bad_name"),
        ("parameters", "{self: 1}", "reserved_name"),
        ("parameters", "{a: {b: 1}}", "wrong_type"),
        ("checks", "{unique: [a]}", "wrong_type"),
        ("on_fail", "explode", "wrong_value"),
        ("on_anomaly", "reject", "wrong_value"),
        ("trigger", "cron", "wrong_value"),
        ("trigger", "{cron: a, manual: true}", "wrong_value"),
        ("trigger", '{cron: "* *"}', "wrong_value"),
        ("timeout", "7", "wrong_type"),
        ("timeout", "1 h", "bad_duration"),
        ("attempts_max", "0", "wrong_value"),
        ("attempts_max", "'3'", "wrong_type"),
        ("attempts_max", "true", "wrong_type"),
        ("memory_max", "2 gigs", "wrong_value"),
        ("priority", "1.5", "wrong_type"),
        ("batch", "maybe", "wrong_value"),
        ("tags", "['a b']", "wrong_value"),
        ("tags", "[1]", "wrong_type"),
        ("timezone", "EST5", "unknown_timezone"),
        ("timezone", "../../etc/passwd", "unknown_timezone"),
        ("ownr", "x", "unknown_field"),
        ("owner2", "x", "unknown_field"),
        ("contract", "[a]", "wrong_type"),
        ("name", "null", "wrong_type"),
        ("start", "[x]", "wrong_type"),
    ],
)
def test_a_wrong_field_is_said_at_its_line_and_the_rest_goes_on(
    parse: Parse, field: str, value: str, code: str
) -> None:
    declared = parse("assets/x.sql", f"/* headrace\nowner: core\n\n{field}: {value}\n*/\nselect 1")
    assert told(declared.problems)[:1] == [f"{code} assets/x.sql:4"]
    assert declared.problems[0].hint
    assert declared.assets[0].owner == "core"


def test_a_field_may_have_the_name_of_a_type_that_no_table_has(parse: Parse) -> None:
    """Would catch: a struct that is refused for a name in it."""
    kinds = ["STRUCT(hugeint INTEGER)", """STRUCT("HUGEINT" DATE, b ENUM('int128'))"""]
    columns = dict(zip("ab", kinds, strict=True))
    declared = parse(
        "assets/x.sql", f"/* headrace\nowner: core\ncolumns: {json.dumps(columns)}\n*/\nselect 1"
    )
    assert declared.problems == ()
    assert declared.assets[0].columns["writes"] == columns


def test_unknown_fields_are_told_the_nearest(parse: Parse) -> None:
    """`ownr` is one keystroke from `owner`."""
    declared = parse("assets/x.sql", "/* headrace\nownr: core\n*/ select 1")
    assert [(problem.code, problem.hint) for problem in declared.problems] == [
        ("unknown_field", "did you mean `owner`?"),
        ("missing_field", "add `owner:` with a name from owners.yaml"),
    ]


@pytest.mark.parametrize(
    ("written", "kind", "arguments"),
    [
        ("unique: [a, b]", "unique", {"columns": ["a", "b"]}),
        ("unique: a", "unique", {"columns": ["a"]}),
        ("unique: {columns: [a]}", "unique", {"columns": ["a"]}),
        ("not_null: [a]", "not_null", {"columns": ["a"]}),
        (
            "accepted_values: {column: a, values: [x, 1, true, null]}",
            "accepted_values",
            {"column": "a", "values": ["x", 1, True, None]},
        ),
        ("range: {column: a, min: -1.5}", "range", {"column": "a", "min": -1.5}),
        (
            "range: {column: a, min: 2013-01-01, max: 2014-01-01}",
            "range",
            {"column": "a", "min": "2013-01-01", "max": "2014-01-01"},
        ),
        ("regex: {column: a, pattern: 'N[0-9]+'}", "regex", {"column": "a", "pattern": "N[0-9]+"}),
        (
            "references: {column: a, to: planes.tailnum}",
            "references",
            {"column": "a", "to": "planes.tailnum"},
        ),
        ("freshness: {column: a, max_age: 2d}", "freshness", {"column": "a", "max_age": "2d"}),
        ("row_count: {min: 0}", "row_count", {"min": 0}),
        ('sql: {name: n, query: "select 1"}', "sql", {"query": "select 1"}),
    ],
)
def test_each_check_is_kept_in_one_shape(
    parse: Parse, written: str, kind: str, arguments: dict[str, object]
) -> None:
    """The audit reads one shape; short and long forms must come to the same."""
    declared = parse(
        "assets/x.sql", f"/* headrace\nowner: core\nchecks:\n  - {written}\n*/ select 1"
    )
    assert declared.problems == ()
    (check,) = declared.assets[0].checks
    assert (check.kind, check.arguments, check.severity) == (kind, arguments, Severity.BLOCKING)
    assert check.name


def test_name_severity_and_where_stand_inside_or_beside(parse: Parse) -> None:
    text = (
        "/* headrace\nowner: core\nchecks:\n  - unique: [a]\n    severity: warning\n    where: b >"
        " 1\n    name: one\n  - range: {column: a, min: 1, severity: warning, where: c, name:"
        " two}\n  - unique: [a]\n  - unique: [a]\n*/ select 1"
    )
    declared = parse("assets/x.sql", text)
    assert declared.problems == ()
    assert [(check.name, check.severity, check.where) for check in declared.assets[0].checks] == [
        ("one", "warning", "b > 1"),
        ("two", "warning", "c"),
        ("unique_a", "blocking", None),
        ("unique_a_2", "blocking", None),
    ]


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("unique", "bad_check"),
        ("uniqe: [a]", "unknown_check"),
        ("unique: []", "bad_check"),
        ("unique: [1]", "wrong_type"),
        ("unique: {}", "bad_check"),
        ("unique:", "bad_check"),
        ("{unique: [a], not_null: [a]}", "bad_check"),
        ("{severity: warning}", "bad_check"),
        ("7", "bad_check"),
        ("range: {column: a}", "bad_check"),
        ("range: {column: a, min: 5, max: 1}", "bad_check"),
        ("range: {column: a, min: 5, max: x}", "bad_check"),
        ("range: {min: 5}", "missing_field"),
        ("range: [a]", "bad_check"),
        ("range: {column: a, min: [1]}", "wrong_type"),
        ("accepted_values: {column: a}", "bad_check"),
        ("accepted_values: {column: a, values: [[1]]}", "bad_check"),
        ("references: {column: a, to: planes}", "bad_check"),
        ("row_count: {}", "bad_check"),
        ("row_count: {min: -1}", "wrong_value"),
        ("row_count: {min: 5, max: 1}", "bad_check"),
        ("freshness: {column: a}", "missing_field"),
        ("freshness: {column: a, max_age: 2}", "wrong_type"),
        ("sql: {name: x}", "missing_field"),
        ("unique: {columns: [a], severity: fatal}", "wrong_value"),
        ("unique: {colums: [a]}", "unknown_field"),
        ('unique: ["a\\nb"]', "bad_check"),
    ],
)
def test_a_check_that_cant_be_used_is_said(parse: Parse, written: str, code: str) -> None:
    """A check that is dropped in silence is a check that can't fail."""
    declared = parse(
        "assets/x.sql", f"/* headrace\nowner: core\nchecks:\n  - {written}\n*/ select 1"
    )
    assert declared.problems[0].code == code
    assert declared.problems[0].place.line == 4
    assert declared.problems[0].hint or code == "bad_check"


def test_on_fail_of_one_check_says_where_it_belongs(parse: Parse) -> None:
    """Would catch: a list of kinds of checks for somebody who has the right word at a wrong place."""
    text = "/* headrace\nowner: core\nchecks:\n  - unique: [a]\n    on_fail: hold\n*/ select 1"
    (problem,) = parse("assets/x.sql", text).problems
    assert "write on_fail next to `checks`" in problem.hint


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("/* headrace\nowner: core\n*/\nselect 1", 4),
        ("/* headrace owner: core */ select 1", 1),
        ("/*headrace\nowner: core\n*/\n\n\n  select 1", 6),
        ("\n\n-- ours\n/* headrace\nowner: core\n*/\nselect 1\n\n", 7),
        ("/* Headrace:\r\nowner: core\r\n*/\r\nselect 1", 4),
    ],
)
def test_the_front_matter_is_the_first_comment(parse: Parse, text: str, line: int) -> None:
    """Lines of SQL errors are counted from `SqlBody.line`."""
    declared = parse("assets/x.sql", text)
    assert declared.problems == ()
    assert declared.assets[0].body == SqlBody(text="select 1", file="assets/x.sql", line=line)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/* headrace\nowner: core\n*/\n", "empty_body assets/x.sql:4"),
        ("/* headrace\nowner: core\nselect 1", "yaml_syntax assets/x.sql:1"),
        ("/* headrace\n- a\n*/ select 1", "wrong_type assets/x.sql:1"),
        ("/* headrace */ select 1", "missing_field assets/x.sql:1"),
        ("/* headrace\nowner: core\n\tx: 1\n*/ select 1", "yaml_tab assets/x.sql:3"),
    ],
)
def test_a_broken_front_matter_is_said_at_its_line(parse: Parse, text: str, problem: str) -> None:
    assert told(parse("assets/x.sql", text).problems) == [problem]


def test_a_front_matter_beside_the_sql(load: Load) -> None:
    """The pair is one asset; a lonely half is a problem."""
    project, problems = load(
        **{
            "assets/a.sql": "select 1",
            "assets/a.yaml": "owner: core\ntags: [t]\n",
            "assets/b.sql": "select 1",
            "assets/c.yaml": "owner: core\n",
            "assets/d.sql": sql(),
            "assets/d.yaml": "owner: core\n",
        }
    )
    assert project is not None
    assert project.assets["a"].body == SqlBody(text="select 1", file="assets/a.sql")
    assert project.assets["a"].tags == ("t",)
    assert told(problems) == [
        "no_front_matter assets/b.sql:1",
        "no_body assets/c.yaml:1",
        "two_front_matters assets/d.yaml:1",
    ]


def test_command_assets(parse: Parse) -> None:
    declared = parse(
        "assets/orders.yaml",
        '- asset: a\n  owner: core\n  command: ["dotnet", "Score.dll"]\n- asset: b\n  owner: core\n'
        "  command: [x]\n",
    )
    assert declared.problems == ()
    assert [asset.body for asset in declared.assets] == [
        CommandBody(command=("dotnet", "Score.dll"), file="assets/orders.yaml", line=3),
        CommandBody(command=("x",), file="assets/orders.yaml", line=6),
    ]


@pytest.mark.parametrize(
    "command", ["dotnet Score.dll", "[]", "[a, 1]", "[[a]]", "{a: b}", "['']", "null", '["a\\0"]']
)
def test_a_command_is_a_list_of_texts(parse: Parse, command: str) -> None:
    """A text would have to be split, which is what a shell does."""
    declared = parse("assets/orders.yaml", f"asset: a\nowner: core\ncommand: {command}\n")
    assert [problem.place.line for problem in declared.problems] == [3]
    assert declared.assets == ()


def test_sources(parse: Parse) -> None:
    declared = parse(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: day\nstart: 2013-01-01\nfiles:"
        " landing/o_{date:%Y/%m/%d}.csv\nexpect: {by: '05:00', rows: 500..1500}\ncomplete: {marker:"
        " .done}\nretain_raw: 30d\nrestate_within: 1d\non_drift: {added: allow, format:"
        " map}\ncontract: orders\non_fail: hold\nchecks: [{row_count: {min: 1}}]\n",
    )
    assert declared.problems == ()
    (source,) = declared.sources
    assert source.expect == Expect(by="05:00", rows_min=500, rows_max=1500)
    assert source.complete == Complete(marker=".done")
    assert (source.retain_raw, source.restate_within, source.on_drift) == (
        "30d",
        "1d",
        {"added": "allow", "format": "map"},
    )
    assert (source.files, source.start, source.contract, source.on_fail) == (
        "landing/o_{date:%Y/%m/%d}.csv",
        "2013-01-01",
        "orders",
        "hold",
    )


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("expect: {by: 5am}", "bad_time 4"),
        ("expect: {rows: many}", "wrong_value 4"),
        ("expect: {rows: 9..5}", "wrong_value 4"),
        ("expect: {rows: ..}", "wrong_value 4"),
        ("expect: 7", "wrong_type 4"),
        ("complete: {files: 0}", "wrong_value 4"),
        ("complete: {files: 1, marker: x}", "conflicting_fields 4"),
        ("complete: {marker: ../x}", "bad_path 4"),
        ("complete: {watermark: sometimes}", "wrong_value 4"),
        ("complete: {after: 2h}", "bad_time 4"),
        ("on_drift: {added: maybe}", "wrong_value 4"),
        ("on_drift: {aded: allow}", "unknown_field 4"),
        ("retain_raw: forever", "bad_duration 4"),
        pytest.param("http: https://x/y", "conflicting_fields 4", marks=NEEDS_HTTP),
        pytest.param("query: select 1", "conflicting_fields 4", marks=NEEDS_DATABASES),
        ("partition: {by: day}", "bad_path 3"),
    ],
)
def test_a_wrong_field_of_a_source_is_said_at_its_line(
    parse: Parse, lines: str, problem: str
) -> None:
    declared = parse(
        "sources/orders.yaml", f"source: orders\nowner: acme\nfiles: landing/o.csv\n{lines}\n"
    )
    assert [f"{problem.code} {problem.place.line}" for problem in declared.problems] == [problem]


@pytest.mark.parametrize("complete", ["files: 2", "marker: .done"])
def test_several_files_or_a_marker_elsewhere_are_refused(load: Load, complete: str) -> None:
    """Such an interval would wait for ever."""
    far = (
        "source: far\nowner: acme\npartition: day\nfiles: s3://b/{date:%Y-%m-%d}*.csv\ncomplete:"
        f" {{{complete}}}\n"
    )
    _, problems = load(**{"sources/far.yaml": far})
    assert [(problem.code, problem.place.file) for problem in problems] == [
        ("unsupported_kind", "sources/far.yaml")
    ]
    _, problems = load(**{"sources/far.yaml": far.replace("s3://b/", "landing/")})
    assert problems == []


def test_quotes_are_proposed_only_for_a_number_that_would_do_as_a_text(parse: Parse) -> None:
    """Would catch: `retain: 30` answered by `put it in quotes`, which is as wrong as before."""
    header = "/* headrace\nowner: core\nretain: 30\n*/\nselect 1 as a\n"
    (problem,) = parse("assets/a.sql", header).problems
    assert problem.code == "wrong_type" and "quotes" not in problem.hint
    assert "30d" in problem.hint or "13mo" in problem.hint, problem.hint
