"""`for_each`: one declaration for many nodes, with values in texts and in SQL."""

from __future__ import annotations

import pytest
from modellab import Parse, told

from headrace.model import SqlBody
from headrace.model.for_each import CHARACTERS_MAX, INSTANCES_MAX

TOTALS = """/* headrace
name: $value(table)_totals
owner: core
for_each:
  - {table: orders, amount: net "amount", kinds: [a, "b'c", 5, true], days: 7}
  - {table: refunds, amount: paid, kinds: [x], days: 2.5}
*/
"""


def _bodies(parse: Parse, sql: str) -> list[str]:
    declared = parse("assets/totals.sql", TOTALS + sql)
    assert declared.problems == ()
    bodies = [asset.body for asset in declared.assets]
    assert all(isinstance(body, SqlBody) and body.line == 8 for body in bodies)
    return [body.text for body in bodies if isinstance(body, SqlBody)]


def test_sources_take_values_with_their_types(parse: Parse) -> None:
    """A number that becomes text, or a list that becomes one text."""
    declared = parse(
        "sources/tables.yaml",
        "- source: $value(table)\n"
        "  for_each:\n"
        "    - {table: orders, keys: [id, day], limit: 5}\n"
        "    - {table: refunds, keys: [id], limit: 7}\n"
        "  owner: core\n"
        "  files: in/$value(table)_$value(limit).csv\n"
        "  checks: [{unique: $value(keys)}]\n"
        "  concurrency: $value(limit)\n"
        "- {source: other, owner: core, files: o.csv}\n",
    )
    assert declared.problems == ()
    first, second, other = declared.sources
    assert (first.name, first.files, first.concurrency) == ("orders", "in/orders_5.csv", 5)
    assert (second.name, second.files, second.concurrency) == ("refunds", "in/refunds_7.csv", 7)
    assert first.checks[0].arguments["columns"] == ["id", "day"]
    assert first.place == second.place != other.place


def test_values_in_sql_are_literals_and_names_are_quoted(parse: Parse) -> None:
    """A value that ends its literal, or a name with a blank that is two words."""
    sql = "select $column(amount), $value(days)\nfrom $table(table)\nwhere k in ($value(kinds))"
    assert _bodies(parse, sql) == [
        'select "net ""amount""", 7\nfrom "orders"\nwhere k in (\'a\', \'b\'\'c\', 5, true)',
        'select "paid", 2.5\nfrom "refunds"\nwhere k in (\'x\')',
    ]


@pytest.mark.parametrize(
    "kept",
    [
        "'$value(table)'",
        "e'it\\'s $value(table)'",
        '"$column(table)"',
        "$$ $value(table) $$",
        "$a$ $value(table) $a$",
        "-- it's $value(table)\n1",
        "/* don't $value(table) */ 1",
        "/* a /* b */ $value(table) */ 1",
    ],
)
def test_texts_names_and_comments_of_sql_stay(parse: Parse, kept: str) -> None:
    """A text that says `$value(x)` and is published with a value."""
    assert _bodies(parse, f"select {kept}, $value(table)") == [
        f"select {kept}, 'orders'",
        f"select {kept}, 'refunds'",
    ]


def test_a_newcomer_is_told_what_is_missing(parse: Parse) -> None:
    """`unexpected token, near as`, and a list of thirty fields without the one that was meant."""
    front = "/* headrace\nowner: core\n*/\n"
    declared = parse("assets/orders.sql", f"{front}select $partition_start,\n$value(x) as k")
    assert told(declared.problems) == ["missing_field assets/orders.sql:5"]
    assert declared.problems[0].hint == "add for_each: [{x: …}] to the front matter"
    declared = parse("sources/orders.yaml", "source: a\nfor_eech: []\nowner: o\nfiles: a.csv\n")
    assert [problem.hint for problem in declared.problems] == ["did you mean `for_each`?"]


def test_a_text_that_isnt_closed_stays(parse: Parse) -> None:
    """A text of a megabyte whose every `$tag$` is looked for in all of it."""
    tags = " ".join(f"$t{number}$" for number in range(100_000))
    assert _bodies(parse, f"select $value(table), {tags}") == [
        f"select 'orders', {tags}",
        f"select 'refunds', {tags}",
    ]


def test_a_problem_behind_long_texts_has_its_line(parse: Parse) -> None:
    """A line that doesn't count those of texts and comments before it."""
    sql = "select '\n', $$\n\n$$ /* \n */,\n$value(table), $value(tabel)"
    problems = parse("assets/orders.sql", TOTALS + sql).problems
    assert {problem.place.line for problem in problems} == {13}


