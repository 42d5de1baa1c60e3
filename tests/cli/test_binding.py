"""DuckDB parses and binds every statement before it runs: what can't work in any partition is an
error of its file and line."""

from __future__ import annotations

import fcntl
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

from headrace.compiler.compiling import compile_project
from headrace.project import diagnostics
from headrace.project.background_binding import bind_all

HEAD = "/* headrace\nowner: core\npartition: {by: day, column: day}\n*/\n"


def write(project: Project, name: str, text: str, head: str = HEAD) -> None:
    (project.root / f"assets/{name}.sql").write_text(head + text)


def errors(project: Project, *options: str) -> list[tuple[str, str, int]]:
    result = project.json("validate", *options)["problems"]
    return [(row["code"], row["file"], row["line"]) for row in result if row["severity"] == "error"]


def the_problem(project: Project, code: str) -> dict[str, Any]:
    result = [row for row in project.json("validate")["problems"] if row["code"] == code]
    assert len(result) == 1, result
    return dict(result[0])


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "select id,\n  customer at,\n  day\nfrom orders",
        "select id,\n  at\n  from (select day as at, id from orders)",
    ],
)
def test_a_reserved_word_is_an_error_with_line_and_hint(
    new: Project, shop: Project, seen: bool, text: str
) -> None:
    project = shop if seen else new
    write(project, "bad", text)
    problem = the_problem(project, "sql_syntax")
    assert (problem["file"], problem["line"] in (6, 7)) == ("assets/bad.sql", True), problem
    assert '"at"' in problem["hint"]
    refused = project.refused("plan", code=1) + project.refused("apply", "--yes", code=1)
    assert refused.count("is a word of SQL") == 2


def test_a_first_tick_does_not_apply_what_can_not_run(new: Project) -> None:
    (new.root / "landing").mkdir()
    (new.root / "landing/orders_2025-03-01.csv").write_text(
        "id,customer,amount,day\n1,Ada,1,2025-03-01\n"
    )
    write(new, "bad", "select id, customer at, day from orders")
    new.refused("tick", "--now", "2025-03-02T06:00+01:00", code=1)
    assert new.json("runs") == []


@pytest.mark.parametrize("seen", [False, True])
def test_an_unknown_function_is_an_error_even_where_columns_are_not_known(
    new: Project, shop: Project, seen: bool
) -> None:
    project = shop if seen else new
    write(project, "bad", "select id, day,\n  nvl(customer, 'none') as customer\nfrom orders")
    problem = the_problem(project, "unknown_function")
    assert (problem["file"], problem["line"]) == ("assets/bad.sql", 6)
    assert "coalesce" in problem["hint"]


def test_types_that_do_not_fit_are_an_error_once_columns_are_known(
    new: Project, shop: Project
) -> None:
    write(new, "bad", "select day,\n  upper(id + 1) as name\nfrom orders")
    write(shop, "bad", "select day,\n  upper(id + 1) as name\nfrom orders")
    assert errors(new) == [], "nothing is known of a source before its first delivery"
    problem = the_problem(shop, "sql_binding")
    assert (problem["file"], problem["line"], "upper(BIGINT)" in problem["message"]) == (
        "assets/bad.sql",
        6,
        True,
    ), problem
    assert "Candidate" not in problem["message"]


def test_checks_and_their_conditions_are_bound(shop: Project) -> None:
    head = (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\nchecks:\n"
        "  - sql: {name: dear, query: 'select * from $self where amount > 3'}\n"
        "  - sql: {name: odd, query: 'select * from $self where nope(id)'}\n"
        "  - not_null: {columns: [id], where: 'upper(id) = 1'}\n*/\n"
    )
    write(shop, "bad", "select id, amount, day from orders_clean", head)
    result = errors(shop)
    assert ("unknown_function", "assets/bad.sql", 6) in result
    assert ("sql_binding", "assets/bad.sql", 7) in result


def test_an_opaque_asset_that_never_ran_makes_no_false_error(shop: Project) -> None:
    (shop.root / "assets/opaque.py").write_text(
        "from headrace import asset, Context\n\n@asset(owner='core', partition='day',"
        " inputs=['revenue'])\ndef opaque(ctx: Context, revenue):\n    return revenue\n"
    )
    write(
        shop, "over", "select x.day, upper(x.what) as what, x.n[1].deep as deep from opaque x", HEAD
    )
    assert errors(shop) == []


def test_what_sqlglot_can_not_type_is_typed_by_duckdb_for_the_next_asset(shop: Project) -> None:
    write(
        shop, "mapped", "select day, map_from_entries([(customer, amount)]) as m from orders_clean"
    )
    write(shop, "reader", "select day, m + 1 as n from mapped")
    assert errors(shop) == [("sql_binding", "assets/reader.sql", 5)]


