"""A project's files → the graph with columns and types, or every problem at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from projects import compiled, contract, of, python, source, sql, write

from headrace.compiler.compiling import compile_project
from headrace.compiler.missing_modules import hint_for_module
from headrace.model import InputMode, ProjectError
from headrace.plan import NodeKind
from headrace.plan.graph import layers

DEMO = Path(__file__).parents[2] / "packages/headrace-demo/src/headrace_demo/demo_project"
DAILY = {
    "sources/flights.yaml": source("flights"),
    "sources/planes.yaml": source("planes", "*"),
    "contracts/flights.odcs.yaml": contract(
        "flights", carrier="string|VARCHAR", flight_date="date|DATE", distance="integer|INTEGER"
    ),
    "assets/clean.sql": sql(
        "select carrier, flight_date, distance * 2 as twice from flights",
        partition="{by: day, column: flight_date}",
    ),
    "assets/totals.sql": sql(
        "select flight_date, sum(twice) as total from clean group by flight_date",
        partition="day",
        checks="[{not_null: [total]}]",
    ),
    "assets/noted.py": python("noted", "totals"),
    "consumers.yaml": "- consumer: bulletin\n  owner: core\n  reads: [totals]\n  due: '07:00'\n",
}


def test_columns_and_types_travel_along_the_graph(tmp_path: Path) -> None:
    """Each table is made before anything has run: a lost type would leave it unmade."""
    result = compiled(write(tmp_path, DAILY))
    assert result.nodes["flights"].columns == (
        ("carrier", "VARCHAR"),
        ("flight_date", "DATE"),
        ("distance", "INTEGER"),
    )
    assert result.nodes["clean"].columns == (
        ("carrier", "VARCHAR"),
        ("flight_date", "DATE"),
        ("twice", "INTEGER"),
    )
    assert result.nodes["totals"].columns == (("flight_date", "DATE"), ("total", "HUGEINT"))
    assert result.nodes["noted"].columns is None
    assert result.nodes["totals"].partition_column == "flight_date"
    assert result.nodes["totals"].separable and result.nodes["clean"].separable
    assert result.nodes["flights"].kind is NodeKind.SOURCE


def test_order_is_topological_with_sources_first(tmp_path: Path) -> None:
    """The run engine and the previews walk in this order."""
    result = compiled(write(tmp_path, DAILY))
    assert result.order == ("flights", "planes", "clean", "totals", "noted")


def test_inputs_are_those_of_the_sql_as_declared(tmp_path: Path) -> None:
    """`lookback` must not be lost where the SQL names the input in other letters."""
    front = "{clean: {lookback: 7d}}"
    files = {
        **DAILY,
        "assets/week.sql": sql(
            "select flight_date, twice from CLEAN join planes on true",
            partition="day",
            inputs=front,
        ),
    }
    node = compiled(write(tmp_path, files)).nodes["week"]
    assert [(item.node, item.mode, item.lookback) for item in node.inputs] == [
        ("clean", InputMode.REQUIRED, "7d"),
        ("planes", InputMode.REQUIRED, None),
    ]
    assert not node.separable and "7d" in node.not_separable_because


def test_all_problems_come_at_once_with_their_lines(tmp_path: Path) -> None:
    """Somebody who fixes one problem a run gives up."""
    files = {
        **DAILY,
        "assets/a1.sql": sql("select *\nfrom flighs"),
        "assets/a2.sql": sql("select a from"),
        "assets/a3.sql": sql("select carrrier,\n  nothing from clean"),
        "assets/a4.sql": sql("select * from read_csv('x')"),
        "assets/a5.sql": sql("select * from clean where twice > $treshold"),
        "assets/a6.sql": sql("select * from bulletin"),
        "assets/a7.sql": sql("select carrier from clean where flight_date = $partition_start"),
        "assets/a8.sql": sql("select 1 as x", owner="nobody"),
        "assets/a9.sql": sql(
            "select flight_date, twice from clean", partition="{by: day, column: date}"
        ),
    }
    result = compile_project(write(tmp_path, files))
    assert result.compiled is None
    shown = {
        (problem.place.file[7:9], problem.place.line, problem.code) for problem in result.problems
    }
    assert shown == {
        ("a1", 5, "unknown_input"),
        ("a2", 4, "sql_syntax"),
        ("a3", 4, "unknown_column"),
        ("a3", 5, "unknown_column"),
        ("a4", 4, "external_read"),
        ("a5", 4, "unknown_parameter"),
        ("a6", 4, "unknown_input"),
        ("a7", 4, "no_interval"),
        ("a8", 2, "unknown_owner"),
        ("a9", 1, "unknown_partition_column"),
    }
    hints = {problem.code: f"{problem.message} {problem.hint}" for problem in result.problems}
    assert (
        "did you mean `flights`?" in hints["unknown_input"] or "consumer" in hints["unknown_input"]
    )
    assert "did you mean `$threshold`?" in hints["unknown_parameter"]
    assert any("did you mean `carrier`?" in problem.hint for problem in result.problems)


def test_cycles_are_shown_as_the_walk(tmp_path: Path) -> None:
    """ "There is a cycle" without its way round costs an hour."""
    files = {
        name: sql(f"select * from {reads}")
        for name, reads in (("assets/a.sql", "b"), ("assets/b.sql", "c"), ("assets/c.sql", "a"))
    }
    result = compile_project(write(tmp_path, {**files, "assets/d.sql": sql("select * from d")}))
    assert [item.message for item in of(result.problems, "cycle")] == [
        "these assets wait for each other: a → b → c → a",
        "`d` reads itself",
    ]
    assert of(result.problems, "cycle")[1].hint.startswith("write `$self`")


def test_a_cycle_through_depends_and_sql_is_found_once(tmp_path: Path) -> None:
    """Linking knows `depends`, the SQL is known here: both must not report it."""
    result = compile_project(
        write(
            tmp_path,
            {
                "assets/a.sql": sql("select * from b"),
                "assets/b.sql": sql("select 1 as x", depends="[a]"),
            },
        )
    )
    assert [item.message for item in of(result.problems, "cycle")] == [
        "these assets wait for each other: a → b → a"
    ]
    only_depends = write(
        tmp_path / "q",
        {
            "assets/a.sql": sql("select 1 as x", depends="[b]"),
            "assets/b.sql": sql("select 1 as x", depends="[a]"),
        },
    )
    assert len(of(compile_project(only_depends).problems, "cycle")) == 1


def test_checks_are_compared_with_the_columns(tmp_path: Path) -> None:
    """A check on a column that isn't there fails at night, long after it was written."""
    checks = (
        "[{not_null: [totl]}, {references: {column: total, to: planes.tailnum}}, {sql: {name: s,"
        " query: 'select * from planse'}}]"
    )
    files = {
        **DAILY,
        "assets/totals.sql": sql(
            "select flight_date, sum(twice) as total from clean group by flight_date",
            partition="day",
            checks=checks,
        ),
    }
    result = compile_project(write(tmp_path, files))
    assert [(problem.code, problem.place.line) for problem in result.problems] == [
        ("unknown_check_column", 4),
        ("unknown_input", 4),
    ]
    assert "did you mean `total`?" in result.problems[0].hint


