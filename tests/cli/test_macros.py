"""macros/*.sql: at hand in bodies, checks, test, try and sql; what is wrong with them is an error
of validate."""

from __future__ import annotations

import pytest
from clilab import Project

LATER = "2025-03-06T09:00+01:00"


def with_macros(project: Project, text: str, name: str = "more") -> None:
    (project.root / "macros").mkdir(exist_ok=True)
    (project.root / f"macros/{name}.sql").write_text(text)


def test_bodies_checks_try_and_sql_use_them(shop: Project) -> None:
    with_macros(
        shop,
        "-- what is dear\ncreate macro dear(amount, least := 10) as amount >= least;\n"
        "create macro numbers(n) as table select unnest(range(n)) as i;\n",
    )
    path = shop.root / "assets/orders_clean.sql"
    path.write_text(
        path.read_text()
        .replace(
            "- unique: [id]",
            "- unique: [id]\n  - sql: {name: one_is_dear, query: 'select 1 from $self having not"
            " bool_or(dear(amount))'}",
        )
        .replace(
            "select id,",
            "select dear(cast(amount as decimal(18,2)), least := $threshold) as is_dear, id,",
        )
    )
    result = shop.json("try", "orders_clean@2025-03-01")
    assert [check["outcome"] for check in result["checks"]] == ["passed", "passed"], result[
        "checks"
    ]
    assert [row["is_dear"] for row in sorted(result["rows"], key=lambda row: row["id"])] == [
        True,
        False,
        False,
    ]
    shop.json("apply", "--yes", "--now", LATER)
    assert (
        shop.json("run", "orders_clean", "--partition", "2025-03-01", "--now", LATER)["state"]
        == "succeeded"
    )
    assert shop.json("sql", "select count(*) as n from orders_clean where dear(amount)")[
        "rows"
    ] == [{"n": 3}]
    assert len(shop.json("sql", "from numbers(4)")["rows"]) == 4


def test_a_check_of_a_python_asset_uses_them(shop: Project) -> None:
    with_macros(shop, "create macro none_of(n) as n = 0;\n")
    (shop.root / "assets/counted.py").write_text(
        "from headrace import asset, Context\nimport pyarrow as pa\n\n@asset(owner='core',"
        " partition='day', inputs=['revenue'],\n       checks=[{'sql': {'name': 'some', 'query':"
        " 'select * from $self where none_of(n)'}}])\ndef counted(ctx: Context, revenue):\n   "
        " return pa.table({'n': [revenue.num_rows]})\n"
    )
    result = shop.json("try", "counted@2025-03-01")
    assert result["checks"][0]["outcome"] == "passed", result


def test_a_check_of_a_source_uses_them(shop: Project) -> None:
    with_macros(shop, "create macro tiny(amount) as cast(amount as double) < 1;\n")
    path = shop.root / "sources/orders.yaml"
    path.write_text(
        path.read_text()
        + "checks:\n  - sql: {name: no_pennies, query: 'select * from $self where tiny(amount)'}\n"
    )
    shop.json("apply", "--yes", "--now", LATER)
    (shop.root / "landing/orders_2025-03-04.csv").write_text(
        "id,customer,amount,day\n1,Ada,0.10,2025-03-04\n"
    )
    result = next(
        row
        for row in shop.json("tick", "--now", LATER)["attempts"]
        if row["asset"] == "orders" and row["partitions"] == ["2025-03-04"]
    )
    assert (result["state"], "can't be checked" in result["reason"]) == ("rejected", False), result
    checks = shop.json("quarantine", "orders@2025-03-04")[0]["checks"]
    assert [
        (check["name"], check["failing"]) for check in checks if check["outcome"] == "failed"
    ] == [("no_pennies", 1)]


def test_a_check_that_fails_to_run_leaves_no_macro_behind(shop: Project) -> None:
    """A macro of one project's asset would be at hand in the next one's, in the same
    warm worker.
    """
    with_macros(shop, "create macro twice(x) as x * 2;\n")
    path = shop.root / "assets/orders_clean.sql"
    path.write_text(
        path.read_text().replace(
            "- unique: [id]",
            "- sql: {name: broken, query: 'select no_such(twice(id)) from $self'}\n  - unique:"
            " [id]",
        )
    )
    result = shop.json("try", "orders_clean@2025-03-01")
    assert [check["outcome"] for check in result["checks"]] == ["failed", "passed"]
    assert "no_such" in result["checks"][0]["detail"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (
            "create macro f(a) as a + 1;\n\n-- the next one\ncreate macro g(a as a;\n",
            4,
            "syntax error",
        ),
        ("create macro f(a) as a;\ncreate table t (a int);\n", 2, "nothing else"),
        ("create macro late(delay) as delay > $threshold;\n", 1, "give it an argument"),
        ("create macro f(a) as a;\ncreate macro f(a, b) as b;\n", 2, "already exists"),
        ("select 1;\n", 1, "nothing else"),
        (
            "create macro f(a) as table select * from orders where id = a;\n",
            1,
            "orders does not exist",
        ),
        ("copy (select 1) to 'written.csv';\n", 1, "nothing else"),
    ],
)
def test_what_is_wrong_has_its_file_and_line(new: Project, text: str, line: int, said: str) -> None:
    with_macros(new, text)
    for _ in range(2):
        response = new.json("validate")
        assert not response["ok"]
        problem = next(
            problem for problem in response["problems"] if problem["code"] == "bad_macro"
        )
        assert (problem["file"], problem["line"], said in problem["message"]) == (
            "macros/more.sql",
            line,
            True,
        ), problem
    assert not (new.root / "written.csv").exists()
    with_macros(new, "create macro fine(a) as a;\n")
    assert new.json("validate")["ok"]


def test_a_macro_in_two_files_is_the_second_ones_fault(new: Project) -> None:
    with_macros(new, "create macro f(a) as a;\n", "a")
    with_macros(new, "create macro f(a) as a + 1;\n", "b")
    assert [problem["file"] for problem in new.json("validate")["problems"]] == ["macros/b.sql"]