def test_a_type_that_duckdb_shows_and_does_not_read_makes_no_false_error(shop: Project) -> None:
    """A struct whose fields have no names can't be written as a type."""
    write(shop, "zipped", "select day, list_zip([id], [customer]) as z from orders_clean")
    write(shop, "reader", "select day, z[1] as pair from zipped")
    assert errors(shop) == []


def test_parameters_bounds_macros_and_own_rows_are_bound(shop: Project) -> None:
    (shop.root / "macros").mkdir()
    (shop.root / "macros/m.sql").write_text("create macro dear(a, least) as a >= least;\n")
    write(
        shop,
        "fine",
        "select day, id, dear(amount, $threshold) as is_dear, date_diff('day', $partition_start,"
        " $partition_end) as days\nfrom orders_clean where day >= $partition_start",
    )
    head = (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\nmaterialize: merge\nmerge:"
        " {keys: [id]}\n*/\n"
    )
    write(
        shop,
        "own",
        "select o.id, o.day, coalesce(s.n, 0) + 1 as n from orders_clean o left join $self s using"
        " (id)",
        head,
    )
    assert errors(shop, "--bind") == []
    write(shop, "fine", "select day, id, dear(amount) as is_dear from orders_clean")
    assert errors(shop) == [("sql_binding", "assets/fine.sql", 5)]


def test_an_error_elsewhere_does_not_hide_it(shop: Project) -> None:
    write(shop, "bad", "select id, customer at, day from orders")
    write(shop, "worse", "select id, day from no_such_table")
    assert {code for code, _, _ in errors(shop)} == {"sql_syntax", "unknown_input"}


def test_what_was_bound_is_kept_by_content(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    write(shop, "bad", "select id, customer at, day from orders")
    before = errors(shop)

    def none() -> None:
        raise AssertionError("a worker was started for statements that are known")

    monkeypatch.setattr(diagnostics, "_Worker", none)
    assert errors(shop) == before
    path = shop.root / "assets/bad.sql"
    path.write_text(path.read_text().replace("owner: core", "owner: core\ntags: [new]"))
    moved = [(code, file, line - 1) for code, file, line in errors(shop)]
    assert moved == before, "the file differs, the statements don't"


def test_validate_binds_what_fits_and_says_what_is_left(
    shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compilation = compile_project(shop.root)
    first = diagnostics.bind(compilation, tmp_path / "cache", seconds=0.0)
    assert first.left == first.statements - 1 > 0, "one at least, so that each call gets on"
    assert diagnostics.bind(compilation, tmp_path / "cache").left == 0
    assert diagnostics.bind(compilation, tmp_path / "cache", seconds=0.0).left == 0

    monkeypatch.setattr(diagnostics, "VALIDATE_SECONDS", 0.0)
    monkeypatch.setattr("headrace.services.validate.VALIDATE_SECONDS", 0.0)
    write(shop, "later", "select id, day from orders_clean where id > 1")
    response = shop.json("validate")
    assert response["binding"]["left"] >= 1
    assert "not bound yet: headrace validate --bind" in shop.text("validate")
    assert shop.json("validate", "--bind")["binding"]["left"] == 0
    assert shop.json("validate")["binding"]["left"] == 0


def test_many_statements_are_bound_in_the_background(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a `validate` that waits for a large project, and one whose rest nobody binds."""
    for name in ("headrace.project.diagnostics", "headrace.services.validate"):
        monkeypatch.setattr(f"{name}.BOUND_AT_ONCE_MAX", 0)
    write(shop, "bad", "select id, customer at, day from orders")
    binding = shop.json("validate")["binding"]
    assert binding["left"] == binding["statements"] > 0
    while (response := shop.json("validate"))["binding"]["left"]:
        time.sleep(0.1)
    assert [problem["code"] for problem in response["problems"]] == ["sql_syntax"]


def test_one_process_binds_in_the_background(shop: Project, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    compilation = compile_project(shop.root, cache=cache)
    with (cache / "binding.lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        bind_all(cache)
        assert diagnostics.bind(compilation, cache, new_max=0).left > 0
    bind_all(cache)
    assert diagnostics.bind(compilation, cache, new_max=0).left == 0


def test_a_worker_that_is_lost_leaves_statements_to_the_run(
    shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnostics, "STATEMENT_SECONDS_MAX", 0.0)
    result = diagnostics.bind(compile_project(shop.root), tmp_path / "cache")
    assert result.left > 0
    assert result.compilation.compiled is not None


def test_a_macro_reads_no_file_when_it_is_looked_at(new: Project, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    (new.root / "macros").mkdir()
    (new.root / "macros/m.sql").write_text(
        f"create macro f() as table select * from read_csv('{secret}');\n"
    )
    assert errors(new) == [("bad_macro", "macros/m.sql", 1)]


def test_no_folder_is_left(new: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a folder in the system's own for temporary files that stays behind with each
    command.
    """
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    write(new, "bad", "select id, customer at, day from orders")
    assert errors(new)
    assert list(temporary.iterdir()) == []