def test_sql_checks_are_read_with_the_columns_that_the_body_gives(tmp_path: Path) -> None:
    """A slip in a check would only show when the first partition is audited."""
    checks = (
        "[{sql: {name: s, query: 'select * from $self s left join planes p on p.tailnum = s.total"
        " where totl < 0 and s.twice > 0'}}]"
    )
    body = "select flight_date, sum(twice) as total from clean group by flight_date"
    result = compile_project(
        write(tmp_path, {**DAILY, "assets/totals.sql": sql(body, partition="day", checks=checks)})
    )
    assert [
        (problem.code, problem.place.line, problem.message[:22]) for problem in result.problems
    ] == [("unknown_column", 4, "unknown column `twice`")]
    alone = checks.replace("left join planes p on p.tailnum = s.total", "").replace(
        " and s.twice > 0", ""
    )
    result = compile_project(
        write(tmp_path, {**DAILY, "assets/totals.sql": sql(body, partition="day", checks=alone)})
    )
    assert "did you mean `total`?" in result.problems[0].hint


def test_nodes_that_checks_read_are_known(tmp_path: Path) -> None:
    """The audit gets these tables handed; a missing one fails every attempt."""
    checks = (
        "[{references: {column: total, to: planes.tailnum}}, {sql: {name: s, query: 'select * from"
        " $self join flights on true'}}]"
    )
    files = {
        **DAILY,
        "assets/totals.sql": sql(
            "select flight_date, sum(twice) as total from clean group by flight_date",
            partition="day",
            checks=checks,
        ),
    }
    assert compiled(write(tmp_path, files)).nodes["totals"].check_references == (
        "flights",
        "planes",
    )


