"""Which changes of checks, policies and consumers weaken a promise, and how that is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import compiled, contract, source, sql, write

from headrace.plan import Compiled, changes
from headrace.plan.comparison import borrowed, keeping, renames
from headrace.plan.weakening import weakened

BODY = "select id, x, y, at from s"


def project(root: Path, **files: str) -> Compiled:
    base = {
        "sources/s.yaml": source("s"),
        "contracts/s.odcs.yaml": contract(
            "s",
            id="integer|integer",
            x="number|double",
            y="string|varchar",
            at="timestamp|timestamp",
        ),
        "assets/a.sql": sql(BODY, partition="day"),
        "consumers.yaml": "- {consumer: c, owner: core, reads: [a], due: '07:00'}\n",
    }
    paths = {"a": "assets/a.sql", "s": "sources/s.yaml", "c": "consumers.yaml"}
    named = {paths.get(name, name): text for name, text in files.items()}
    return compiled(write(root, {**base, **named}))


def texts(root: Path, was: dict[str, str], now: dict[str, str]) -> list[str]:
    before, after = project(root / "before", **was), project(root / "after", **now)
    return [item.text for item in weakened(before, after)]


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ("range: {column: x, min: 0, max: 9}", "range: {column: x, min: 0, max: 10}",
         ["a: check: range_x max 9 → max 10"]),
        ("range: {column: x, min: 0, max: 9}", "range: {column: x, min: 0, max: 8}", []),
        ("range: {column: x, min: 0, max: 9}", "range: {column: x, min: 0}",
         ["a: check: range_x max 9 → max open"]),
        ("range: {column: x, min: 0}", "range: {column: x, min: 0, max: 9}", []),
        ("range: {column: x, min: 0}", "range: {column: x, min: 1}", []),
        ("accepted_values: {column: y, values: [a, b]}", "accepted_values: {column: y, values: [a, b, c]}",
         ["a: check: accepted_values_y values ['a', 'b'] → values ['a', 'b', 'c']"]),
        ("accepted_values: {column: y, values: [a, b]}", "accepted_values: {column: y, values: [a]}", []),
        ("accepted_values: {column: y, values: [a, b]}", "accepted_values: {column: y, values: [a, c]}", []),
        ("unique: {columns: [id], name: u}", "unique: {columns: [id, x], name: u}",
         ["a: check: u columns ['id'] → columns ['id', 'x']"]),
        ("unique: {columns: [id, x], name: u}", "unique: {columns: [id], name: u}", []),
        ("not_null: {columns: [id, x], name: n}", "not_null: {columns: [id], name: n}",
         ["a: check: n columns ['id', 'x'] → columns ['id']"]),
        ("not_null: {columns: [id], name: n}", "not_null: {columns: [x], name: n}", []),
        ("not_null: {columns: [id], name: n}", "not_null: {columns: [id], name: n, where: x > 0}",
         ["a: check: n for all rows → where x > 0"]),
        ("not_null: {columns: [id], name: n, where: x > 0}", "not_null: {columns: [id], name: n}", []),
        ("freshness: {column: at, max_age: 2h}", "freshness: {column: at, max_age: 3h}",
         ["a: check: freshness_at max_age 2h → max_age 3h"]),
        ("freshness: {column: at, max_age: 2h}", "freshness: {column: at, max_age: 90m}", []),
        ("freshness: {column: at, max_age: 2h}", "freshness: {column: at, max_age: 2h, max_ahead: 2d}",
         ["a: check: freshness_at max_ahead open → max_ahead 2d"]),
    ],
)  # fmt: skip
def test_a_looser_rule_is_said_with_what_changed(
    tmp_path: Path, was: str, now: str, expected: list[str]
) -> None:
    """Catches a check that lets more through without a word, and a stricter one that alarms."""
    sides = [{"a": sql(BODY, partition="day", checks=f"[{{{check}}}]")} for check in (was, now)]
    assert texts(tmp_path, *sides) == expected


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ("on_fail: reject", "on_fail: warn", ["s: on_fail: reject → warn"]),
        ("on_fail: warn", "on_fail: reject", []),
        ("on_anomaly: hold", "on_anomaly: warn", ["s: on_anomaly: hold → warn"]),
        ("on_anomaly: warn", "on_anomaly: hold", []),
        ("on_anomaly: {y: hold}", "on_anomaly: {y: ignore}", ["s: on_anomaly of y: hold → ignore"]),
        ("on_anomaly: {y: ignore}", "on_anomaly: {y: hold}", []),
        (
            "on_drift: {renamed: block}",
            "on_drift: {renamed: map}",
            ["s: on_drift renamed: block → map"],
        ),
        ("on_drift: {renamed: map}", "on_drift: {renamed: block}", []),
        ("expect: {by: '05:00'}", "", ["s: expected by: 05:00 → no time"]),
        ("expect: {rows: 10..20}", "expect: {rows: 10..21}", ["s: expected rows: 10..20 → 10..21"]),
        ("expect: {rows: 10..20}", "expect: {rows: 10..}", ["s: expected rows: 10..20 → 10.."]),
        ("expect: {rows: 10..20}", "", ["s: expected rows: 10..20 → any number"]),
        ("", "expect: {by: '05:00', rows: 10..20}", []),
    ],
)
def test_a_source_that_is_watched_less_is_said(
    tmp_path: Path, was: str, now: str, expected: list[str]
) -> None:
    sides = [{"s": source("s") + (f"{line}\n" if line else "")} for line in (was, now)]
    assert texts(tmp_path, *sides) == expected


CONSUMER = "- {{consumer: {name}, owner: core, reads: [a], {promise}}}\n"


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ("due: '07:00'", None, ["c: promise: by 07:00 → none, the consumer is removed"]),
        ("max_age: 30h", None, ["c: promise: no older than 30h → none, the consumer is removed"]),
        ("due: '07:00', calendar: DE", "due: '07:00'", []),
        ("due: '07:00'", "due: '07:00', since: 2024-01-01", []),
        ("due: '07:00', per: month", "due: '06:00', per: week", []),
    ],
)
def test_a_consumer_that_gets_less_is_said(
    tmp_path: Path, was: str, now: str | None, expected: list[str]
) -> None:
    other = CONSUMER.format(name="other", promise="due: '07:00'")
    sides = [
        {"c": other + (CONSUMER.format(name="c", promise=promise) if promise else "")}
        for promise in (was, now)
    ]
    assert texts(tmp_path, *sides) == expected


# What an environment computes itself, and what stays fresh


def test_an_environment_computes_what_differs_and_all_that_reads_it(tmp_path: Path) -> None:
    """Catches an environment that shows production's table in place of its own, and one that
    computes everything for a changed description."""
    reader = {
        "assets/b.sql": sql("select x from a", partition="day"),
        "assets/after.sql": sql("select 1 as one", depends="[a]"),
        "assets/aside.sql": sql("select y from s", partition="day"),
    }
    production = project(tmp_path / "production", **reader)
    assert borrowed(None, production) == frozenset()
    assert borrowed(production, production) == set(production.order)
    described = project(
        tmp_path / "described", **reader, a=sql(BODY, partition="day", description="of flights")
    )
    assert borrowed(production, described) == set(production.order)
    checked = project(
        tmp_path / "checked", **reader, a=sql(BODY, partition="day", checks="[{not_null: [x]}]")
    )
    assert borrowed(production, checked) == {"s", "aside"}
    changed = project(tmp_path / "changed", **reader, a=sql(BODY + " where x > 0", partition="day"))
    assert borrowed(production, changed) == {"s", "aside"}


def test_a_contracts_columns_are_checks(tmp_path: Path) -> None:
    """Catches a column that became required and is audited nowhere as a change."""
    text = contract(
        "s", id="integer|integer", x="number|double", y="string|varchar", at="timestamp|timestamp"
    )
    before = project(tmp_path / "before")
    for line, expected in (
        ("required: true", [("s", "checks")]),
        ("unique: true", [("s", "checks")]),
        ("classification: personal", [("s", "metadata")]),
    ):
        files = {"contracts/s.odcs.yaml": text + f"        {line}\n"}
        after = project(tmp_path / line.split(":")[0], **files)
        assert [(item.node, item.change.value) for item in changes(before, after)] == expected


def test_a_renamed_asset_is_one_that_was_there(tmp_path: Path) -> None:
    """Catches a rename that drops the history, and one of an asset that still is there."""
    before = project(tmp_path / "before")
    reads = "- {consumer: c, owner: core, reads: [n], due: '07:00'}\n"
    new = {"assets/n.sql": sql(BODY, partition="day", renamed_from="a"), "c": reads}
    root = tmp_path / "after"
    project(root)
    (root / "assets/a.sql").unlink()
    after = compiled(write(root, {"assets/n.sql": new["assets/n.sql"], "consumers.yaml": reads}))
    assert renames(before, after) == {"n": "a"}
    assert renames(None, after) == {}
    assert renames(after, after) == {}
    assert [(item.node, item.change.value) for item in changes(before, after)] == [
        ("c", "promise"),
        ("n", "metadata"),
    ]


def test_a_change_that_a_person_keeps_makes_nothing_stale(tmp_path: Path) -> None:
    before = project(tmp_path / "before", **{"assets/b.sql": sql("select x from a")})
    after = project(
        tmp_path / "after",
        a=sql(BODY + " where x > 0", partition="day"),
        **{"assets/b.sql": sql("select x + 1 as x from a")},
    )
    result = keeping(changes(before, after), ["a"])
    assert [(item.node, item.stale, item.kept) for item in result] == [
        ("a", False, True),
        ("b", True, False),
    ]


def test_calendars_and_other_languages_of_a_node_are_changes(tmp_path: Path) -> None:
    """Catches dates without data that change what is due, and a table that became Python, unseen."""
    before = project(tmp_path / "before")
    python = (
        'from headrace import asset\n@asset(owner="core", partition="day", inputs=["s"])\n'
        "def a(s):\n    return s\n"
    )
    root = tmp_path / "after"
    project(root, **{"calendars/shut.yaml": "calendar: shut\ndates: [2024-05-01]\n"})
    (root / "assets/a.sql").unlink()
    (root / "assets/a.py").write_text(python, encoding="utf-8")
    result = {
        (item.node, item.change.value, item.stale) for item in changes(before, compiled(root))
    }
    assert ("a", "body", True) in result
    assert ("shut", "promise", False) in result
