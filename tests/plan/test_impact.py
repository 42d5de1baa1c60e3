"""What a change means for who reads, and which promises it weakens."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import compiled, contract, source, sql, write

from headrace.compiler.lineage import compile_lineage
from headrace.plan import changes
from headrace.plan.impact import Impact, impacts
from headrace.plan.weakening import weakened

BASE = {
    "sources/s.yaml": source("s") + "expect: {by: '05:00', rows: 10..20}\n",
    "contracts/s.odcs.yaml": contract(
        "s", id="integer|bigint", a="number|double", b="string|varchar"
    ),
    "assets/clean.sql": sql(
        "select id, a * 2 as x, b as y, b as unread from s",
        partition="day",
        checks="[{not_null: [x]}, {unique: [id]}, {row_count: {min: 5}}]",
    ),
    "assets/total.sql": sql(
        "select sum(x) as total, count(y) as n from clean", partition="day", on_anomaly="hold"
    ),
    "assets/opaque.py": (
        'from headrace import asset\n\n@asset(owner="core", partition="day", inputs=["total"],'
        ' columns=["total"])\ndef opaque(total):\n    return total\n'
    ),
    "consumers.yaml": (
        "- {consumer: report, owner: core, reads: [total], due: '07:00'}\n"
        "- {consumer: board, owner: vendor, reads: [opaque], max_age: 30h}\n"
    ),
}


def judged(tmp_path: Path, path: str, text: str | None) -> dict[str, Impact]:
    old = compiled(write(tmp_path / "before", BASE))
    files = {**BASE, path: text or ""}
    if text is None:
        del files[path]
    new = compiled(write(tmp_path / "after", files))
    result = impacts(old, new, changes(old, new), compile_lineage(new))
    return {f"{item.change.node} {item.change.change}": item for item in result}


def changed(was: str, now: str, path: str = "assets/clean.sql") -> tuple[str, str]:
    assert was in BASE[path]
    return path, BASE[path].replace(was, now)


@pytest.mark.parametrize(
    ("change", "effects", "breaking", "consumers"),
    [
        (
            changed("a * 2 as x", "a * 3 as x"),
            [("x", "meaning", ("total",))],
            True,
            ("report", "board"),
        ),
        (changed("b as unread", "upper(b) as unread"), [("unread", "meaning", ())], False, ()),
        (changed(", b as unread", ""), [("unread", "dropped", ())], False, ()),
        (changed("b as unread", "b as unread, 1 as more"), [("more", "added", ())], False, ()),
        (changed("b as unread", "length(b) as unread"), [("unread", "type", ())], False, ()),
        (
            changed("a * 2 as x", "cast(a * 2 as float) as x"),
            [("x", "type", ("total",))],
            True,
            ("report", "board"),
        ),
        (
            changed("b as unread from s", "b as unread from s where a > 0"),
            [
                ("id", "meaning", ()),
                ("x", "meaning", ("total",)),
                ("y", "meaning", ("total",)),
                ("unread", "meaning", ()),
            ],
            True,
            ("report", "board"),
        ),
    ],
)
def test_a_column_that_nobody_reads_breaks_nothing(
    tmp_path: Path,
    change: tuple[str, str],
    effects: list[tuple[str, str, tuple[str, ...]]],
    breaking: bool,
    consumers: tuple[str, ...],
) -> None:
    """Catches a plan that alarms everybody for a column of nobody, or nobody for one
    that is read."""
    result = judged(tmp_path, *change)["clean body"]
    assert [
        (column.column, column.effect.value, column.read_by) for column in result.columns
    ] == effects
    assert (result.breaking, result.consumers) == (breaking, consumers)


def test_an_opaque_body_uses_all_columns(tmp_path: Path) -> None:
    """Nobody can see that it doesn't."""
    result = judged(tmp_path, *changed(", count(y) as n", "", "assets/total.sql"))["total body"]
    assert [(column.column, column.read_by) for column in result.columns] == [
        ("n", ("opaque", "report"))
    ] and result.breaking


def test_other_inputs_or_python_change_every_column(tmp_path: Path) -> None:
    result = judged(tmp_path, *changed("return total", "return total[:1]", "assets/opaque.py"))[
        "opaque body"
    ]
    assert result.breaking and result.consumers == ("board",)
    result = judged(
        tmp_path, *changed("partition: day", "partition: day\ninputs: [{s: {lookback: 1d}}]")
    )["clean body"]
    assert [column.effect.value for column in result.columns] == ["meaning"] * 4