def test_learnt_columns_complete_what_no_contract_says(tmp_path: Path) -> None:
    """Sources without a contract are known after their first delivery."""
    files = {
        "sources/planes.yaml": source("planes", "*"),
        "assets/fleet.sql": sql("select tailnum, seats + 1 as more from planes"),
    }
    root = write(tmp_path, files)
    assert compiled(root).nodes["fleet"].columns is None
    assert compiled(root).nodes["fleet"].column_names == ("tailnum", "more")
    learnt = {"planes": (("tailnum", "VARCHAR"), ("seats", "INTEGER"))}
    assert compiled(root, learnt=learnt).nodes["fleet"].columns == (
        ("tailnum", "VARCHAR"),
        ("more", "INTEGER"),
    )
    wrong = {"planes": (("tail", "VARCHAR"), ("seats", "INTEGER"))}
    assert [problem.code for problem in compile_project(root, learnt=wrong).problems] == [
        "unknown_column"
    ]


def test_what_has_no_table_cant_be_read(tmp_path: Path) -> None:
    """DuckDB would only say at run time that the table isn't there."""
    files = {
        "assets/a.sql": sql("select 1 as x", materialize="none"),
        "assets/b.sql": sql("select * from a"),
    }
    assert [
        problem.code
        for problem in compile_project(write(tmp_path, files)).problems
        if problem.code != "not_built"
    ] == ["nothing_to_read"]


def test_macros_are_part_of_who_uses_them(tmp_path: Path) -> None:
    """A changed macro changes what its users compute, and nobody else's."""
    files = {
        "macros/m.sql": (
            "create macro twice(x) as x * 2;\ncreate macro days(n) as table select range as day"
            " from range(n);\n"
        ),
        "assets/uses.sql": sql("select twice(1) as two, day from days(3)"),
        "assets/other.sql": sql("select abs(1) as one"),
    }
    before = compiled(write(tmp_path, files)).nodes
    after = compiled(
        write(tmp_path, {"macros/m.sql": files["macros/m.sql"].replace("x * 2", "x + x")})
    ).nodes
    assert before["uses"].fingerprint != after["uses"].fingerprint
    assert before["other"].fingerprint == after["other"].fingerprint
    assert [
        problem.code
        for problem in compile_project(
            write(tmp_path, {"assets/typo.sql": sql("select * from dayz(3)")})
        ).problems
    ] == ["unknown_function"]


def test_types_that_are_no_types_never_reach_a_table(tmp_path: Path) -> None:
    """A contract's type becomes part of a statement: only known names may."""
    hostile = contract(
        "planes", tailnum="string|VARCHAR) as x; drop table y; --", seats="integer|int4"
    )
    files = {"sources/planes.yaml": source("planes", "*"), "contracts/planes.odcs.yaml": hostile}
    result = compile_project(write(tmp_path, files))
    nodes = result.compiled.nodes if result.compiled else {}
    assert all("drop" not in type_ for node in nodes.values() for _, type_ in node.columns or ())


def test_the_demo_is_understood_completely() -> None:
    """The demo's tables are made by `apply`, and its days are computed in batches."""
    result = compiled(DEMO)
    body = {name: node for name, node in result.nodes.items() if node.sql is not None}
    assert all(node.column_names for node in body.values())
    assert result.nodes["flights_clean"].separable and result.nodes["carrier_delays"].separable
    assert not result.nodes["carrier_week"].separable


def test_a_folder_that_isnt_there_is_an_error_of_the_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError):
        compile_project(tmp_path / "nowhere")