def test_a_negative_number_begins_no_comment(parse: Parse) -> None:
    """`10 -$value(off)` with -5, whose rest was a comment."""
    declared = parse(
        "assets/orders.sql",
        "/* headrace\nname: n_$value(n)\nowner: core\nfor_each: [{n: a, off: -5}]\n*/\n"
        "select 10 -$value(off) as e",
    )
    assert [asset.body.text for asset in declared.assets] == ["select 10 -(-5) as e"]  # type: ignore[union-attr]


@pytest.mark.parametrize("touching", ["amount_$value(table)", "$value(days)0", "a$column(amount)"])
def test_what_touches_a_word_is_refused(parse: Parse, touching: str) -> None:
    """A value that becomes a part of a name or of a number."""
    declared = parse("assets/orders.sql", f"{TOTALS}select {touching} as x")
    assert {problem.code for problem in declared.problems} == {"sql_syntax"}
    assert declared.assets == ()


def test_texts_that_arent_sql_take_values_only(parse: Parse) -> None:
    """A name in double quotes where a name is meant, or DuckDB's quotes in another database."""
    text = (
        "source: $value(t)\nfor_each: [{t: a, name: it's}]\nowner: core\nconnection: db\n"
        "query: select $value(t) from x\nchecks: [{unique: [QQ]}]\n"
    )
    declared = parse("sources/orders.yaml", text.replace("QQ", "$value(t)"))
    assert declared.problems == ()
    connector = declared.sources[0].connector
    assert connector is not None
    assert "select a from x" in str(connector)
    declared = parse("sources/orders.yaml", text.replace("QQ", "$column(t)"))
    assert told(declared.problems) == ["wrong_value sources/orders.yaml:6"]


def test_keys_stay_apart(parse: Parse) -> None:
    """Two columns that become one, whose first mask is lost."""
    text = (
        "source: $value(n)\nfor_each: [{n: a, x: kind, y: YY}]\nowner: core\nfiles: a.csv\n"
        "columns:\n  $value(x): {classification: personal}\n"
        "  $value(y): {classification: internal}\n"
    )
    assert parse("sources/orders.yaml", text.replace("YY", "other")).problems == ()
    for value, code in (("kind", "yaml_duplicate_key"), ("5", "yaml_key"), ("[p]", "yaml_key")):
        problems = parse("sources/orders.yaml", text.replace("YY", value)).problems
        assert told(problems) == [f"{code} sources/orders.yaml:7"]


def test_values_may_look_like_what_stands_for_them(parse: Parse) -> None:
    """A value that is itself searched for values."""
    declared = parse(
        "consumers.yaml",
        "- consumer: a\n  for_each: [{d: costs $value(zz)}]\n  description: $value(d)\n"
        "  owner: o\n  reads: [x]\n  due: '07:00'\n",
    )
    assert [consumer.description for consumer in declared.consumers] == ["costs $value(zz)"]


def test_sql_in_a_file_of_its_own_is_refused(parse: Parse) -> None:
    """Instances whose query has no values, and a message that the file isn't there."""
    declared = parse(
        "assets/orders.yaml", "asset: t_$value(n)\nfor_each: [{n: a}, {n: b}]\nowner: core\n"
    )
    assert told(declared.problems) == ["wrong_value assets/orders.yaml:2"]
    assert "front matter of the .sql file" in declared.problems[0].hint


def test_sql_in_checks_is_sql(parse: Parse) -> None:
    """A value that isn't quoted in the query of a check."""
    declared = parse(
        "sources/tables.yaml",
        "source: $value(t)\nfor_each: [{t: a, kind: it's}]\nowner: core\nfiles: $value(t).csv\n"
        "checks:\n"
        "  - sql: {name: n, query: 'select 1 from $self where $column(t) = $value(kind)'}\n"
        "  - {not_null: $value(t), where: '$column(t) <> $value(kind)'}\n",
    )
    assert declared.problems == ()
    query, narrowed = declared.sources[0].checks
    assert query.arguments["query"] == "select 1 from $self where \"a\" = 'it''s'"
    assert narrowed.where == "\"a\" <> 'it''s'"


