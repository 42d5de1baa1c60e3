"""`headrace test`: what is given is computed, what is expected is compared; no state is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from clilab import Project

DAY = "2025-03-01"
ROWS = (
    "[{id: 1, customer: Ada, amount: 19.90, day: 2025-03-01}, {id: 2, customer: Grace, amount: 5,"
    " day: 2025-03-01}]"
)


def results(project: Project, text: str, **files: str) -> list[dict[str, Any]]:
    """What the tests of one file come to."""
    for path, content in {"tests/them.yaml": text, **files}.items():
        (project.root / path).parent.mkdir(parents=True, exist_ok=True)
        (project.root / path).write_text(content)
    rows: list[dict[str, Any]] = project.json("test")
    return rows


def one(project: Project, fields: str, **files: str) -> dict[str, Any]:
    return results(project, f"- {{test: t, {fields}}}\n", **files)[0]


def test_rows_that_are_as_expected_pass_and_make_no_state(new: Project) -> None:
    """A test that needs a lake can't run in CI."""
    row = one(
        new,
        f"asset: revenue, partition: {DAY}, given: {{orders_clean: {ROWS}}}, expect: [{{revenue:"
        " 24.90, orders: 2}]",
    )
    assert (row["state"], row["rows"], row["rows_expected"], row["differences"]) == (
        "passed",
        1,
        1,
        0,
    )
    assert not (new.root / ".headrace/state.db").exists()
    assert not (new.root / ".headrace/lake").exists()


def test_missing_unexpected_and_changed_rows_are_told_apart(new: Project) -> None:
    row = one(new, f"asset: orders_clean, partition: {DAY}, given: {{orders: {ROWS}}}, "
        "expect: [{id: 1, customer: Ada, amount: 20}, {id: 7, customer: Bob, amount: 7}]")  # fmt: skip
    assert row["state"] == "failed"
    assert row["missing"] == [{"id": 7, "customer": "Bob", "amount": "7.00"}]
    assert row["unexpected"] == [{"id": 2, "customer": "Grace", "amount": "5.00"}]
    assert row["changed"] == [
        {
            "row": {"id": 1, "customer": "Ada", "amount": "19.90"},
            "cells": [{"column": "amount", "expected": "20.00", "got": "19.90"}],
        }
    ]
    assert row["differences"] == 3
    text = new.text("test", code=1)
    assert "amount: expected 20.00, got 19.90" in text
    assert "- id=7" in text


def test_an_error_is_expected_or_the_test_fails(new: Project) -> None:
    given = (
        f"asset: orders_clean, partition: {DAY}, given: {{orders: [{{id: 1, customer: A, amount:"
        " much, day: 2025-03-01}]}"
    )
    assert one(new, f"{given}, expect_error: could not convert")["state"] == "passed"
    assert one(new, f"{given}, expect_error: division")["state"] == "failed"
    failed = one(new, f"{given}, expect: []")
    assert (failed["state"], failed["error"]["file"]) == ("error", "assets/orders_clean.sql")
    fine = one(
        new,
        f"asset: orders_clean, partition: {DAY}, given: {{orders: {ROWS}}}, expect_error:"
        " could not",
    )
    assert (fine["state"], "didn't" in fine["reason"]) == ("failed", True)


def test_own_checks_are_reported_and_can_be_expected(new: Project) -> None:
    twice = (
        "[{id: 1, customer: A, amount: 1, day: 2025-03-01}, {id: 1, customer: A, amount: 1, day:"
        " 2025-03-01}]"
    )
    given = f"asset: orders_clean, partition: {DAY}, given: {{orders: {twice}}}"
    row = one(new, f"{given}, expect: [{{id: 1}}, {{id: 1}}]")
    assert (row["state"], [check["outcome"] for check in row["checks"]]) == ("passed", ["failed"])
    assert one(new, f"{given}, checks: {{unique_id: fails}}")["state"] == "passed"
    assert one(new, f"{given}, checks: {{unique_id: passes}}")["state"] == "failed"
    assert "there is no check" in one(new, f"{given}, checks: {{unique_ids: fails}}")["reason"]


def test_rows_outside_the_partition_fail(new: Project) -> None:
    """A body that forgets its interval would be rejected in production, whatever the
    test expects.
    """
    given = "[{id: 1, customer: A, amount: 1, day: 2025-03-02}]"
    row = one(
        new,
        f"asset: orders_clean, partition: {DAY}, given: {{orders: {given}}}, expect: [{{id: 1}}]",
    )
    assert row["state"] == "failed"
    assert "2025-03-01" in row["reason"]


def test_given_and_expected_rows_may_be_files(new: Project) -> None:
    csv = "id,customer,amount,day\n1,Ada,19.90,2025-03-01\n2,Grace,5,2025-03-01\n"
    row = one(
        new,
        f"asset: revenue, partition: {DAY}, given: {{orders_clean: rows.csv}}, expect:"
        " tests/expected.jsonl",
        **{"tests/rows.csv": csv, "tests/expected.jsonl": '{"revenue": "24.90"}\n'},
    )
    assert row["state"] == "passed", row
    outside = one(
        new,
        f"asset: revenue, partition: {DAY}, given: {{orders_clean: ../../etc/passwd}}, expect: []",
    )
    assert outside["state"] == "error"