def test_nothing_of_the_users_is_imported(tmp_path: Path) -> None:
    """A module in the project, or in the folder where the command is typed, must never run."""
    trap = "open({!r}, 'w').write('x')\n"
    marker = tmp_path / "was_run"
    files = {f"assets/a{n}.sql": sql(f"select {n} as x") for n in range(700)}
    root = write(tmp_path / "p", {**files, "assets/trap.py": trap.format(str(marker))})
    for name in ("msgspec.py", "headrace.py", "yaml.py", "json.py"):
        (root / name).write_text(trap.format(str(marker)), encoding="utf-8")
    code = (
        "from pathlib import Path; from headrace.compiler.compiling import compile_project\n"
        f"print(len(compile_project(Path({str(root)!r}), processes=2).project.assets))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "700", done.stderr
    assert not marker.exists()


def test_an_unknown_name_says_what_could_be_meant(tmp_path: Path) -> None:
    """A name that is nearly right is found in a list of hundreds; one that isn't has to be declared."""
    files = {
        **DAILY,
        "assets/a1.sql": sql("select * from flighs"),
        "assets/a2.sql": sql("select * from quite_another"),
        "assets/a3.sql": sql("select 1 as x", checks="[{references: {column: x, to: plane.k}}]"),
        "assets/a4.sql": sql(
            "select 1 as x", checks="[{references: {column: x, to: clean.carier}}]"
        ),
        "assets/a5.sql": sql("select carrier, $flight_dat as d from clean"),
        "assets/a6.sql": sql("select carrier, $partition_key as k from clean"),
    }
    problems = compile_project(write(tmp_path, files)).problems
    assert {problem.place.file[7:9]: (problem.message, problem.hint) for problem in problems} == {
        "a1": (
            "unknown asset `flighs` in the SQL; did you mean `flights`?",
            "did you mean `flights`?",
        ),
        "a2": (
            "unknown asset `quite_another` in the SQL",
            "declare it as a source in sources/, or as an asset in assets/",
        ),
        "a3": (
            "unknown asset `plane` in the check `references_x`; did you mean `planes`?",
            "did you mean `planes`?",
        ),
        "a4": (
            "the check `references_x` refers to the unknown column `clean.carier`",
            "did you mean `carrier`?",
        ),
        "a5": (
            "unknown parameter `$flight_dat`",
            "add `parameters: {flight_dat: …}` to the asset or to headrace.toml",
        ),
        "a6": (
            "`$partition_key` in `a6`, which isn't partitioned by a key",
            "add `partition: {key: region}`",
        ),
    }


@pytest.mark.parametrize(
    ("kind", "unknown"),
    [
        ("varcha", "`varcha`"),
        ("number", "`number`"),
        ("decimal(40,2)", "`decimal(40,2)`"),
        ("struct(a varcha)", "`varcha`"),
        ("int, b int", "`int, b int`"),
        ("struct(a bigint, b varchar[])", ""),
        ("map(varchar, timestamptz)", ""),
        ("string", ""),
        ("DECIMAL(9)", ""),
    ],
)
def test_a_declared_type_is_one_that_columns_have(tmp_path: Path, kind: str, unknown: str) -> None:
    """Would catch: a misspelt type that is ignored, so that the first day's values decide."""
    written = (
        "asset: a\nowner: core\npartition: day\ninputs: [flights]\ncommand: [x]\n"
        f"columns: {{n: '{kind}'}}\n"
    )
    files = {**DAILY, "assets/a.yaml": written}
    problems = of(compile_project(write(tmp_path, files)).problems, "wrong_value")
    assert [problem.message for problem in problems] == (
        [f"{unknown} of the column `n` isn't a type"] if unknown else []
    )
    assert [problem.place and problem.place.line for problem in problems] == [1 for _ in problems]


def test_an_asset_by_key_reads_something_by_that_key(tmp_path: Path) -> None:
    """Nothing would say which keys there are, and the asset would never have a partition."""
    region = "source: s\nowner: vendor\npartition: {by: day, key: region}\nfiles: landing/{region}/{date:%Y-%m-%d}.csv\n"
    files = {
        **DAILY,
        "sources/s.yaml": region,
        "assets/good.sql": sql("select * from s", partition="{by: day, key: region}"),
        "assets/listed.sql": sql(
            "select * from flights", partition="{by: day, key: region, values: [EMEA]}"
        ),
        "assets/other.sql": sql("select * from flights", partition="{by: day, key: region}"),
        "sources/timeless.yaml": (
            "source: timeless\nowner: vendor\npartition: {key: region}\nfiles: landing/{key}.csv\n"
        ),
        "assets/timed.sql": sql("select * from timeless", partition="[day, {key: region}]"),
        "assets/whole.sql": sql(
            "select * from s", partition="{by: day, key: region}", inputs="[{s: all}]"
        ),
        "assets/maybe.sql": sql(
            "select * from s", partition="{by: day, key: region}", inputs="[{s: {optional: true}}]"
        ),
    }
    problems = of(compile_project(write(tmp_path, files)).problems, "unknown_keys")
    assert sorted(problem.place.file for problem in problems) == [
        "assets/maybe.sql",
        "assets/other.sql",
        "assets/timed.sql",
        "assets/whole.sql",
    ]
    assert "values: […]" in problems[0].hint


def test_layers_hold_each_name_once_after_what_it_reads() -> None:
    """A cycle, which is a problem of its own, must not keep the rest from being compiled."""
    edges = {"b": ["a"], "c": ["b", "a", "b", "elsewhere"], "d": ["d"], "e": ["f"], "f": ["e"]}
    assert layers(edges, "fedcba") == [["d", "a"], ["b"], ["c"], ["f"], ["e"]]
    assert layers({}, []) == []


def test_modules_that_cant_be_found_are_named_before_anything_runs(tmp_path: Path) -> None:
    """A misspelt import failed in the night, and its message told to install whatever has that
    name. Code that can do without a module, and what a command's own Python imports, is left
    alone."""
    code = (
        "from headrace import asset\nimport pandsa as pd\nimport json, numpy\nimport shared\n"
        "try:\n    import not_here_either\nexcept ImportError:\n    pass\n\n"
        '@asset(owner="core", code_packages=["sklearn", "no-such-thing"])\n'
        "def a():\n    import only_when_called\n    return []\n"
    )
    files = {
        **DAILY,
        "assets/a.py": code,
        "shared.py": "import zzqq.inner\n",
        "assets/b.yaml": "asset: b\nowner: core\ncommand: [python3, own.py]\n",
        "own.py": "import its_own\n",
    }
    write(tmp_path, files)
    problems = compile_project(tmp_path).problems
    told = [(p.place.file, p.place.line, p.hint) for p in problems if p.code == "module_missing"]
    assert told == [
        ("assets/a.py", 2, "did you mean `pandas`? Correct the import"),
        ("shared.py", 1, "correct the import, or install where Headrace runs what it is of"),
    ]
    packages = [problem.hint for problem in problems if problem.code == "code_package_missing"]
    assert packages == [
        "install it, or take it out",
        "write `scikit-learn`, as pip calls it, or take it out",
    ]
    (tmp_path / "shared.py").write_text("import json\n")
    assert "shared.py" not in {problem.place.file for problem in compile_project(tmp_path).problems}


def test_only_a_misspelt_module_is_told_another_name() -> None:
    """Would catch: `did you mean `pdb`?` for a project's own module that isn't there."""
    own = ("utils", "models", "db", "settings", "warehouse", "notyet", "tasks", "jobs", "common")
    assert {hint_for_module(name) for name in own} == {
        "correct the import, or install where Headrace runs what it is of"
    }
    assert hint_for_module("nunpy") == "did you mean `numpy`? Correct the import"
    assert hint_for_module("jsno.tool") == "did you mean `json`? Correct the import"
    assert hint_for_module("airflow").endswith("pip install apache-airflow")


def test_a_problem_of_one_of_many_names_its_node(tmp_path: Path) -> None:
    """An unknown column of one of fifty nodes, at a line that all of them have."""
    wide = "name: t_$value(c)\nfor_each: [{c: distance}, {c: nope}]\n"
    text = "/* headrace\nowner: core\n" + wide + "*/\nselect $column(c) from flights\n"
    result = compile_project(write(tmp_path, {**DAILY, "assets/t.sql": text}))
    assert [(problem.place.line, problem.message) for problem in result.problems] == [
        (6, "unknown column `nope` (looked in flights), in `t_nope`")
    ]