def test_python_and_commands_have_instances(parse: Parse) -> None:
    """A function that is one asset only, or a command whose arguments aren't its own."""
    declared = parse(
        "assets/orders.py",
        "from headrace import asset\nDAY = 'day'\n"
        "@asset(owner='core', name='p_$value(t)', partition=DAY, inputs=['$value(t)'],\n"
        "       for_each=[{'t': 'a'}, {'t': 'b'}], parameters={'t': '$value(t)'})\n"
        "def p(ctx, **tables):\n    return tables[ctx.parameters['t']]\n",
    )
    assert declared.problems == ()
    assert [(asset.name, asset.parameters) for asset in declared.assets] == [
        ("p_a", {"t": "a"}),
        ("p_b", {"t": "b"}),
    ]
    assert [asset.inputs[0].node for asset in declared.assets] == ["a", "b"]
    assert {asset.partition.grain for asset in declared.assets} == {"day"}
    declared = parse(
        "assets/orders.yaml",
        "asset: c_$value(t)\nfor_each: [{t: a}, {t: b}]\nowner: core\ncommand: [x, $value(t)]\n",
    )
    assert [asset.name for asset in declared.assets] == ["c_a", "c_b"]


@pytest.mark.parametrize(
    "before", ["DAY = 'day'\nDAY = 'hour'", "DAY = day()", "from x import DAY"]
)
def test_a_name_that_isnt_a_constant_is_refused(parse: Parse, before: str) -> None:
    """A name whose value is only known when the module runs."""
    declared = parse(
        "assets/orders.py",
        f"from headrace import asset\n{before}\n@asset(owner='o', partition=DAY)\ndef p(): ...\n",
    )
    assert "not_a_literal" in told(declared.problems)[0]


def test_a_problem_of_all_is_said_once_and_of_one_with_its_values(parse: Parse) -> None:
    """Fifty lines for one mistake, or a line that doesn't say which of fifty."""
    declared = parse(
        "consumers.yaml",
        "- consumer: $value(c)-report\n  for_each: [{c: a}, {c: b c}, {c: d}]\n"
        "  ownr: core\n  owner: core\n  reads: [x]\n  due: '07:00'\n",
    )
    name, unknown = sorted(declared.problems, key=lambda problem: problem.place.line)
    assert (unknown.code, unknown.place.line) == ("unknown_field", 3)
    assert unknown.message.endswith("in the consumer `a-report`, for `c: a` and 2 more")
    assert (name.code, name.place.line) == ("bad_name", 1)
    assert name.message.endswith("for `c: b c`")
    assert [consumer.name for consumer in declared.consumers] == ["a-report", "d-report"]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("5", "wrong_type consumers.yaml:2"),
        ("[]", "wrong_type consumers.yaml:2"),
        ("{c: a}", "wrong_type consumers.yaml:2"),
        ("[5]", "wrong_type consumers.yaml:2"),
        ("[{}]", "wrong_type consumers.yaml:2"),
        ("[{c: {d: e}}]", "wrong_type consumers.yaml:2"),
        ("[{c: null}]", "wrong_type consumers.yaml:2"),
        ("[{c: []}]", "wrong_type consumers.yaml:2"),
        ("[{c: .inf}]", "wrong_type consumers.yaml:2"),
        ('[{c: "a\\nb"}]', "wrong_type consumers.yaml:2"),
        ("[{a-b: c}]", "bad_name consumers.yaml:2"),
        ("[{d: a}]", "unknown_field consumers.yaml:1"),
        ("[{c: [a, b]}]", "wrong_type consumers.yaml:1"),
    ],
)
def test_a_mistake_in_the_list_is_said(parse: Parse, rows: str, problem: str) -> None:
    """A list that declares nothing, or a value that can't stand in a text."""
    declared = parse(
        "consumers.yaml",
        f"- consumer: r_$value(c)\n  for_each: {rows}\n  owner: o\n  reads: [x]\n  max_age: 1d\n",
    )
    assert told(declared.problems)[0] == problem


def test_a_declaration_cant_grow_without_bounds(parse: Parse) -> None:
    """A file of a megabyte that takes all memory."""
    rows = ", ".join("{a: b}" for _ in range(INSTANCES_MAX + 1))
    text = "- consumer: c\n  for_each: [{}]\n  owner: o\n  reads: [x]\n  due: '07:00'\n"
    assert told(parse("consumers.yaml", text.replace("{}", rows)).problems) == [
        "wrong_value consumers.yaml:2"
    ]
    rows = ", ".join(f"{{a: b{number}}}" for number in range(INSTANCES_MAX))
    many = text.replace("{}", rows).replace("consumer: c", "consumer: c_$value(a)")
    assert len(parse("consumers.yaml", many).consumers) == INSTANCES_MAX
    text = text.replace("[x]", f"[{'x' * (CHARACTERS_MAX // INSTANCES_MAX)}]")
    assert told(parse("consumers.yaml", text.replace("{}", rows)).problems) == [
        "wrong_value consumers.yaml:2"
    ]