def test_types_are_those_that_are_known(new: Project) -> None:
    """An amount written as text is a decimal all the same, because the contract says so; an unknown
    column is a mistake."""
    contract = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": "orders",
        "version": "1.0.0",
        "status": "active",
        "schema": [
            {
                "name": "orders",
                "properties": [
                    {"name": name, "logicalType": kind}
                    for name, kind in [
                        ("id", "integer"),
                        ("customer", "string"),
                        ("amount", "number"),
                        ("day", "date"),
                    ]
                ],
            }
        ],
    }
    (new.root / "contracts").mkdir()
    (new.root / "contracts/orders.odcs.yaml").write_text(json.dumps(contract))
    text = "[{id: 1, amount: '19.90', day: '2025-03-01'}]"
    assert (
        one(
            new,
            f"asset: revenue, partition: {DAY}, given: {{orders_clean: {text}}}, expect:"
            " [{revenue: '19.90'}]",
        )["state"]
        == "passed"
    )
    assert (
        one(new, f"asset: revenue, partition: {DAY}, given: {{}}, expect: []")["state"] == "passed"
    ), "an input that isn't given is empty"
    row = one(
        new,
        f"asset: revenue, partition: {DAY}, given: {{orders_clean: [{{amounts: 1}}]}}, expect: []",
    )
    assert (row["state"], row["error"]["hint"]) == ("error", "did you mean `amount`?")
    row = one(
        new,
        f"asset: revenue, partition: {DAY}, given: {{orders_clean: [{{amount: much}}]}},"
        " expect: []",
    )
    assert (row["state"], "orders_clean" in row["error"]["message"]) == ("error", True)


def test_floats_are_compared_as_floats_are(new: Project) -> None:
    (new.root / "assets/mean.sql").write_text(
        "/* headrace\nowner: core\n*/\nselect avg(amount::double) / 3 as mean from orders_clean\n"
    )
    rows = "[{amount: 0.1}, {amount: 0.2}]"
    assert (
        one(new, f"asset: mean, given: {{orders_clean: {rows}}}, expect: [{{mean: 0.05}}]")["state"]
        == "passed"
    )
    assert (
        one(new, f"asset: mean, given: {{orders_clean: {rows}}}, expect: [{{mean: 0.050001}}]")[
            "state"
        ]
        == "failed"
    )


def test_order_counts_where_it_is_asked_for(new: Project) -> None:
    (new.root / "assets/best.sql").write_text(
        "/* headrace\nowner: core\n*/\nselect customer from orders_clean order by amount desc\n"
    )
    given = (
        "asset: best, given: {orders_clean: [{customer: A, amount: 1}, {customer: B, amount: 2}]}"
    )
    assert one(new, f"{given}, expect: [{{customer: A}}, {{customer: B}}]")["state"] == "passed"
    assert (
        one(new, f"{given}, ordered: true, expect: [{{customer: B}}, {{customer: A}}]")["state"]
        == "passed"
    )
    wrong = one(new, f"{given}, ordered: true, expect: [{{customer: A}}, {{customer: B}}]")
    assert (wrong["state"], "another order" in wrong["reason"]) == ("failed", True)


def test_a_key_of_some_rows_doesnt_pair_the_others(new: Project) -> None:
    """Would catch: a row said to have changed that is another one, whose key isn't one."""
    row = one(
        new,
        "asset: visits, given: {}, expect: [{person: 1, town: Bonn, year: 1}, {person: 1, town:"
        " Rome, year: 2}]",
        **{
            "assets/visits.sql": "/* headrace\nowner: core\nchecks:\n- unique: {columns: [person],"
            " where: town = 'Bonn'}\n*/\nselect 1 as person, 'Rome' as town, 3 as year union all"
            " select 1, 'Bonn', 9\n"
        },
    )
    assert [(item["row"]["town"], len(item["cells"])) for item in row["changed"]] == [
        ("Bonn", 1),
        ("Rome", 1),
    ]


def test_parameters_and_macros_are_at_hand(new: Project) -> None:
    (new.root / "macros").mkdir()
    (new.root / "macros/more.sql").write_text(
        "create macro more(x, by_much := 2) as x * by_much;\n"
    )
    (new.root / "assets/big.sql").write_text(
        "/* headrace\nowner: core\nparameters: {least: 10}\n*/\nselect id, more(amount) as twice"
        " from orders_clean where amount > $least\n"
    )
    given = "asset: big, given: {orders_clean: [{id: 1, amount: 5}, {id: 2, amount: 20}]}"
    assert one(new, f"{given}, expect: [{{id: 2, twice: 40}}]")["state"] == "passed"
    assert (
        one(new, f"{given}, parameters: {{least: 1}}, expect: [{{id: 2}}, {{id: 1}}]")["state"]
        == "passed"
    )
    new.text("test", "--set", "least=3")
    assert "number" in new.refused("test", "--set", "least=few")
    assert "did you mean" in new.refused("test", "--set", "leest=3")