def test_columns_learnt_since_are_not_added_by_a_change(tmp_path: Path) -> None:
    """The columns of Python code that declares none are learnt from what it publishes: later, not
    by the next change."""
    bare = {**BASE, "assets/opaque.py": BASE["assets/opaque.py"].replace(', columns=["total"]', "")}
    old = compiled(write(tmp_path / "before", bare))
    assert old.nodes["opaque"].column_names is None
    new = compiled(
        write(
            tmp_path / "after",
            {
                **BASE,
                "assets/opaque.py": (
                    BASE["assets/opaque.py"].replace("return total", "return total[:1]")
                ),
            },
        )
    )
    (result,) = impacts(old, new, changes(old, new), compile_lineage(new))
    assert [(column.column, column.effect.value) for column in result.columns] == [
        ("total", "meaning")
    ]


@pytest.mark.parametrize(
    ("path", "was", "now", "said"),
    [
        ("consumers.yaml", "due: '07:00'", "due: '09:00'", ["report: due: by 07:00 → by 09:00"]),
        ("consumers.yaml", "due: '07:00'", "due: '06:00'", []),
        (
            "consumers.yaml",
            "due: '07:00'",
            "max_age: 40h",
            ["report: due: by 07:00 → no older than 40h"],
        ),
        ("consumers.yaml", "due: '07:00'", "max_age: 26h", []),
        (
            "consumers.yaml",
            "max_age: 30h",
            "max_age: 31h",
            ["board: due: no older than 30h → no older than 31h"],
        ),
        (
            "consumers.yaml",
            "due: '07:00'",
            "due: '07:00', per: month",
            ["report: per: day → month"],
        ),
        (
            "consumers.yaml",
            "reads: [total]",
            "reads: [clean]",
            ["report: reads: total → no longer"],
        ),
        (
            "consumers.yaml",
            "due: '07:00'",
            "due: '07:00', calendar: NYSE",
            ["report: days without data: none → NYSE"],
        ),
        ("assets/clean.sql", "{not_null: [x]}, ", "", ["clean: check: not_null_x → dropped"]),
        ("assets/clean.sql", "{not_null: [x]}", "{not_null: [x, y]}", []),
        (
            "assets/clean.sql",
            "{not_null: [x]}",
            "{not_null: {columns: [x], severity: warning}}",
            ["clean: check: not_null_x blocks → warns"],
        ),
        ("assets/clean.sql", "{min: 5}", "{min: 4}", ["clean: check: row_count min 5 → min 4"]),
        ("assets/clean.sql", "{min: 5}", "{min: 6}", []),
        (
            "assets/total.sql",
            "on_anomaly: hold",
            "on_anomaly: ignore",
            ["total: on_anomaly: hold → ignore"],
        ),
        ("sources/s.yaml", "'05:00'", "'06:00'", ["s: expected by: 05:00 → 06:00"]),
        ("sources/s.yaml", "10..20", "9..20", ["s: expected rows: 10..20 → 9..20"]),
        (
            "sources/s.yaml",
            "partition: day",
            "partition: day\non_fail: warn",
            ["s: on_fail: reject → warn"],
        ),
    ],
)
def test_what_is_promised_less_is_named(
    tmp_path: Path, path: str, was: str, now: str, said: list[str]
) -> None:
    """Catches a promise that is weakened without a word, and one that isn't and is said to be."""
    old = compiled(write(tmp_path / "before", BASE))
    assert was in BASE[path]
    new = compiled(write(tmp_path / "after", {**BASE, path: BASE[path].replace(was, now)}))
    assert [item.text for item in weakened(old, new)] == said


def test_a_consumer_or_a_contract_that_goes_is_named(tmp_path: Path) -> None:
    old = compiled(
        write(
            tmp_path / "1",
            {
                **BASE,
                "contracts/s.odcs.yaml": (
                    BASE["contracts/s.odcs.yaml"].replace(
                        "name: id\n", "name: id\n        required: true\n"
                    )
                ),
            },
        )
    )
    fewer = {**BASE, "consumers.yaml": BASE["consumers.yaml"].splitlines()[1] + "\n"}
    result = [item.text for item in weakened(old, compiled(write(tmp_path / "2", fewer)))]
    assert result == [
        "report: promise: by 07:00 → none, the consumer is removed",
        "s: contract: id is required → not promised",
    ]