def test_a_python_body_that_ends_its_process_is_only_its_own_failure(new: Project) -> None:
    (new.root / "assets/dies.py").write_text(
        "import os\nfrom headrace import asset, Context\n\n@asset(owner='core',"
        " inputs=['revenue'])\ndef dies(ctx: Context, revenue):\n    os._exit(3)\n"
    )
    result = results(
        new,
        "- {test: a, asset: dies, given: {revenue: [{day: 2025-03-01, revenue: 1, orders:"
        f" 1}}]}}, expect: []}}\n- {{test: b, asset: fails, partition: {DAY}, given: {{revenue:"
        " [{day: 2025-03-01}]}, expect_error: no such thing}\n- {test: c, asset: page,"
        f" partition: {DAY}, given: {{revenue: [{{day: 2025-03-01}}]}}, checks: {{}}}}\n",
    )
    assert [row["state"] for row in result] == ["error", "passed", "passed"]
    assert "exited with code 3" in result[0]["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("asset: revenue, given: {orders_clean: []}, expect: []", "doesn't say which partition"),
        ("asset: revenue, partition: March, given: {orders_clean: []}, expect: []", "March"),
        (
            "asset: revenue, partition: 2025-03-01, given: {order_clean: []}, expect: []",
            "unknown node `order_clean`",
        ),
        (
            "asset: revenue, partition: 2025-03-01, given: {orders_clean: [1]}, expect: []",
            "rows given for `orders_clean`",
        ),
        ("asset: revenue, partition: 2025-03-01, expect: [], expect_error: x", "rows and an error"),
    ],
)
def test_mistakes_in_tests_are_errors_of_validate(new: Project, fields: str, said: str) -> None:
    (new.root / "tests").mkdir()
    (new.root / "tests/them.yaml").write_text(f"- {{test: t, {fields}}}\n")
    response = new.json("validate")
    assert not response["ok"]
    assert any(
        said in problem["message"] and problem["file"] == "tests/them.yaml"
        for problem in response["problems"]
    ), response["problems"]


def test_a_selection_runs_its_tests_only(new: Project, tmp_path: Path) -> None:
    text = (
        f"- {{test: a, asset: revenue, partition: {DAY}, given: {{orders_clean: {ROWS}}}, expect:"
        " [{orders: 2}]}\n"
    )
    results(
        new,
        text
        + text.replace("test: a", "test: b")
        .replace("revenue", "orders_clean")
        .replace("orders_clean: [", "orders: ["),
    )
    assert [row["test"] for row in new.json("test", "revenue")] == ["a"]
    assert new.json("test", "fails") == []
    assert "no tests are declared for these nodes" in new.text("test", "fails")


def test_every_materialisation_is_tested_by_what_its_body_gives(new: Project) -> None:
    for kind, more in {
        "view": "",
        "append": "",
        "merge": "merge: {keys: [id]}\n",
        "snapshot": "snapshot: {keys: [id]}\n",
    }.items():
        cut = "partition: {by: day, column: day}\n" if kind != "view" else ""
        (new.root / f"assets/a_{kind}.sql").write_text(
            f"/* headrace\nowner: core\nmaterialize: {kind}\n{more}{cut}*/\nselect id, amount, day"
            " from orders_clean\n"
        )
    (new.root / "assets/reader.sql").write_text(
        "/* headrace\nowner: core\n*/\nselect count(*) as n from a_view\n"
    )
    rows = "[{id: 1, amount: 5, day: 2025-03-01}]"
    result = results(
        new,
        "".join(
            f"- {{test: {kind}, asset: a_{kind}, {partition}given: {{orders_clean: {rows}}},"
            " expect: [{id: 1, amount: 5}]}\n"
            for kind, partition in {
                "view": "",
                "append": f"partition: {DAY}, ",
                "merge": f"partition: {DAY}, ",
                "snapshot": f"partition: {DAY}, ",
            }.items()
        )
        + "- {test: reader, asset: reader, given: {a_view: [{id: 1}, {id: 2}]}, expect: [{n: 2}]}\n"
        + "- {test: nothing, asset: reader, expect: [{n: 0}]}\n",
    )
    assert [row["state"] for row in result] == ["passed"] * 6, result


def test_rows_of_another_key_are_rejected(new: Project) -> None:
    (new.root / "assets/of_customer.sql").write_text(
        "/* headrace\nowner: core\npartition: {key: customer, values: [Ada, Grace]}\n*/\nselect"
        " customer, amount from orders_clean\n"
    )
    given = f"asset: of_customer, partition: Ada, given: {{orders_clean: {ROWS}}}"
    row = one(new, f"{given}, expect: [{{customer: Ada}}, {{customer: Grace}}]")
    assert row["state"] == "failed", row
